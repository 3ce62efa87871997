"""Read rpm's database ``rpmdb.sqlite`` as data of a stranger: plain tables, within bounds.

SQLite computes what a database tells it to: a view or a generated column may fill all memory, a
virtual table may never end.  So the schema is looked at before anything in it is used, and what is
left, such as pages that point to each other in a circle, ends at a deadline.

Source: rpm's ``rpmdb.sqlite`` (since 4.16); SQLite's file format, its ``sqlite_schema`` table, and
its page *Defense Against The Dark Arts*.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orch_frame.errors import InvalidImageError, LimitError

DEADLINE_SECONDS = 10.0
# rpm keeps about 300 bytes for each file of a package, its path and digests among them, so this is
# a package of 100 000 files; rpm itself refuses what has more than 256 MiB.
HEADER_BYTES_MAX = 32 << 20
# rpm makes about twenty tables, and an index or two for each.
SCHEMA_ENTRIES_MAX = 256
# A header, once in SQLite's cache of pages and once whole, and what SQLite needs itself.  The limit
# is one for the whole process: nothing else in it uses SQLite.
HEAP_BYTES_MAX = 3 * HEADER_BYTES_MAX
_STEPS_BETWEEN_LOOKS = 10_000
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: HEADER_BYTES_MAX,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 64 << 10,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 20,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
}
# SQLite writes the beginning of a statement anew when it stores it, so that it looks like this.
_PLAIN = re.compile(r"CREATE (?:TABLE|INDEX|UNIQUE INDEX) ")
_GENERATED = (2, 3)


def read_headers(
    database: Path, *, source: str, seconds: float = DEADLINE_SECONDS
) -> Iterator[bytes]:
    """Yield the header of each package in *database*, which must be writable.

    SQLite writes beside a database also when it only reads, so this wants a copy.

    Args:
        database: The copy.
        source: What it is a copy of, for messages.
        seconds: How long all of it may take, with what is done with the headers.

    Raises:
        InvalidImageError: it is no database of rpm, or holds more than plain tables.
        LimitError: it takes too long or too much memory, or a header is too long.
    """
    watch = _Watch(time.monotonic() + seconds)
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            _restrict(connection, watch)
            _check_schema(connection, source)
            # Not by an index, which can say something else than the table.
            for (blob,) in connection.execute("SELECT blob FROM Packages NOT INDEXED"):
                if not isinstance(blob, bytes):
                    raise InvalidImageError(
                        f"{source} holds what is no header of a package.", path=source
                    )
                if watch.is_over():
                    raise _too_slow(source)
                yield blob
    except MemoryError as error:
        raise LimitError(f"{source} takes too much memory to read.", path=source) from error
    except sqlite3.Error as error:
        if watch.ended:
            raise _too_slow(source) from error
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            # A signal's handler ran where SQLite looks at the clock, and SQLite swallows what it
            # raised: this stands for it.
            raise KeyboardInterrupt from error
        raise _refused(error, source) from error


@dataclass(slots=True)
class _Watch:
    """Ends a statement at a deadline.

    Attributes:
        deadline: When, by the monotonic clock.
        ended: Whether a statement was ended for that.
    """

    deadline: float
    ended: bool = False

    def is_over(self) -> bool:
        """Say whether the deadline has passed."""
        return time.monotonic() > self.deadline

    def look(self) -> bool:
        """Say whether SQLite shall end what it does; it calls this every few steps."""
        self.ended = self.is_over()
        return self.ended


def _restrict(connection: sqlite3.Connection, watch: _Watch) -> None:
    for category, limit in _LIMITS.items():
        connection.setlimit(category, limit)
    connection.set_progress_handler(watch.look, _STEPS_BETWEEN_LOOKS)
    connection.execute(f"PRAGMA hard_heap_limit = {HEAP_BYTES_MAX}")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def _check_schema(connection: sqlite3.Connection, source: str) -> None:
    """Make sure that `Packages` is a plain table, among nothing but plain tables and indexes."""
    tables = set()
    # Its older name: SQLite knows the other one since 3.33.
    query = f"SELECT type, name, sql FROM sqlite_master LIMIT {SCHEMA_ENTRIES_MAX + 1}"
    entries = connection.execute(query).fetchall()
    if len(entries) > SCHEMA_ENTRIES_MAX:
        raise LimitError(f"{source} has more than {SCHEMA_ENTRIES_MAX} tables.", path=source)
    for kind, name, sql in entries:
        # The index that a constraint makes has no statement of its own.
        plain = _PLAIN.match(sql) if isinstance(sql, str) else kind == "index"
        if kind not in ("table", "index") or not plain:
            raise InvalidImageError(
                f"{source} holds more than plain tables: {name!a} is none.", path=source
            )
        if kind == "table":
            tables.add(name)
    if "Packages" not in tables:
        raise InvalidImageError(f"{source} has no table of packages.", path=source)
    columns = connection.execute("PRAGMA table_xinfo(Packages)").fetchall()
    if any(column[6] in _GENERATED for column in columns):
        raise InvalidImageError(
            f"{source} has a table of packages that is computed, not stored.", path=source
        )


def _too_slow(source: str) -> LimitError:
    return LimitError(f"{source} takes too long to read.", path=source)


def _refused(error: sqlite3.Error, source: str) -> InvalidImageError | LimitError:
    if isinstance(error, sqlite3.DataError):
        text = f"{source} has a header of more than {HEADER_BYTES_MAX} bytes."
        return LimitError(text, details=str(error), path=source)
    return InvalidImageError(f"{source} is no database of rpm.", details=str(error), path=source)
