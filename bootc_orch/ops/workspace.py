"""Private directories in a repository, which a later run removes if their owner has died."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootc_orch.ops.staging import LOCK_NAME, PREFIX
from bootc_orch.tools.ostree import Repo


@contextmanager
def workspace(repo: Repo, purpose: str) -> Iterator[Path]:
    """Yield an empty directory on the filesystem of *repo*; it is removed when the block ends.

    It is locked for as long, so that whoever cleans up after dead processes leaves it alone.
    """
    path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-", dir=repo.path / "tmp"))
    lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path)
        os.close(lock)
