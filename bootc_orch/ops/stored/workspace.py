"""Private directories in a repository, which a later run removes if their owner has died."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootc_orch.tools.ostree.repo import Repo

PREFIX = "bootc-orch-"


@contextmanager
def workspace(repo: Repo, purpose: str) -> Iterator[Path]:
    """Yield an empty directory on the filesystem of *repo*; it is removed when the block ends.

    It is locked for as long, so that whoever cleans up after dead processes leaves it alone.
    """
    path, lock = locked_directory(repo.path / "tmp", f"{purpose}-")
    try:
        yield path
    finally:
        shutil.rmtree(path)
        os.close(lock)


def locked_directory(parent: Path, purpose: str = "") -> tuple[Path, int]:
    """Make a directory in *parent* and lock it itself: a file in it could go before the rest does.

    Between the two another process may take it for abandoned and remove it; then there is another.

    Returns:
        Its path, and the descriptor that holds the lock.
    """
    while True:
        path = parent / f"{PREFIX}{purpose}{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)
