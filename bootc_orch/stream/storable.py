"""What every ostree repository can keep, whatever its mode: names, link targets, attributes.

A repository of mode ``bare`` keeps attributes in the file system, ``bare-user`` all of a file's in
one attribute, ``archive`` in a header; `ostree fsck` reads each back in its own way.  What one of
them cannot keep is refused for all, so that an image that was pulled can be copied and verified
everywhere, and deployed.

Sources: Linux, xattr(7), ``limits.h`` and ``security/commoncap.c``; libostree, ``ostree-core.c``.
"""

from __future__ import annotations

import errno
import os
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from bootc_orch.model.gvariant import Xattrs, decode_xattrs, encode_xattrs
from orch_frame.errors import InvalidImageError, LimitError
from orch_frame.text import printable

NAME_BYTES_MAX = 255
# Of a directory: ostree refused larger metadata for long, and gives a warning from 7 MiB.
DIRTREE_BYTES_MAX = 10 << 20
TARGET_BYTES_MAX = 4095  # PATH_MAX without the NUL at its end
XATTRS_MAX = 128
XATTR_BYTES_MAX = 64 * 1024  # XATTR_SIZE_MAX
# All attributes of a file are one attribute in ``bare-user``, behind owner, group and mode.
XATTRS_BYTES_MAX = XATTR_BYTES_MAX - 12
CAPABILITY = b"security.capability\0"
_NAMESPACES = (b"user.", b"trusted.", b"security.", b"system.")
# Which revision of capabilities has which length; the kernel takes these two.
_CAPABILITY_LENGTHS = {2: 20, 3: 24}
_SMALL_BYTES = 4096
# What a file system answers to an attribute that it can never have.
_NEVER = (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.E2BIG, errno.ERANGE)
_FREE_BYTES = 1 << 20


def check_names(names: list[bytes], *, of: str) -> None:
    """Make sure that each of *names*, the entries of the directory *of*, can be one of a file.

    Raises:
        InvalidImageError: one is not UTF-8.
        LimitError: one is longer than `NAME_BYTES_MAX`.
    """
    try:
        b"/".join(names).decode()
    except UnicodeDecodeError as error:
        wrong = next(name for name in names if not is_text(name))
        raise InvalidImageError(f"{of} has the name {printable(wrong)}, not UTF-8.") from error
    if names and len(longest := max(names, key=len)) > NAME_BYTES_MAX:
        raise LimitError(f"{of} has a name of {len(longest)} bytes: {printable(longest)}")


def is_text(name: bytes) -> bool:
    """Say whether *name* is UTF-8."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def check_target(target: bytes, *, of: str) -> None:
    """Make sure that the symbolic link *of* can point to *target*.

    Raises:
        InvalidImageError: it is empty, too long, or not UTF-8.
    """
    if not 0 < len(target) <= TARGET_BYTES_MAX:
        raise InvalidImageError(f"{of} links to a target of {len(target)} bytes.")
    if not is_text(target):
        raise InvalidImageError(f"{of} links to the target {printable(target)}, not UTF-8.")


def check_xattrs(xattrs: Xattrs, *, of: str, link: bool = False) -> None:
    """Make sure that *of*, a symbolic link if it is a *link*, can have the attributes *xattrs*.

    Raises:
        InvalidImageError: they are out of order, one is there twice, or is one that the kernel
            refuses or ostree does not read back.
        LimitError: they are too many or too long.
    """
    if len(xattrs) > XATTRS_MAX:
        raise LimitError(f"{of} has {len(xattrs)} extended attributes.")
    for name, value in xattrs:
        _check_xattr(name, value, of, link=link)
    if any(first >= second for (first, _), (second, _) in pairwise(xattrs)):
        raise InvalidImageError(f"{of} has extended attributes out of order, or one twice.")
    if (length := len(encode_xattrs(xattrs))) > XATTRS_BYTES_MAX:
        raise LimitError(f"{of} has {length} bytes of extended attributes.")


def check_serialized_xattrs(data: bytes, *, of: str, link: bool = False) -> None:
    """Check attributes in the form that ostree stores; see `check_xattrs`."""
    # Thousands of files share a few lists, and an error needs to name its own file.
    if len(data) > _SMALL_BYTES or not _is_storable(data, link):
        check_xattrs(decode_xattrs(data), of=of, link=link)


@lru_cache(maxsize=1024)
def _is_storable(data: bytes, link: bool) -> bool:  # noqa: FBT001 - the cache's key
    try:
        check_xattrs(decode_xattrs(data), of="", link=link)
    except (InvalidImageError, LimitError):
        return False
    return True


def set_xattrs(file: int | str, xattrs: Xattrs) -> None:
    """Give *file*, open or a path that is not followed, the attributes *xattrs*.

    Raises:
        InvalidImageError: this file system cannot have one of them.
        OSError: it has no space, or setting fails otherwise.
    """
    for name, value in xattrs:
        try:
            if isinstance(file, int):
                os.setxattr(file, name[:-1], value)
            else:
                os.setxattr(file, name[:-1], value, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NEVER or (error.errno == errno.ENOSPC and _has_space(file)):
                raise InvalidImageError(
                    f"The extended attribute {printable(name[:-1])} of {len(value)} bytes cannot "
                    f"be kept in this file system: {error.strerror}."
                ) from error
            raise


def _check_xattr(name: bytes, value: bytes, of: str, *, link: bool) -> None:
    shown = printable(name.rstrip(b"\0"))
    bare = name[:-1]
    if name[-1:] != b"\0" or b"\0" in bare or not bare.startswith(_NAMESPACES):
        raise InvalidImageError(f"{of} has an extended attribute of an impossible name, {shown}.")
    if len(bare) > NAME_BYTES_MAX or bare in _NAMESPACES:
        raise InvalidImageError(f"{of} has an extended attribute of an impossible name, {shown}.")
    if link and bare.startswith(b"user."):
        raise InvalidImageError(f"{of} is a symbolic link, which cannot have {shown}.")
    if name == CAPABILITY and not _is_capability(value):
        raise InvalidImageError(f"{of} has a malformed extended attribute {shown}.")
    if not value:
        raise InvalidImageError(f"{of} has the extended attribute {shown} without a value.")
    if len(value) > XATTR_BYTES_MAX:
        raise LimitError(f"{of} has {len(value)} bytes in the extended attribute {shown}.")


def _is_capability(value: bytes) -> bool:
    """Say whether *value* is a set of file capabilities, its revision in the highest byte.

    Revision 3 ends with the user that is root to it; for 0 the kernel gives revision 2 back.
    """
    if len(value) < 4 or _CAPABILITY_LENGTHS.get(value[3]) != len(value):
        return False
    return value[3] == 2 or any(value[20:])


def _has_space(file: int | str) -> bool:
    """Say whether there is space: ext4 also says that there is none of attributes over a block."""
    status = os.statvfs(file if isinstance(file, int) else Path(file).parent)
    return status.f_bavail * status.f_frsize > _FREE_BYTES and status.f_favail > 0
