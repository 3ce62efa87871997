"""One advisory lock a repository: shared for who needs a stable view, exclusive for writers.

It is a file in the repository; ostree's own locks stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orch_frame.lock import DEFAULT_TIMEOUT, lock_held

LOCK_NAME = ".bootc-orch.lock"


@dataclass(slots=True)
class _Held:
    """A lock of this process: how often it was taken, and how."""

    depth: int
    exclusive: bool


_held: dict[Path, _Held] = {}


@contextmanager
def locked(repo: Path, *, exclusive: bool, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Hold the lock of *repo* for the block; wait up to *timeout* seconds, with a message.

    An operation may call another that locks too: a lock which this process already holds is held
    on.  A shared lock on a repository that cannot be written and was never locked is no lock at
    all, as there is nobody to guard against.

    Raises:
        LockedError: another process holds it, and did not release it in time.
        ReadOnlyError: an exclusive lock was asked for where nothing can be written.
    """
    key = repo.resolve()
    held = _held.get(key)
    if held is not None:
        if exclusive and not held.exclusive:
            raise AssertionError("a shared lock cannot become exclusive")
        held.depth += 1
        try:
            yield
        finally:
            held.depth -= 1
        return
    with lock_held(repo / LOCK_NAME, exclusive=exclusive, timeout=timeout):
        _held[key] = _Held(1, exclusive)
        try:
            yield
        finally:
            del _held[key]
