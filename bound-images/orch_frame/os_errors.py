"""What a failed system call means: its errno to an error with class, hint and exit status."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from orch_frame.errors import (
    InternalError,
    OrchError,
    ReadOnlyError,
    ResourceError,
    SpaceError,
    StorageIOError,
)

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)


def from_os_error(error: OSError, *, place: Path | None = None) -> OrchError:
    """Return the error that stands for a failed system call.

    Args:
        error: What was raised.
        place: Where something was being written, for an error that names no file.
    """
    if error.errno is None:
        return InternalError(error)
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    where = path or (str(place) if place else None)
    summary = f"{where}: {error.strerror}." if where else f"{error.strerror}."
    if error.errno in _NO_SPACE:
        hint = "Free some space, then try again."
        return SpaceError(summary, hint=hint, details=_free_space(place), path=where)
    if error.errno in _NOT_WRITABLE:
        return ReadOnlyError(summary, hint=_privilege_hint(error), path=where)
    if error.errno == errno.EIO:
        return StorageIOError(summary, path=where)
    if error.errno in _RESOURCES:
        return ResourceError(summary, hint="Raise the limits of processes, files and memory.")
    return OrchError(summary, path=where) if where else InternalError(error)


def _privilege_hint(error: OSError) -> str | None:
    lacking = error.errno != errno.EROFS and os.geteuid() != 0
    return "Run the command as root." if lacking else None


def _free_space(place: Path | None) -> str | None:
    """Say how much is free at *place*: bytes may be plenty where inodes are gone."""
    if place is None:
        return None
    try:
        status = os.statvfs(place)
    except OSError:
        return None
    free = status.f_bavail * status.f_frsize
    return f"{free} bytes and {status.f_favail} inodes are free below {place}"
