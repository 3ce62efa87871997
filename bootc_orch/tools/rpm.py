"""Let the rpm program list a database in one of its older formats.

Source: rpm's databases ``Packages.db`` (ndb) and ``Packages`` (Berkeley DB); rpm(8).
"""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import IO

from bootc_orch.process import PIPE, spawn
from orch_frame.errors import LimitError

SQLITE_NAME = "rpmdb.sqlite"
# A write-ahead log beside the database may hold what was written last.
SQLITE_FILES = (SQLITE_NAME, f"{SQLITE_NAME}-wal")
OLDER_FILES = ("Packages.db", "Packages")
DEADLINE_SECONDS = 20.0
LISTING_BYTES_MAX = 16 << 20


def list_packages(
    directory: Path, query_format: str, *, source: str, seconds: float = DEADLINE_SECONDS
) -> str:
    """Return what rpm lists of the database in *directory*, which must be writable.

    Args:
        directory: Where a copy of the database is.
        query_format: What to list of each package; see rpm-queryformat(7).
        source: What it is a copy of, for messages.
        seconds: How long rpm may take.

    Raises:
        ToolMissingError: rpm is not installed.
        CommandError: rpm cannot read it.
        LimitError: rpm takes too long, or lists too much.
    """
    query = ("rpm", "--dbpath", directory, "-qa", "--queryformat", query_format)
    with spawn(query, stdout=PIPE) as process:
        if process.stdout is None:
            raise AssertionError("a pipe was asked for")
        listing = _read(process.stdout, seconds, source)
    return listing.decode(errors="backslashreplace").rstrip("\n")


def _read(stream: IO[bytes], seconds: float, source: str) -> bytes:
    """Read *stream* to its end; who raises in the block of `spawn` ends the program."""
    found: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: found.put(stream.read(LISTING_BYTES_MAX + 1)), name="rpm", daemon=True
    ).start()
    try:
        listing = found.get(timeout=seconds)
    except queue.Empty:
        raise LimitError(f"{source} takes too long to read.", path=source) from None
    if len(listing) > LISTING_BYTES_MAX:
        raise LimitError(f"{source} has more packages than can be compared.", path=source)
    return listing
