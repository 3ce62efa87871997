"""Make tar archives byte by byte, wrong ones too: nothing here checks what it is told to write.

Sources: POSIX.1-2017 pax, GNU tar manual ("Basic Tar Format").
"""

from __future__ import annotations

from collections.abc import Iterable

BLOCK = 512
POSIX_MAGIC = b"ustar\x0000"
GNU_MAGIC = b"ustar  \0"


def header(
    name: bytes,
    kind: bytes = b"0",
    *,
    size: int | bytes = 0,
    mode: int = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    magic: bytes = POSIX_MAGIC,
    checksum: bytes | None = None,
) -> bytes:
    """Return one header block; bytes instead of a number go into the field as they are."""
    block = b"".join(
        (
            name[:100].ljust(100, b"\0"),
            _field(mode, 8),
            _field(uid, 8),
            _field(gid, 8),
            _field(size, 12),
            _field(mtime, 12),
            b" " * 8,
            kind,
            link[:100].ljust(100, b"\0"),
            magic,
            bytes(64),
            _field(device[0], 8),
            _field(device[1], 8),
        )
    ).ljust(BLOCK, b"\0")
    return block[:148] + (checksum or b"%06o\0 " % sum(block)) + block[156:]


def base256(value: int, length: int) -> bytes:
    """Return a number field in GNU's binary form, for what octal digits cannot say."""
    field = bytearray(value.to_bytes(length, "big", signed=True))
    field[0] |= 0x80
    return bytes(field)


def padded(data: bytes) -> bytes:
    """Fill *data* up to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def file(name: bytes, data: bytes = b"data\n", *, mode: int = 0o644, **fields: object) -> bytes:
    """Return a regular file, with a PAX path where the name is long."""
    head = header(name, size=len(data), mode=mode, **fields)  # type: ignore[arg-type]
    return _long(name, b"") + head + padded(data)


def directory(name: bytes, *, mode: int = 0o755) -> bytes:
    """Return a directory."""
    return _long(name, b"") + header(name, b"5", mode=mode)


def symlink(name: bytes, target: bytes) -> bytes:
    """Return a symbolic link."""
    return _long(name, target) + header(name, b"2", link=target, mode=0o777)


def hardlink(name: bytes, target: bytes) -> bytes:
    """Return a hard link."""
    return _long(name, target) + header(name, b"1", link=target)


def device(name: bytes, kind: bytes, numbers: tuple[int, int] = (1, 3)) -> bytes:
    """Return a character (3) or block (4) device, or a FIFO (6)."""
    return header(name, kind, device=numbers)


def record(key: bytes, value: bytes) -> bytes:
    """Return one PAX record, its length in front."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def pax(records: Iterable[tuple[bytes, bytes]], kind: bytes = b"x") -> bytes:
    """Return a PAX header with *records*; *kind* ``g`` makes it a global one."""
    return raw_pax(b"".join(record(key, value) for key, value in records), kind)


def raw_pax(data: bytes, kind: bytes = b"x", *, claims: int | None = None) -> bytes:
    """Return a PAX header with *data* as it is; *claims* is the size it states instead."""
    size = len(data) if claims is None else claims
    return header(b"PaxHeaders/x", kind, size=size) + padded(data)


def gnu_long(name: bytes, kind: bytes = b"L", *, claims: int | None = None) -> bytes:
    """Return GNU's entry that carries a long name (``L``) or link target (``K``)."""
    data = name + b"\0"
    size = len(data) if claims is None else claims
    return header(b"././@LongLink", kind, size=size, magic=GNU_MAGIC) + padded(data)


def xattr(name: bytes, key: bytes, value: bytes, *, prefix: bytes = b"SCHILY.xattr.") -> bytes:
    """Return a regular file with one extended attribute."""
    return pax([(prefix + key, value)]) + file(name)


def archive(*parts: bytes, end_blocks: int = 2) -> bytes:
    """Join *parts* and write the end of the archive."""
    return b"".join(parts) + bytes(BLOCK * end_blocks)


def _field(value: int | bytes, length: int) -> bytes:
    if isinstance(value, bytes):
        return value.ljust(length, b"\0")
    return b"%0*o\0" % (length - 1, value)


def _long(name: bytes, target: bytes) -> bytes:
    records = [
        (key, value) for key, value in ((b"path", name), (b"linkpath", target)) if len(value) > 100
    ]
    return pax(records) if records else b""
