"""fs-verity: whether the kernel vouches for a file's content.

Source: ``linux/fsverity.h``, ``FS_IOC_MEASURE_VERITY``.
"""

from __future__ import annotations

import errno
import fcntl
import struct
from pathlib import Path

FS_IOC_MEASURE_VERITY = 0xC0046686
MAX_DIGEST = 64
NO_VERITY = (errno.ENODATA, errno.ENOTTY, errno.EOPNOTSUPP)


def has_verity(path: Path) -> bool | None:
    """Say whether *path* has fs-verity; None where the filesystem does not know it.

    Raises:
        OSError: the file cannot be opened, or asking failed.
    """
    request = bytearray(struct.pack("<HH", 0, MAX_DIGEST) + bytes(MAX_DIGEST))
    with path.open("rb") as file:
        try:
            fcntl.ioctl(file, FS_IOC_MEASURE_VERITY, request)
        except OSError as error:
            if error.errno not in NO_VERITY:
                raise
            return False if error.errno == errno.ENODATA else None
    return True
