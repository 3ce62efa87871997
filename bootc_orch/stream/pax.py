"""The records of PAX headers, which describe the next member of a tar archive.

Sources: POSIX.1-2017 pax; star's and libarchive's keys for extended attributes.
"""

from __future__ import annotations

import base64
import binascii

from orch_frame.errors import InvalidImageError, LimitError
from orch_frame.text import printable

XATTRS_MAX = 128
XATTR_BYTES_MAX = 64 * 1024
Records = dict[bytes, bytes]
_SCHILY = b"SCHILY.xattr."
_LIBARCHIVE = b"LIBARCHIVE.xattr."


def parse_records(data: bytes) -> Records:
    """Split the records ``LENGTH KEY=VALUE`` of a PAX header, a line each; the last one wins."""
    records = {}
    position = 0
    while position < len(data):
        blank = data.find(b" ", position, position + 20)
        digits = data[position:blank] if blank > 0 else b""
        if not digits.isdigit():
            raise InvalidImageError("A PAX header has a record without a length.")
        end = position + int(digits)
        if end > len(data) or end <= blank + 1 or data[end - 1 : end] != b"\n":
            raise InvalidImageError("A PAX header has a record of a wrong length.")
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise InvalidImageError("A PAX header has a record without a key.")
        if key.startswith(b"GNU.sparse."):
            raise InvalidImageError("The layer has a sparse file, which is not supported.")
        records[key] = value
        position = end
    return records


def refuse_global(records: Records) -> None:
    """A global header may carry comments, but nothing that changes members."""
    for key in records:
        if key in (b"path", b"linkpath", b"size", b"uid", b"gid") or b"xattr." in key:
            raise InvalidImageError(f"A global PAX header sets {printable(key)} for all members.")


def decimal(pax: Records, key: bytes, otherwise: int) -> int:
    """Return the number under *key*, or *otherwise* where there is none.

    Raises:
        InvalidImageError: it is no natural number.
    """
    text = pax.get(key)
    if text is None:
        return otherwise
    if not text.isdigit() or len(text) > 20:
        raise InvalidImageError(f"A PAX header has the {key.decode()} {text[:40]!r}.")
    return int(text)


def is_modified(pax: Records, stated: bool) -> bool:  # noqa: FBT001 - a value
    """Say whether the modification time is positive; nonsense is not."""
    text = pax.get(b"mtime")
    if text is None:
        return stated
    try:
        return float(text) > 0
    except ValueError:
        return False


def xattrs_of(pax: Records, name: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the extended attributes of the member *name*: names without NUL, and values.

    Raises:
        LimitError: there are more than `XATTRS_MAX`, or one has more than `XATTR_BYTES_MAX` bytes.
        InvalidImageError: one has no name, or cannot be read.
    """
    found = {}
    for key, value in pax.items():
        if key.startswith(_SCHILY):
            found[key[len(_SCHILY) :]] = value
        elif key.startswith(_LIBARCHIVE):
            found.setdefault(*_libarchive_xattr(key, value))
    if len(found) > XATTRS_MAX:
        raise LimitError(f"{printable(name)} has {len(found)} extended attributes.")
    for key, value in found.items():
        if len(value) > XATTR_BYTES_MAX:
            raise LimitError(
                f"{printable(name)} has {len(value)} bytes in the attribute {printable(key)}."
            )
        if not key or b"\0" in key:
            raise InvalidImageError(f"{printable(name)} has an extended attribute without a name.")
    return tuple(found.items())


def _libarchive_xattr(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Decode libarchive's own form: a quoted name and a base64 value."""
    from urllib.parse import unquote_to_bytes  # rarely needed, and slow to load

    try:
        return unquote_to_bytes(key[len(_LIBARCHIVE) :]), base64.b64decode(
            value + b"=" * (-len(value) % 4), validate=True
        )
    except binascii.Error as error:
        raise InvalidImageError("A PAX header has an unreadable extended attribute.") from error
