"""Decompress a layer while it arrives, strictly.

A gzip blob is a sequence of members and a zstd blob a sequence of frames: all are read, and each
must be whole; what follows the last one must be nothing.  Output comes in pieces of
bounded size, so a small input that expands without end never fills memory.

Sources: RFC 1952 (gzip), RFC 8878 (zstd and its skippable frames).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast

from isal import igzip_lib

from bootc_orch.model.image.layout import Compression
from orch_frame.errors import InvalidImageError, LimitError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES = 512 * 1024
MEMBERS_MAX = 500_000
ZSTD_WINDOW_LOG_MAX = 27
GZIP_HEADER_BYTES_MAX = 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_FIXED_BYTES = 10
_GZIP_HEADER_CRC, _GZIP_EXTRA, _GZIP_NAME, _GZIP_COMMENT = 2, 4, 8, 16
_SLICE_BYTES_MIN = 512
# The stub of the library declares its exception class as an instance.
_GZIP_ERROR = cast("type[Exception]", igzip_lib.IsalError)


class _Decoder(Protocol):
    """One gzip member or zstd frame, as both libraries present it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


def decompress(pieces: Iterable[bytes], compression: Compression) -> Iterator[bytes]:
    """Yield the uncompressed content of *pieces*, no piece longer than `PIECE_BYTES`.

    Raises:
        InvalidImageError: the data is not of that compression, is damaged, ends too early, or is
            followed by something else.
        LimitError: it has more than `MEMBERS_MAX` members, or needs more memory than is granted.
    """
    match compression:
        case Compression.NONE:
            return iter(pieces)
        case Compression.GZIP:
            return _members(pieces, _GzipMember, "gzip")
        case Compression.ZSTD:
            return _members(pieces, _zstd_frame, "zstd")


class _GzipMember:
    """isal's decoder, given the member's header in one piece.

    It loses its place in a header with both an extra field and a name that comes in parts.
    """

    def __init__(self) -> None:
        self._decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self._header: bytes | None = b""

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def needs_input(self) -> bool:
        return self._header is not None or bool(self._decoder.needs_input)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._decoder.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if self._header is not None:
            data = self._header + data
            if not _has_whole_header(data):
                self._header = data
                if len(data) > GZIP_HEADER_BYTES_MAX:
                    raise LimitError("The gzip data has an endless header.")
                return b""
            self._header = None
        return bytes(self._decoder.decompress(data, max_length))


def _has_whole_header(data: bytes) -> bool:
    """Say whether *data* has all of a gzip header, or cannot be gzip: then isal will tell."""
    if not data.startswith(_GZIP_MAGIC[: len(data)]):
        return True
    if len(data) < _GZIP_FIXED_BYTES:
        return False
    flags, end = data[3], _GZIP_FIXED_BYTES
    if flags & _GZIP_EXTRA:
        end += 2 + int.from_bytes(data[end : end + 2], "little")
    for flag in (_GZIP_NAME, _GZIP_COMMENT):
        if flags & flag:
            end = data.find(0, end) + 1
            if end == 0:
                return False
    return len(data) >= end + (2 if flags & _GZIP_HEADER_CRC else 0)


def _zstd_frame() -> _Decoder:
    parameter = int(zstd.DecompressionParameter.window_log_max)
    return zstd.ZstdDecompressor(options={parameter: ZSTD_WINDOW_LOG_MAX})


def _members(
    pieces: Iterable[bytes], new_decoder: Callable[[], _Decoder], what: str
) -> Iterator[bytes]:
    """Decode one member after the other until the input ends.

    Input is handed over in slices that follow the size of the members: a decoder copies what
    follows the end of its member, which for a blob of tiny members would be nearly all, each time.
    """
    decoder: _Decoder | None = None
    members = 0
    slice_bytes = PIECE_BYTES
    for piece in pieces:
        position = 0
        while position < len(piece):
            if decoder is None:
                decoder = new_decoder()
                members += 1
                if members > MEMBERS_MAX:
                    raise LimitError(f"The {what} data has more than {MEMBERS_MAX} members.")
            data = piece[position : position + slice_bytes]
            yield from _decode(decoder, data, what, first=members == 1)
            if decoder.eof:
                used = len(data) - len(decoder.unused_data)
                slice_bytes = min(PIECE_BYTES, max(_SLICE_BYTES_MIN, 2 * used))
                position += used
                decoder = None
            else:
                slice_bytes = min(PIECE_BYTES, 2 * slice_bytes)
                position += len(data)
    if decoder is not None or members == 0:
        raise InvalidImageError(f"The {what} data ends in the middle.")


def _decode(decoder: _Decoder, data: bytes, what: str, *, first: bool) -> Iterator[bytes]:
    """Feed *data* and yield all that comes of it."""
    while True:
        try:
            output = decoder.decompress(data, PIECE_BYTES)
        except (_GZIP_ERROR, zstd.ZstdError, EOFError) as error:
            raise _refusal(error, what, first=first) from error
        if output:
            yield output
        if decoder.eof or decoder.needs_input:
            return
        data = b""


def _refusal(error: Exception, what: str, *, first: bool) -> InvalidImageError | LimitError:
    if "too much memory" in str(error):
        return LimitError(
            f"The {what} data needs a window of more than {1 << ZSTD_WINDOW_LOG_MAX} bytes."
        )
    where = "is damaged" if first else "is damaged, or followed by something else"
    return InvalidImageError(f"The {what} data {where}: {error}.")
