"""A strict reader of tar archives, in one pass over a stream.

It exists because no reader at hand refuses what must be refused: a bad header, a size that two
headers state differently, a cut-off end, a sparse map.  It knows the dialects that image builders
write (POSIX ustar with PAX records, GNU long names, old V7) and fails on everything else, with the
offset.  Nothing here interprets paths; that is the caller's.

Sources: POSIX.1-2017 pax, GNU tar manual ("Basic Tar Format"), libarchive tar(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bootc_orch.stream.pax import (
    Records,
    decimal,
    is_modified,
    parse_records,
    refuse_global,
    xattrs_of,
)
from bootc_orch.stream.tar_header import (
    BLOCK_BYTES,
    attributes,
    member_name,
    number,
    text,
    verify_header,
)
from orch_frame.errors import InvalidImageError, LimitError, OrchError
from orch_frame.text import printable

HEADER_BYTES_MAX = 1024 * 1024
SMALL_BYTES = 1024 * 1024
SIZE_MAX = 1 << 53
ID_MAX = (1 << 32) - 2

REGULAR = b"0"
HARDLINK = b"1"
SYMLINK = b"2"
CHARACTER_DEVICE = b"3"
BLOCK_DEVICE = b"4"
DIRECTORY = b"5"
FIFO = b"6"
_TYPES = frozenset((REGULAR, HARDLINK, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, DIRECTORY, FIFO))
_REGULAR_ALIASES = frozenset((b"\0", b"7"))
_ZERO_BLOCK = bytes(BLOCK_BYTES)
_NO_RECORDS: Records = {}


class Member(NamedTuple):
    """One entry of an archive.

    Attributes:
        type: `REGULAR`, `HARDLINK`, `SYMLINK`, `DIRECTORY`, or a device or FIFO.
        name: The path as written, bytes.
        size: Length of its content in bytes; 0 for all but regular files.
        mode: Permission bits with setuid, setgid and sticky; no file type.
        uid: Owner.
        gid: Group.
        modified: Whether its modification time lies after 1970.
        link: Target of a hard or symbolic link, as written.
        xattrs: Name without NUL, and value; in the order of the archive.
        offset: Where its header stands in the uncompressed stream, in bytes.
    """

    type: bytes
    name: bytes
    size: int
    mode: int
    uid: int
    gid: int
    modified: bool
    link: bytes
    xattrs: tuple[tuple[bytes, bytes], ...]
    offset: int


class TarReader:
    """The members of an archive, in order.

    Iterate over it; before taking the next member, read the content of the current one with
    `read` or `pieces`, or leave it, and it is skipped.

    Args:
        pieces: The uncompressed archive, in pieces of any length.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = b""
        self._position = 0
        self._consumed = 0
        self._unread = 0
        self._padding = 0
        self._long: dict[bytes, bytes] = {}
        self._pax: Records | None = None

    @property
    def offset(self) -> int:
        """How many bytes of the archive have been read."""
        return self._consumed + self._position

    def __iter__(self) -> Iterator[Member]:
        """Yield each member.

        Raises:
            InvalidImageError: the archive is malformed or cut off; the summary has the offset.
            LimitError: an extended header is larger than `HEADER_BYTES_MAX`.
        """
        while True:
            self._skip_content()
            start = self.offset
            block = self._take(BLOCK_BYTES, may_end=True)
            if not block or block == _ZERO_BLOCK:
                self._finish(start)
                return
            try:
                member = self._member(block, start)
            except OrchError as error:
                error.details = error.details or f"offset {start} of the uncompressed layer"
                raise
            if member is not None:
                yield member

    def read(self) -> bytes:
        """Return the whole content of the current member, meant for up to `SMALL_BYTES`."""
        size, self._unread = self._unread, 0
        return self._take(size)

    def pieces(self) -> Iterator[bytes]:
        """Yield the content of the current member in pieces."""
        while self._unread:
            if self._position == len(self._buffer) and not self._refill():
                raise self._cut_off()
            piece = self._buffer[self._position : self._position + self._unread]
            self._position += len(piece)
            self._unread -= len(piece)
            yield piece

    def _skip_content(self) -> None:
        left = self._unread + self._padding
        self._unread = self._padding = 0
        while left:
            if self._position == len(self._buffer) and not self._refill():
                raise self._cut_off()
            step = min(left, len(self._buffer) - self._position)
            self._position += step
            left -= step

    def _take(self, size: int, *, may_end: bool = False) -> bytes:
        """Return exactly *size* bytes; nothing at the end of the stream if that is allowed."""
        end = self._position + size
        if end <= len(self._buffer):
            taken = self._buffer[self._position : end]
            self._position = end
            return taken
        parts: list[bytes] = []
        missing = size
        while missing:
            if self._position == len(self._buffer) and not self._refill():
                if may_end and missing == size:
                    return b""
                raise self._cut_off()
            part = self._buffer[self._position : self._position + missing]
            self._position += len(part)
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _refill(self) -> bool:
        self._consumed += len(self._buffer)
        self._position = 0
        for piece in self._pieces:
            if piece:
                self._buffer = piece
                return True
        self._buffer = b""
        return False

    def _cut_off(self) -> InvalidImageError:
        return InvalidImageError(f"The tar archive ends in the middle, at offset {self.offset}.")

    def _finish(self, start: int) -> None:
        """Read on after the first zero block: only zeros may follow."""
        if self._long or self._pax is not None:
            raise InvalidImageError(
                f"The tar archive ends after an extended header, at offset {start}."
            )
        while True:
            rest = self._buffer[self._position :]
            if rest.count(0) != len(rest):
                raise InvalidImageError(
                    f"The tar archive has data after its end, at offset {self.offset}."
                )
            self._position = len(self._buffer)
            if not self._refill():
                return

    def _member(self, block: bytes, start: int) -> Member | None:
        """Interpret one header; None for one that only describes the next."""
        verify_header(block)
        kind = block[156:157]
        size = number(block[124:136], "size")
        if not 0 <= size <= SIZE_MAX:
            raise InvalidImageError(f"A tar header has the size {size}.")
        if kind in b"xgLK":
            self._extend(kind, size)
            return None
        if kind == b"V":
            self._expect_content(size)
            return None
        name, link, pax = self._names(block)
        kind = _type(kind, name)
        size = _size(size, pax, name) if pax else size
        if size and kind != REGULAR:
            raise InvalidImageError(f"{printable(name)} is not a file but has content.")
        self._expect_content(size)
        mode, uid, gid = attributes(block[100:124])
        modified = number(block[136:148], "modification time") > 0
        xattrs: tuple[tuple[bytes, bytes], ...] = ()
        if pax:
            uid, gid = decimal(pax, b"uid", uid), decimal(pax, b"gid", gid)
            modified = is_modified(pax, modified)
            xattrs = xattrs_of(pax, name)
        if not (0 <= uid <= ID_MAX and 0 <= gid <= ID_MAX):
            raise InvalidImageError(f"{printable(name)} has the impossible owner {uid}:{gid}.")
        return Member(kind, name, size, mode, uid, gid, modified, link, xattrs, start)

    def _names(self, block: bytes) -> tuple[bytes, bytes, Records]:
        """Return name, link target and PAX records of the member that *block* begins."""
        name, link = member_name(block), text(block, 157, 100)
        if not self._long and self._pax is None:
            return name, link, _NO_RECORDS
        long, pax = self._long, self._pax or {}
        self._long, self._pax = {}, None
        name = _one_of(long.get(b"L"), pax.get(b"path"), name, "name")
        return name, _one_of(long.get(b"K"), pax.get(b"linkpath"), link, "link target"), pax

    def _expect_content(self, size: int) -> None:
        self._unread = size
        self._padding = -size % BLOCK_BYTES

    def _extend(self, kind: bytes, size: int) -> None:
        """Read a header that describes the next member, or all that follow."""
        if size > HEADER_BYTES_MAX:
            raise LimitError(
                f"An extended tar header has {size} bytes, more than {HEADER_BYTES_MAX}."
            )
        self._expect_content(size)
        data = self.read()
        if kind == b"g":
            refuse_global(parse_records(data))
        elif kind == b"x":
            if self._pax is not None:
                raise InvalidImageError("Two PAX headers precede one tar member.")
            self._pax = parse_records(data)
        elif kind in self._long:
            raise InvalidImageError("Two long names precede one tar member.")
        else:
            self._long[kind] = data.rstrip(b"\0")


def locate_in_archive(error: OrchError, member: Member) -> OrchError:
    """Say where in the layer *error* was met, and return it."""
    error.locate(path=printable(member.name))
    if error.details is None:
        error.details = f"offset {member.offset} of the uncompressed layer"
    return error


def _one_of(long: bytes | None, pax: bytes | None, short: bytes, what: str) -> bytes:
    """Choose between GNU's and PAX's way to say the same thing, refusing a contradiction."""
    if long is not None and pax is not None and long != pax:
        raise InvalidImageError(f"A tar member has two different {what}s: {printable(long)}.")
    chosen = pax if pax is not None else long
    if chosen is None:
        return short
    if b"\0" in chosen:
        raise InvalidImageError(f"A tar member has a NUL in its {what}: {printable(chosen)}.")
    return chosen


def _type(kind: bytes, name: bytes) -> bytes:
    if kind in _REGULAR_ALIASES:
        # Archives from before POSIX have no type for directories but the name's last byte.
        return DIRECTORY if kind == b"\0" and name.endswith(b"/") else REGULAR
    if kind not in _TYPES:
        raise InvalidImageError(f"{printable(name)} has the unsupported tar type {kind!r}.")
    return kind


def _size(stated: int, pax: Records, name: bytes) -> int:
    """Take the size of the PAX header only where the other one could not hold it.

    Readers that disagree on which of two sizes counts see different members in one archive.
    """
    size = decimal(pax, b"size", stated)
    if size != stated and not (stated == 0 and size >= 1 << 33):
        raise InvalidImageError(
            f"{printable(name)} has two sizes in its headers, {stated} and {size}."
        )
    if size > SIZE_MAX:
        raise InvalidImageError(f"{printable(name)} has the size {size}.")
    return size
