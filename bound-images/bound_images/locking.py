"""One advisory lock a store: alone to write, shared to read; a descriptor holds it, not a file."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bound_images.files import REFUSED
from orch_frame.errors import LockedError, ReadOnlyError

logger = logging.getLogger(__name__)

LOCK_NAME = "lock"
DEFAULT_TIMEOUT = 600.0
_POLL_SECONDS = 0.1


@contextmanager
def locked(
    state: Path, *, shared: bool = False, timeout: float = DEFAULT_TIMEOUT
) -> Iterator[None]:
    """Hold the lock in the directory *state* while the block runs.

    Args:
        state: The directory beside the store; made if it is missing, unless *shared*.
        shared: Whether others may read at the same time.
        timeout: Seconds to wait for another process.

    Raises:
        LockedError: another process held it for longer than *timeout*.
        ReadOnlyError: the lock's file cannot be made.
    """
    try:
        state.mkdir(mode=0o755, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(state / LOCK_NAME, flags, 0o600)
    except OSError as error:
        raise ReadOnlyError(
            f"The lock of the store cannot be made in {state}: {error.strerror}.",
            hint="Run as root, where it can be written." if error.errno in REFUSED else None,
            path=str(state),
        ) from error
    try:
        _acquire(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, state, timeout)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, kind: int, state: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    waited = False
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"Another process has held the lock of {state} for {timeout:g} seconds.",
                    hint="Wait for it, or give a longer --lock-timeout.",
                    path=str(state),
                ) from error
            if not waited:
                logger.warning("Waiting for another process that holds the lock of %s.", state)
            waited = True
            time.sleep(_POLL_SECONDS)
        else:
            return
