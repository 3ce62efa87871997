"""The serialisation of ostree's metadata objects, both ways.

Only the types that ostree stores are here, each with a function of its own.  Decoding refuses what
is not in normal form rather than guessing, because the bytes may come from a registry.

Source: the GVariant specification (framing) and ostree's object formats (which types; its integers
are big-endian *values* inside little-endian framing).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orch_frame.errors import InvalidImageError

Xattrs = tuple[tuple[bytes, bytes], ...]
"""Names with their trailing NUL, and values; sorted by name."""

# Of a file in a dirtree: a name of 64 digits, its NUL, a checksum, and where the name ends.
_CHUNK_ITEM_BYTES = 64 + 1 + 32 + 1
_OFFSET_FORMATS = ((1, "B"), (2, "<H"), (4, "<I"), (8, "<Q"))


@dataclass(frozen=True, slots=True)
class Variant:
    """A value of any type, kept serialised.

    Attributes:
        type: The type string, such as ``s``.
        data: The value's bytes.
    """

    type: str
    data: bytes

    @classmethod
    def string(cls, text: str) -> Variant:
        """Wrap *text*."""
        return cls("s", text.encode() + b"\0")

    @classmethod
    def boolean(cls, value: bool) -> Variant:  # noqa: FBT001 - the value itself, not an option
        """Wrap a boolean."""
        return cls("b", bytes([value]))

    def as_string(self) -> str | None:
        """Return the text of a string, or None for a value of any other type."""
        if self.type != "s":
            return None
        return self.data.rstrip(b"\0").decode(errors="surrogateescape")

    def as_boolean(self) -> bool | None:
        """Return a boolean's value, or None for a value of any other type."""
        return self.data == b"\1" if self.type == "b" else None


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit object, type ``(a{sv}aya(say)sstayay)``.

    Attributes:
        metadata: Keys and values in their stored order.
        parent: The parent's checksum, 64 hexadecimal digits, or None.
        timestamp: Seconds since 1970.
        tree: Checksum of the root dirtree.
        meta: Checksum of the root dirmeta.
        subject: One line, often empty.
        body: Text, often empty.
    """

    metadata: tuple[tuple[str, Variant], ...]
    parent: str | None
    timestamp: int
    tree: str
    meta: str
    subject: str = ""
    body: str = ""

    def text(self, key: str) -> str | None:
        """Return the string stored under *key*, or None."""
        for name, value in self.metadata:
            if name == key:
                return value.as_string()
        return None

    def encode(self) -> bytes:
        """Serialise; the commit's checksum is the SHA-256 of these bytes."""
        parts = (
            (8, encode_dict(self.metadata), True),
            (1, bytes.fromhex(self.parent or ""), True),
            (1, b"", True),
            (1, self.subject.encode() + b"\0", True),
            (1, self.body.encode() + b"\0", True),
            (8, struct.pack(">Q", self.timestamp), False),
            (1, bytes.fromhex(self.tree), True),
            (1, bytes.fromhex(self.meta), False),
        )
        return _tuple(parts)

    @classmethod
    def decode(cls, data: bytes) -> Commit:
        """Read a commit object.

        Raises:
            InvalidImageError: the bytes are not such an object.
        """
        what = "commit object"
        width = _width(data, what)
        ends = [_offset(data, len(data) - (i + 1) * width, width) for i in range(6)]
        # Stored in reverse: metadata, parent, related, subject, body, tree.
        metadata, parent, related, subject, body, tree = ends
        stamp = (body + 7) & ~7
        limit = len(data) - 6 * width
        if not metadata <= parent <= related <= subject <= body <= stamp + 8 <= tree <= limit:
            raise InvalidImageError(f"A {what} has offsets out of order.")
        return cls(
            metadata=decode_dict(data[:metadata]),
            parent=_checksum(data[metadata:parent], what) if parent > metadata else None,
            timestamp=int.from_bytes(data[stamp : stamp + 8], "big"),
            tree=_checksum(data[stamp + 8 : tree], what),
            meta=_checksum(data[tree:limit], what),
            subject=data[related:subject].rstrip(b"\0").decode(errors="surrogateescape"),
            body=data[subject:body].rstrip(b"\0").decode(errors="surrogateescape"),
        )


@dataclass(frozen=True, slots=True)
class Dirtree:
    """A directory's entries, type ``(a(say)a(sayay))``, both lists sorted bytewise.

    Attributes:
        files: Name and checksum of each file or link.
        dirs: Name, dirtree checksum and dirmeta checksum of each directory.
    """

    files: tuple[tuple[bytes, bytes], ...]
    dirs: tuple[tuple[bytes, bytes, bytes], ...]

    def encode(self) -> bytes:
        """Serialise; checksums are 32 raw bytes."""
        return encode_dirtree(self.files, self.dirs)

    @classmethod
    def decode(cls, data: bytes) -> Dirtree:
        """Read a dirtree object.

        Raises:
            InvalidImageError: the bytes are not such an object.
        """
        what = "dirtree object"
        width = _width(data, what)
        split = _offset(data, len(data) - width, width)
        if split > len(data) - width:
            raise InvalidImageError(f"A {what} has an offset outside of it.")
        files = [_file(item, what) for item in _items(data[:split], what)]
        dirs = [_dir(item, what) for item in _items(data[split : len(data) - width], what)]
        return cls(tuple(files), tuple(dirs))


@dataclass(frozen=True, slots=True)
class Dirmeta:
    """A directory's own attributes, type ``(uuua(ayay))``.

    Attributes:
        uid: Owner.
        gid: Group.
        mode: With the directory type bits.
        xattrs: Sorted by name.
    """

    uid: int
    gid: int
    mode: int
    xattrs: Xattrs = ()

    def encode(self) -> bytes:
        """Serialise; ``user.ostreemeta`` of a ``bare-user`` file has the same form."""
        return struct.pack(">III", self.uid, self.gid, self.mode) + encode_xattrs(self.xattrs)

    @classmethod
    def decode(cls, data: bytes) -> Dirmeta:
        """Read a dirmeta object.

        Raises:
            InvalidImageError: the bytes are not such an object.
        """
        if len(data) < 12:
            raise InvalidImageError("A dirmeta object is too short.")
        uid, gid, mode = struct.unpack_from(">III", data)
        return cls(uid, gid, mode, decode_xattrs(data[12:]))


def encode_dirtree(
    files: Sequence[tuple[bytes, bytes]], dirs: Sequence[tuple[bytes, bytes, bytes]]
) -> bytes:
    """Serialise sorted entries; see `Dirtree`."""
    encoded_files = _array([_pair(name + b"\0", checksum) for name, checksum in files])
    encoded_dirs = _array([_triple(name + b"\0", tree, meta) for name, tree, meta in dirs])
    return _with_offsets(encoded_files + encoded_dirs, [len(encoded_files)])


def encode_chunk_dirtree(contents: Iterable[bytes]) -> bytes:
    """Serialise a directory of files only, each named by its own checksum of 32 raw bytes.

    The same as `encode_dirtree` of them, with an item in memory at a time.
    """
    items = bytearray()
    for checksum in contents:
        items += checksum.hex().encode() + b"\0" + checksum + bytes([65])
    if not items:
        return encode_dirtree((), ())
    ends = range(_CHUNK_ITEM_BYTES, len(items) + 1, _CHUNK_ITEM_BYTES)
    for width, form in _OFFSET_FORMATS:
        if len(items) + width * len(ends) < 1 << 8 * width:
            items += struct.pack(f"<{len(ends)}{form[-1]}", *ends)
            break
    return _with_offsets(bytes(items), [len(items)])


def is_chunk_dirtree(data: bytes) -> bool:
    """Say whether *data* is a dirtree of files only, each named by its own checksum.

    The same can be told from `Dirtree.decode`, in five times as long: chunks have very many files.
    """
    if not data:
        return False
    width = _width(data, "dirtree object")
    files = data[: _offset(data, len(data) - width, width)]
    if not files or len(files) != len(data) - width:
        return len(data) == width
    table = next(fmt for size, fmt in _OFFSET_FORMATS if size == _width(files, "dirtree object"))
    count = len(files) // (_CHUNK_ITEM_BYTES + struct.calcsize(table))
    end = count * _CHUNK_ITEM_BYTES
    starts = range(0, end, _CHUNK_ITEM_BYTES)
    names = b"".join([files[start : start + 64] for start in starts])
    sums = b"".join([files[start + 65 : start + 97] for start in starts])
    ends = range(_CHUNK_ITEM_BYTES, end + 1, _CHUNK_ITEM_BYTES)
    return (
        names == sums.hex().encode()
        and files[64:end:_CHUNK_ITEM_BYTES] == bytes(count)
        and files[97:end:_CHUNK_ITEM_BYTES] == bytes([65]) * count
        and files[end:] == struct.pack(f"<{count}{table[-1]}", *ends)
    )


def encode_xattrs(xattrs: Xattrs) -> bytes:
    """Serialise as ``a(ayay)``; nothing for none."""
    return _array([_pair(name, value) for name, value in xattrs]) if xattrs else b""


def decode_xattrs(data: bytes) -> Xattrs:
    """Read ``a(ayay)``.

    Raises:
        InvalidImageError: the bytes are not of that type.
    """
    what = "list of extended attributes"
    return tuple(_split_pair(item, what) for item in _items(data, what))


def content_header(
    *, uid: int, gid: int, mode: int, target: bytes = b"", xattrs: bytes = b""
) -> bytes:
    """Return what a content object's checksum begins with, length prefix included.

    Args:
        uid: Owner.
        gid: Group.
        mode: With the file type bits.
        target: Where a symbolic link points; empty for a regular file.
        xattrs: The extended attributes, already serialised by `encode_xattrs`.
    """
    fixed = struct.pack(">IIII", uid, gid, mode, 0) + target + b"\0"
    variant = _with_offsets(fixed + xattrs, [len(fixed)])
    return struct.pack(">II", len(variant), 0) + variant


def archive_header(
    *, size: int, uid: int, gid: int, mode: int, target: bytes = b"", xattrs: bytes = b""
) -> bytes:
    """Return the head of a ``.filez`` object of an ``archive`` repository, with its length."""
    fixed = struct.pack(">QIIII", size, uid, gid, mode, 0) + target + b"\0"
    variant = _with_offsets(fixed + xattrs, [len(fixed)])
    return struct.pack(">II", len(variant), 0) + variant


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What a ``.filez`` object says of its file.

    Attributes:
        size: Length of the content in bytes.
        uid: Owner.
        gid: Group.
        mode: With the file type bits.
        target: Where a symbolic link points, else empty.
        xattrs: Sorted by name.
    """

    size: int
    uid: int
    gid: int
    mode: int
    target: bytes
    xattrs: Xattrs

    @classmethod
    def decode_archive(cls, data: bytes) -> FileHeader:
        """Read the header variant of a ``.filez`` object, without its length prefix.

        Raises:
            InvalidImageError: the bytes are not of type ``(tuuuusa(ayay))``.
        """
        what = "archive header"
        width = _width(data, what)
        end = _offset(data, len(data) - width, width)
        if not 24 < end <= len(data) - width:
            raise InvalidImageError(f"An {what} has an offset outside of it.")
        size, uid, gid, mode, _ = struct.unpack_from(">QIIII", data)
        xattrs = decode_xattrs(data[end : len(data) - width])
        return cls(size, uid, gid, mode, data[24 : end - 1], xattrs)


def encode_dict(entries: Iterable[tuple[str, Variant]]) -> bytes:
    """Serialise ``a{sv}`` in the given order."""
    body = bytearray()
    ends = []
    for key, value in entries:
        body += bytes(-len(body) % 8)
        body += _dict_entry(key, value)
        ends.append(len(body))
    return _with_offsets(bytes(body), ends, reverse=False)


def decode_dict(data: bytes) -> tuple[tuple[str, Variant], ...]:
    """Read ``a{sv}``, keeping its order.

    Raises:
        InvalidImageError: the bytes are not of that type.
    """
    what = "metadata dictionary"
    return tuple(_split_dict_entry(item, what) for item in _items(data, what, alignment=8))


def decode_strings(data: bytes) -> tuple[str, ...]:
    """Read ``as``.

    Raises:
        InvalidImageError: the bytes are not of that type.
    """
    items = _items(data, "list of strings")
    return tuple(item.rstrip(b"\0").decode(errors="surrogateescape") for item in items)


def encode_byte_strings(items: Iterable[bytes]) -> bytes:
    """Serialise ``aay``."""
    return _array(list(items))


def decode_byte_strings(data: bytes) -> tuple[bytes, ...]:
    """Read ``aay``.

    Raises:
        InvalidImageError: the bytes are not of that type.
    """
    return tuple(_items(data, "list of byte strings"))


def _dict_entry(key: str, value: Variant) -> bytes:
    name = key.encode() + b"\0"
    body = name + bytes(-len(name) % 8) + value.data + b"\0" + value.type.encode()
    return _with_offsets(body, [len(name)])


def _split_dict_entry(data: bytes, what: str) -> tuple[str, Variant]:
    width = _width(data, what)
    end = _offset(data, len(data) - width, width)
    start = (end + 7) & ~7
    value = data[start : len(data) - width]
    separator = value.rfind(b"\0")
    if not 0 < end <= start < len(data) or separator < 0:
        raise InvalidImageError(f"A {what} has an offset outside of it.")
    key = data[: end - 1].decode(errors="surrogateescape")
    return key, Variant(value[separator + 1 :].decode("latin-1"), value[:separator])


def _tuple(parts: Iterable[tuple[int, bytes, bool]]) -> bytes:
    """Join members given as (alignment, bytes, whether an end offset is stored)."""
    body = bytearray()
    ends = []
    for alignment, data, framed in parts:
        body += bytes(-len(body) % alignment)
        body += data
        if framed:
            ends.append(len(body))
    return _with_offsets(bytes(body), ends)


def _with_offsets(body: bytes, ends: list[int], *, reverse: bool = True) -> bytes:
    """Append end offsets in the smallest width that fits the whole."""
    if not ends:
        return body
    if reverse:
        ends = ends[::-1]
    for width, form in _OFFSET_FORMATS:
        if len(body) + width * len(ends) < 1 << 8 * width:
            return body + b"".join(struct.pack(form, end) for end in ends)
    raise AssertionError("a width of 8 bytes fits everything")


def _array(items: list[bytes]) -> bytes:
    ends = []
    total = 0
    for item in items:
        total += len(item)
        ends.append(total)
    return _with_offsets(b"".join(items), ends, reverse=False)


def _pair(first: bytes, second: bytes) -> bytes:
    return _with_offsets(first + second, [len(first)])


def _triple(first: bytes, second: bytes, third: bytes) -> bytes:
    return _with_offsets(first + second + third, [len(first), len(first) + len(second)])


def _width(data: bytes, what: str) -> int:
    """The offset width of a non-empty container."""
    if not data:
        raise InvalidImageError(f"A {what} is empty.")
    return next(width for width, _ in _OFFSET_FORMATS if len(data) < 1 << 8 * width)


def _offset(data: bytes, position: int, width: int) -> int:
    if position < 0:
        raise InvalidImageError("A serialised object is too short.")
    return int.from_bytes(data[position : position + width], "little")


def _items(data: bytes, what: str, *, alignment: int = 1) -> list[bytes]:
    """Split an array of variable-size elements."""
    if not data:
        return []
    width = _width(data, what)
    table = _offset(data, len(data) - width, width)
    if table > len(data) - width or (len(data) - table) % width:
        raise InvalidImageError(f"A {what} has an offset table of a wrong size.")
    items = []
    start = 0
    for position in range(table, len(data), width):
        start += -start % alignment
        end = _offset(data, position, width)
        if not start <= end <= table:
            raise InvalidImageError(f"A {what} has offsets out of order.")
        items.append(data[start:end])
        start = end
    return items


def _split_pair(data: bytes, what: str) -> tuple[bytes, bytes]:
    width = _width(data, what)
    end = _offset(data, len(data) - width, width)
    if end > len(data) - width:
        raise InvalidImageError(f"A {what} has an offset outside of it.")
    return data[:end], data[end : len(data) - width]


def _file(data: bytes, what: str) -> tuple[bytes, bytes]:
    name, checksum = _split_pair(data, what)
    if len(checksum) != 32 or not name.endswith(b"\0"):
        raise InvalidImageError(f"A {what} has a malformed entry.")
    return _entry_name(name, what), checksum


def _dir(data: bytes, what: str) -> tuple[bytes, bytes, bytes]:
    width = _width(data, what)
    name_end = _offset(data, len(data) - width, width)
    tree_end = _offset(data, len(data) - 2 * width, width)
    limit = len(data) - 2 * width
    if tree_end - name_end != 32 or limit - tree_end != 32:
        raise InvalidImageError(f"A {what} has a malformed entry.")
    name = _entry_name(data[:name_end], what)
    return name, data[name_end:tree_end], data[tree_end:limit]


def _entry_name(name: bytes, what: str) -> bytes:
    """Strip the NUL of a directory entry's name and refuse names that are paths."""
    bare = name[:-1]
    if name[-1:] != b"\0" or bare in (b"", b".", b"..") or b"/" in bare or b"\0" in bare:
        raise InvalidImageError(f"A {what} has the name {bare!r}.")
    return bare


def _checksum(data: bytes, what: str) -> str:
    if len(data) != 32:
        raise InvalidImageError(f"A {what} has a checksum of {len(data)} bytes.")
    return data.hex()
