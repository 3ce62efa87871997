"""Deterministic files that look like an operating system's: how many, how big, how compressible.

The same arguments give the same bytes on every machine, so that figures of different days compare.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

SEED = 1
FILES_PER_DIRECTORY = 40
POOL_BYTES = 16 << 20
SEGMENT_BYTES = 64 << 10
# Half of a distribution's files are smaller than a few kilobytes while most of its bytes are in
# large ones; this spread of a log-normal distribution gives about that.
SIZE_SPREAD = 1.8
# Enough for every file to differ: an object must not be in an image twice.
SIZE_MIN = 20


@dataclass(frozen=True, slots=True)
class File:
    """One regular file.

    Attributes:
        path: Relative to the root of the tree, without a leading slash.
        size: Length in bytes.
        mode: Permission bits.
    """

    path: str
    size: int
    mode: int


def plan_files(count: int, total: int) -> list[File]:
    """Choose *count* files of about *total* bytes together, sorted by path."""
    chance = random.Random(SEED)
    weights = [chance.lognormvariate(0, SIZE_SPREAD) for _ in range(count)]
    scale = total / sum(weights)
    files = []
    for index, weight in enumerate(weights):
        package, number = divmod(index, FILES_PER_DIRECTORY)
        place = f"usr/lib/bench/package-{package:05}/{'bin' if number % 4 == 0 else 'share'}"
        mode = 0o755 if number % 4 == 0 else 0o644
        files.append(File(f"{place}/file-{number:03}", max(SIZE_MIN, int(weight * scale)), mode))
    return sorted(files, key=lambda file: file.path.encode())


class Pool:
    """A stock of bytes, text and machine code in turn, that file contents are cut from.

    It is larger than gzip's window by far, so a repeated cut does not compress better.
    """

    def __init__(self) -> None:
        chance = random.Random(SEED + 1)
        self._bytes = b"".join(
            (_text if segment % 2 else _code)(chance)
            for segment in range(POOL_BYTES // SEGMENT_BYTES)
        )

    def content(self, file: File) -> bytes:
        """Return the bytes of *file*; they differ from those of every other path."""
        name = hashlib.sha256(file.path.encode())
        offset = int.from_bytes(name.digest()[:4], "big") % (POOL_BYTES // 2)
        parts = [name.hexdigest()[:SIZE_MIN].encode()]
        missing = file.size - SIZE_MIN
        while missing > 0:
            parts.append(self._bytes[offset : offset + missing])
            missing -= len(parts[-1])
            offset = 0
        return b"".join(parts)


def _text(chance: random.Random) -> bytes:
    words = [chance.randbytes(chance.randint(1, 6)).hex() for _ in range(1000)]
    return " ".join(chance.choices(words, k=SEGMENT_BYTES // 4))[:SEGMENT_BYTES].encode()


def _code(chance: random.Random) -> bytes:
    instructions = [chance.randbytes(chance.randint(2, 10)) for _ in range(500)]
    return b"".join(chance.choices(instructions, k=SEGMENT_BYTES))[:SEGMENT_BYTES]
