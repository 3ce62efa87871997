"""The immutable flag of a directory: with it, even root cannot add, remove or replace its entries.

Source: ``linux/fs.h``, ``FS_IOC_GETFLAGS`` and ``FS_IOC_SETFLAGS``; chattr(1) is their program.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONG = struct.calcsize("l")
FS_IOC_GETFLAGS = 0x80006601 | _LONG << 16
FS_IOC_SETFLAGS = 0x40006602 | _LONG << 16
FS_IMMUTABLE_FL = 0x10
NO_FLAGS = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def is_immutable(directory: Path) -> bool:
    """Say whether *directory* has the flag; a filesystem without flags has no such directory.

    Raises:
        OSError: it cannot be opened, or asking failed.
    """
    with _open_directory(directory) as descriptor:
        return bool((_flags(descriptor) or 0) & FS_IMMUTABLE_FL)


def set_immutable(directory: Path, *, immutable: bool) -> None:
    """Give *directory* the flag or take it away; nothing is done where there are no flags.

    Raises:
        OSError: the kernel refuses.
    """
    with _open_directory(directory) as descriptor:
        flags = _flags(descriptor)
        if flags is None:
            return
        wanted = flags | FS_IMMUTABLE_FL if immutable else flags & ~FS_IMMUTABLE_FL
        if wanted != flags:
            fcntl.ioctl(descriptor, FS_IOC_SETFLAGS, array.array("i", [wanted]))


def _flags(descriptor: int) -> int | None:
    flags = array.array("i", [0, 0])  # the kernel writes an int, whatever the request's size says
    try:
        fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, flags)
    except OSError as error:
        if error.errno in NO_FLAGS:
            return None
        raise
    return flags[0]


@contextmanager
def _open_directory(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
