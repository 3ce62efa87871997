"""One advisory lock a store: alone to write, shared to read; it lies beside the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bound_images.files import write_error
from orch_frame.lock import DEFAULT_TIMEOUT, lock_held

LOCK_NAME = "lock"


@contextmanager
def locked(
    state: Path, *, shared: bool = False, timeout: float = DEFAULT_TIMEOUT
) -> Iterator[None]:
    """Hold the lock in the directory *state* while the block runs.

    Args:
        state: The directory beside the store; made if it is missing.
        shared: Whether others may read at the same time.
        timeout: Seconds to wait for another process.

    Raises:
        LockedError: another process held it for longer than *timeout*.
        ReadOnlyError: the lock's file cannot be made.
        StorageIOError: the lock's file is a symbolic link, or cannot be opened.
    """
    try:
        state.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(error, state) from error
    with lock_held(state / LOCK_NAME, exclusive=not shared, timeout=timeout):
        yield
