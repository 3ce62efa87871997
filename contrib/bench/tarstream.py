"""Write a tar stream of GNU headers, as image builders do: names of any length, times at zero."""

from __future__ import annotations

from collections.abc import Callable

BLOCK = 512
NAME_BYTES = 100
FLUSH_BYTES = 1 << 20


class TarStream:
    """A tar archive that is written from start to end.

    Args:
        write: Takes the bytes of the archive, about a mebibyte at a time.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._parts: list[bytes] = []
        self._pending = 0

    def directory(self, path: str, mode: int = 0o755) -> None:
        """Add a directory of root's."""
        self._entry(path, b"5", mode)

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Add a regular file of root's."""
        self._entry(path, b"0", mode, size=len(data))
        self._add(data)
        self._add(bytes(-len(data) % BLOCK))

    def hardlink(self, path: str, target: str, mode: int = 0o644) -> None:
        """Add a link at *path* to the earlier entry *target*."""
        self._entry(path, b"1", mode, link=target)

    def close(self) -> None:
        """Write the end of the archive."""
        self._add(bytes(2 * BLOCK))
        self._flush()

    def _entry(self, path: str, kind: bytes, mode: int, *, size: int = 0, link: str = "") -> None:
        name, target = path.encode(), link.encode()
        if len(name) > NAME_BYTES:
            long_name = name + b"\0"
            self._add(_header(b"././@LongLink", b"L", 0, len(long_name), b""))
            self._add(long_name.ljust(-(-len(long_name) // BLOCK) * BLOCK, b"\0"))
        self._add(_header(name[:NAME_BYTES], kind, mode, size, target))

    def _add(self, data: bytes) -> None:
        self._parts.append(data)
        self._pending += len(data)
        if self._pending >= FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._write(b"".join(self._parts))
        self._parts.clear()
        self._pending = 0


def _header(name: bytes, kind: bytes, mode: int, size: int, target: bytes) -> bytes:
    block = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0        %s%sustar  \0" % (
        name.ljust(NAME_BYTES, b"\0"), mode, 0, 0, size, 0, kind, target.ljust(NAME_BYTES, b"\0"),
    )  # fmt: skip
    block = block.ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
