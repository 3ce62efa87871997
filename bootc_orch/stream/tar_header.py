"""One header block of a tar archive: 512 bytes of fields at fixed places.

Sources: POSIX.1-2017 pax, GNU tar manual ("Basic Tar Format"), libarchive tar(5).
"""

from __future__ import annotations

from functools import lru_cache
from zlib import adler32

from orch_frame.errors import InvalidImageError

BLOCK_BYTES = 512
_DIALECTS = (b"ustar\0", b"ustar ")


def verify_header(block: bytes) -> None:
    """Compare the sum of a header's bytes with the stated one, and know its dialect.

    Adler-32 holds that sum, plus one, in its low half as long as it stays below 65521: each half
    of a header does, and C adds up faster than Python.
    """
    stated = block[148:156]
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    total += 8 * 0x20 - sum(stated)
    # Nearly every writer formats it like this, and comparing is faster than parsing.
    if stated != b"%06o\0 " % total and number(stated, "checksum") != total:
        raise InvalidImageError("A tar header has a wrong checksum, or this is no tar archive.")
    if block[257:263] not in _DIALECTS and block[257:265] != bytes(8):
        raise InvalidImageError("A tar header is of an unknown dialect.")


@lru_cache(maxsize=4096)
def number(field: bytes, what: str) -> int:
    """Read a number field: octal digits, or GNU's base 256 where the first bit is set.

    Modes, owners and dates repeat all through an archive, hence the cache.

    Raises:
        InvalidImageError: it is neither.
    """
    first = field[0]
    if first & 0x80:
        negative = first == 0xFF
        value = int.from_bytes(field if negative else bytes([first & 0x7F]) + field[1:], "big")
        return value - (1 << 8 * len(field)) if negative else value
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if not digits:
        return 0
    try:
        if not digits.isdigit():
            raise ValueError(digits)
        return int(digits, 8)
    except ValueError as error:
        raise InvalidImageError(f"A tar header has the {what} {digits!r}.") from error


@lru_cache(maxsize=1024)
def attributes(fields: bytes) -> tuple[int, int, int]:
    """Read mode, owner and group, which stand together."""
    mode = number(fields[:8], "mode") & 0o7777
    return mode, number(fields[8:16], "owner"), number(fields[16:], "group")


def text(block: bytes, start: int, length: int) -> bytes:
    """Read a text field, which ends with a NUL unless it is full."""
    end = block.find(b"\0", start, start + length)
    return block[start : start + length if end < 0 else end]


def member_name(block: bytes) -> bytes:
    """Read the name, with the prefix that POSIX headers have apart."""
    name = text(block, 0, 100)
    if block[257:263] == b"ustar\0" and block[345]:
        return text(block, 345, 155) + b"/" + name
    return name
