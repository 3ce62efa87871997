"""Private directories in a repository, which a later run removes if their owner has died."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootc_orch.ops.staging import locked_directory
from bootc_orch.tools.ostree import Repo


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
