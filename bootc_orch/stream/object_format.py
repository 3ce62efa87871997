"""How one content object lies on the disk, in each mode of an ostree repository.

Source: ostree, repository modes ``bare``, ``bare-user`` and ``archive``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self, cast

from isal import igzip_lib, isal_zlib

from bootc_orch.model.gvariant import (
    Dirmeta,
    FileHeader,
    Xattrs,
    archive_header,
    content_header,
    decode_xattrs,
    encode_xattrs,
)
from bootc_orch.stream.storable import set_xattrs
from orch_frame.errors import StoreDamagedError

PIECE_BYTES = 1024 * 1024
_OSTREEMETA = "user.ostreemeta"
_EPOCH = (0, 0)
# The fastest level: ostree inflates any, and the archive is read far less often than written.
_DEFLATE_LEVEL = 1
_RAW_DEFLATE = -15
_CACHED_XATTRS_BYTES = 4096
_INFLATE_ERROR = cast("type[Exception]", igzip_lib.IsalError)


class Mode(StrEnum):
    """How a repository keeps its content objects."""

    BARE = "bare"
    BARE_USER = "bare-user"
    ARCHIVE = "archive-z2"


class Attributes(NamedTuple):
    """All of a content object but its content.

    Attributes:
        uid: Owner.
        gid: Group.
        mode: With the file type bits.
        xattrs: Extended attributes, serialised and sorted by name.
        target: Where a symbolic link points; empty for a regular file.
    """

    uid: int
    gid: int
    mode: int
    xattrs: bytes = b""
    target: bytes = b""

    @classmethod
    def of(cls, header: FileHeader) -> Self:
        """Take the attributes from a stored object's header."""
        xattrs = encode_xattrs(header.xattrs)
        return cls(header.uid, header.gid, header.mode, xattrs, header.target)


def checksum_head(attributes: Attributes) -> bytes:
    """Return what an object's checksum starts with; most files of a layer share a handful."""
    if len(attributes.xattrs) > _CACHED_XATTRS_BYTES:
        return _checksum_head.__wrapped__(attributes)
    return _checksum_head(attributes)


@lru_cache(maxsize=256)
def _checksum_head(attributes: Attributes) -> bytes:
    uid, gid, mode, xattrs, target = attributes
    return content_header(uid=uid, gid=gid, mode=mode, xattrs=xattrs, target=target)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A content object that was opened.

    Attributes:
        header: Its attributes and size.
        path: Where it lies.
        offset: Where its content begins, in bytes.
        mode: The repository's mode.
    """

    header: FileHeader
    path: Path
    offset: int
    mode: Mode

    def pieces(self) -> Iterator[bytes]:
        """Yield the content of a regular file.

        Raises:
            StoreDamagedError: it is compressed, and damaged so that it cannot be decompressed.
        """
        if stat.S_ISLNK(self.header.mode):
            return
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            if self.mode is not Mode.ARCHIVE:
                while piece := stream.read(PIECE_BYTES):
                    yield piece
                return
            inflate = isal_zlib.decompressobj(wbits=_RAW_DEFLATE)
            try:
                while piece := stream.read(PIECE_BYTES):
                    yield inflate.decompress(piece)
                yield inflate.flush()
            except _INFLATE_ERROR as error:
                raise StoreDamagedError(
                    f"The object {self.path} cannot be decompressed: {error}.", path=str(self.path)
                ) from error


def open_stored(path: Path, mode: Mode) -> StoredFile:
    """Open the content object at *path* of a repository of *mode*.

    Raises:
        OSError: it is not there, or cannot be read.
        InvalidImageError: it is malformed.
    """
    status = path.lstat()
    match mode:
        case Mode.BARE:
            header = _bare_header(path, status)
            return StoredFile(header, path, 0, mode)
        case Mode.BARE_USER:
            meta = Dirmeta.decode(os.getxattr(path, _OSTREEMETA))
            link = stat.S_ISLNK(meta.mode)
            target = path.read_bytes().rstrip(b"\0") if link else b""
            size = 0 if link else status.st_size
            header = FileHeader(size, meta.uid, meta.gid, meta.mode, target, meta.xattrs)
            return StoredFile(header, path, 0, mode)
        case Mode.ARCHIVE:
            with path.open("rb") as stream:
                length = int.from_bytes(stream.read(8)[:4], "big")
                header = FileHeader.decode_archive(stream.read(length))
            return StoredFile(header, path, 8 + length, mode)


def set_attributes(fd: int, attributes: Attributes, mode: Mode) -> None:
    """Give the open file of a new content object its attributes.

    Extended attributes go before the mode: the owner of a file that nobody may write cannot
    set them; ownership goes before both, because changing it drops setuid and capabilities.
    """
    uid, gid, file_mode, xattrs, _ = attributes
    if mode is Mode.BARE_USER:
        meta = Dirmeta(uid, gid, file_mode, decode_xattrs(xattrs)).encode()
        set_xattrs(fd, ((_OSTREEMETA.encode() + b"\0", meta),))
        os.fchmod(fd, 0o644 if stat.S_ISLNK(file_mode) else file_mode & 0o775 | 0o400)
    elif mode is Mode.ARCHIVE:
        os.fchmod(fd, 0o644)
    else:
        if uid or gid:
            os.fchown(fd, uid, gid)
        set_xattrs(fd, decode_xattrs(xattrs))
        os.fchmod(fd, file_mode & 0o7777)
    os.utime(fd, _EPOCH)


def filez(attributes: Attributes, size: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a ``.filez`` object; a symbolic link's is its header alone."""
    uid, gid, mode, xattrs, target = attributes
    yield archive_header(size=size, uid=uid, gid=gid, mode=mode, xattrs=xattrs, target=target)
    if stat.S_ISLNK(mode):
        return
    deflate = isal_zlib.compressobj(_DEFLATE_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE)
    for piece in pieces:
        yield deflate.compress(piece)
    yield deflate.flush()


def _bare_header(path: Path, status: os.stat_result) -> FileHeader:
    link = stat.S_ISLNK(status.st_mode)
    target = os.fsencode(os.readlink(path)) if link else b""
    names = sorted(os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False))
    found = ((name + b"\0", os.getxattr(path, name, follow_symlinks=False)) for name in names)
    # As ostree reads them: one without a value is not there.
    xattrs: Xattrs = tuple(pair for pair in found if pair[1])
    size = 0 if link else status.st_size
    return FileHeader(size, status.st_uid, status.st_gid, status.st_mode, target, xattrs)
