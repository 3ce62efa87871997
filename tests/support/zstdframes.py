"""Make zstd frames, odd ones too, that no compressor at hand would write.

Source: RFC 8878.
"""

from __future__ import annotations

import struct
import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = struct.pack("<I", 0xFD2FB528)
BLOCK_BYTES = 128 << 10
WINDOW_LOG = 31
DICTIONARY_ID = 7


def frame(data: bytes) -> bytes:
    """Return an ordinary frame."""
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


def skippable(data: bytes) -> bytes:
    """Return a frame that every reader passes over."""
    return struct.pack("<II", 0x184D2A50, len(data)) + data


def window_frame(data: bytes) -> bytes:
    """Return a frame that asks for a window of 2 GiB."""
    return MAGIC + bytes([0, (WINDOW_LOG - 10) << 3]) + _raw_blocks(data)


def dictionary_frame(data: bytes) -> bytes:
    """Return a frame that names a dictionary which nobody has."""
    window = (20 - 10) << 3
    return MAGIC + bytes([1, window, DICTIONARY_ID]) + _raw_blocks(data)


def _raw_blocks(data: bytes) -> bytes:
    pieces = [data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES)]
    return b"".join(
        struct.pack("<I", len(piece) << 3 | (number == len(pieces) - 1))[:3] + piece
        for number, piece in enumerate(pieces)
    )
