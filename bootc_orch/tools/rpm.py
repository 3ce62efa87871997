"""Let the rpm program list a database in one of its older formats.

Source: rpm's databases ``Packages.db`` (ndb) and ``Packages`` (Berkeley DB); rpm(8).
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import IO

from bootc_orch.process import PIPE, program_exists, spawn
from orch_frame.errors import LimitError, ToolMissingError

SQLITE_NAME = "rpmdb.sqlite"
# A write-ahead log beside the database may hold what was written last.
SQLITE_FILES = (SQLITE_NAME, f"{SQLITE_NAME}-wal")
OLDER_FILES = ("Packages.db", "Packages")
DEADLINE_SECONDS = 20.0
LISTING_BYTES_MAX = 16 << 20
# It maps the database, and holds one header at a time.
MEMORY_BYTES_MAX = 1 << 30


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
    if not program_exists("rpm"):
        raise ToolMissingError("rpm")
    query = ("rpm", "--dbpath", directory, "-qa", "--queryformat", query_format)
    with spawn([*_bounds(seconds), *query], stdout=PIPE) as process:
        if process.stdout is None:
            raise AssertionError("a pipe was asked for")
        listing = _read(process.stdout, time.monotonic() + seconds, source)
    return listing.decode(errors="backslashreplace").rstrip("\n")


def _bounds(seconds: float) -> tuple[str, ...]:
    """The prefix that bounds memory and processor time; empty where util-linux is missing."""
    if not program_exists("prlimit"):
        return ()
    return ("prlimit", f"--as={MEMORY_BYTES_MAX}", f"--cpu={max(1, round(seconds))}", "--")


def _read(stream: IO[bytes], deadline: float, source: str) -> bytes:
    """Read *stream* to its end; who raises in the block of `spawn` ends the program."""
    pieces: list[bytes] = []
    length = 0
    while length <= LISTING_BYTES_MAX:
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise LimitError(f"{source} takes too long to read.", path=source)
        piece = os.read(stream.fileno(), 1 << 16)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        length += len(piece)
    raise LimitError(f"{source} has more packages than can be compared.", path=source)
