"""Read a database of rpm: the tables of SQLite directly, older formats by the rpm program.

Source: rpm's databases ``rpmdb.sqlite`` (since 4.16), ``Packages.db`` (ndb) and ``Packages``
(Berkeley DB); rpm(8).
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from bootc_orch.process import run
from orch_frame.errors import InvalidImageError

SQLITE_NAME = "rpmdb.sqlite"
# A write-ahead log beside the database may hold what was written last.
SQLITE_FILES = (SQLITE_NAME, f"{SQLITE_NAME}-wal")
OLDER_FILES = ("Packages.db", "Packages")


def read_headers(database: Path, *, source: str) -> list[bytes]:
    """Return the header of each package in an SQLite database, which must be writable.

    SQLite writes beside a database also when it only reads, so this wants a copy.

    Args:
        database: The copy.
        source: What it is a copy of, for messages.

    Raises:
        InvalidImageError: it is no database of rpm.
    """
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            # A view in its place could compute for ever, and call functions.
            connection.execute("PRAGMA trusted_schema = OFF")
            query = "SELECT 1 FROM sqlite_master WHERE name = 'Packages' AND type = 'table'"
            if connection.execute(query).fetchone() is None:
                raise InvalidImageError(f"{source} has no table of packages.", path=source)
            rows = connection.execute("SELECT blob FROM Packages").fetchall()
    except sqlite3.Error as error:
        raise InvalidImageError(
            f"{source} is no database of rpm.", details=str(error), path=source
        ) from error
    if not all(isinstance(blob, bytes) for (blob,) in rows):
        raise InvalidImageError(f"{source} holds what is no header of a package.", path=source)
    return [blob for (blob,) in rows]


def list_packages(directory: Path, query_format: str) -> str:
    """Return what rpm lists of the database in *directory*, which must be writable.

    Raises:
        ToolMissingError: rpm is not installed.
        CommandError: rpm cannot read it.
    """
    return run(["rpm", "--dbpath", directory, "-qa", "--queryformat", query_format]).text
