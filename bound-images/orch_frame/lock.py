"""An advisory lock: shared for who needs a stable view, exclusive for writers.

A ``flock`` on a file, never a pid file: the kernel releases it however its holder ends.  Who holds
it is read from ``/proc/locks``, for the message only.
Source of the columns of ``/proc/locks``: proc(5).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orch_frame.errors import LockedError, OrchError, ReadOnlyError, StorageIOError

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT = 300.0
POLL_SECONDS = 0.05
COMMAND_CHARACTERS = 200


@contextmanager
def lock_held(path: Path, *, exclusive: bool, timeout: float) -> Iterator[None]:
    """Hold the lock on the file *path* for the block; wait up to *timeout* seconds, with a message.

    The file is made if need be.  A shared lock where nothing can be written and nobody ever locked
    is no lock at all, as there is nobody to guard against.

    Raises:
        LockedError: another process holds it, and did not release it in time.
        ReadOnlyError: an exclusive lock was asked for where nothing can be written.
        StorageIOError: the file is a symbolic link, or cannot be opened.
    """
    descriptor = _acquire(path, exclusive=exclusive, timeout=timeout)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _acquire(path: Path, *, exclusive: bool, timeout: float) -> int | None:
    """Return a descriptor that holds the lock, or None where none is needed."""
    deadline = time.monotonic() + timeout
    announced = False
    while True:
        descriptor = _open(path, exclusive=exclusive)
        if descriptor is None:
            return None
        if _lock(descriptor, exclusive=exclusive):
            if _is_still_at(descriptor, path):
                return descriptor
            os.close(descriptor)
            continue
        holder = _holder(descriptor)
        os.close(descriptor)
        if time.monotonic() >= deadline:
            raise LockedError(
                f"{path.parent} is locked by {holder}.",
                hint="Wait until it has ended, or allow more time with --lock-timeout.",
                path=str(path),
            )
        if not announced:
            logger.warning("Waiting for the lock of %s, held by %s.", path.parent, holder)
            announced = True
        time.sleep(POLL_SECONDS)


def _open(path: Path, *, exclusive: bool) -> int | None:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise _lock_error(path, error) from error
        if exclusive:
            raise ReadOnlyError(
                f"{path.parent} cannot be written: {error.strerror}.",
                hint=None if error.errno == errno.EROFS else "Run the command as root.",
                path=str(path.parent),
            ) from error
    try:
        return os.open(path, flags | os.O_RDONLY)
    except OSError:
        return None


def _lock_error(path: Path, error: OSError) -> OrchError:
    if error.errno == errno.ELOOP:
        return StorageIOError(f"The lock file {path} is a symbolic link.", path=str(path))
    return StorageIOError(
        f"The lock file {path} cannot be opened: {error.strerror}.", path=str(path)
    )


def _lock(descriptor: int, *, exclusive: bool) -> bool:
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still_at(descriptor: int, path: Path) -> bool:
    """Say whether the locked file is the one that the next process will open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    """Name who holds the lock of the open file, as far as ``/proc`` tells."""
    try:
        pid = find_holder(Path("/proc/locks").read_text(), os.fstat(descriptor).st_ino)
        if pid is None:
            return "another process"
        command = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
    except OSError:
        return "another process"
    text = command.decode(errors="backslashreplace")
    return f"process {pid} ({text[:COMMAND_CHARACTERS]})"


def find_holder(locks: str, inode: int) -> int | None:
    """Find the process that holds a ``flock`` on *inode* in the text of ``/proc/locks``.

    The device is not compared: what ``stat`` says of a file on overlayfs or btrfs is not what
    stands there.  Waiting processes, marked ``->``, are passed over.
    """
    for line in locks.splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            return int(fields[4])
    return None
