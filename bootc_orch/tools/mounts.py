"""Mount namespaces and mounts, by the system calls themselves: no program is started.

Source: mount(2) and unshare(2), and the way in which ``ostree admin`` makes ``/sysroot`` writable
for itself alone.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orch_frame.errors import ReadOnlyError, StorageIOError

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_SILENT, MS_PRIVATE = 1, 32, 4096, 16384, 32768, 1 << 18
MNT_DETACH = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


def writable_sysroot(root: Path) -> None:
    """Make ``sysroot`` and ``boot`` of the running system writable for this process alone.

    Nothing is done where they are writable already.  The calling thread and the processes and
    threads that it starts later get a mount namespace of their own, so that for everyone else
    they stay read-only.

    Raises:
        ReadOnlyError: they cannot be made writable.
    """
    mountinfo = Path("/proc/self/mountinfo").read_bytes()
    read_only = [
        point
        for point in (root / "sysroot", root / "boot")
        if is_mounted_read_only(mountinfo, os.fsencode(point.resolve()))
    ]
    if not read_only:
        return
    enter_private_namespace()
    for point in read_only:
        if _mount(None, point, MS_REMOUNT | MS_SILENT):
            raise ReadOnlyError(f"{point} cannot be made writable: {_reason()}.", path=str(point))


def is_mounted_read_only(mountinfo: bytes, point: bytes) -> bool:
    """Say whether what is mounted at *point*, if anything, is read-only there or altogether.

    Args:
        mountinfo: The text of a ``mountinfo``; of two mounts in one place the later one is seen.
        point: An absolute path without links.
    """
    seen: tuple[bytes, bytes] = (b"", b"")
    for line in mountinfo.splitlines():
        fields = line.split(b" ")
        if _unescape(fields[4]) == point:
            seen = (fields[5], fields[-1])
    return any(b"ro" in options.split(b",") for options in seen)


def enter_private_namespace() -> None:
    """Give the calling thread a mount namespace whose changes nobody else sees.

    Raises:
        ReadOnlyError: the kernel refuses, as without privileges.
    """
    if _LIBC.unshare(CLONE_NEWNS) or _mount(None, Path("/"), MS_REC | MS_PRIVATE):
        raise ReadOnlyError(
            f"A private mount namespace is refused: {_reason()}.", hint="Run the command as root."
        )


def is_read_only_medium(path: Path) -> bool:
    """Say whether the filesystem itself that *path* is on is read-only, however it is mounted."""
    mountinfo = Path("/proc/self/mountinfo").read_bytes()
    return is_medium_read_only(mountinfo, os.fsencode(path.resolve()))


def is_medium_read_only(mountinfo: bytes, wanted: bytes) -> bool:
    """Say the same of *wanted*, an absolute path without links, by the text of a ``mountinfo``."""
    best, options = b"", b""
    for line in mountinfo.splitlines():
        point = _unescape(line.split()[4])
        inside = wanted == point or wanted.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= len(best):
            best, options = point, line.split()[-1]
    return b"ro" in options.split(b",")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path is, seen from the filesystem that holds it.

    Attributes:
        path: Its path in that filesystem, ``/`` for the whole of it.
        kind: The type of the filesystem, such as ``ext4``.
    """

    path: str
    kind: str


def place_of(path: Path) -> Place:
    """Find *path*, which need not exist yet, in the filesystem that holds it or shall hold it."""
    return parse_place(Path("/proc/self/mountinfo").read_bytes(), os.fsencode(path.resolve()))


def parse_place(mountinfo: bytes, wanted: bytes) -> Place:
    """Find *wanted*, an absolute path without links, in the text of a ``mountinfo``."""
    best, found = b"", Place("/", "")
    for line in mountinfo.splitlines():
        fields = line.split(b" ")
        point = _unescape(fields[4])
        inside = wanted == point or wanted.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= len(best):
            inner = wanted[len(point.rstrip(b"/")) :].lstrip(b"/")
            whole = PurePosixPath(os.fsdecode(_unescape(fields[3]))) / os.fsdecode(inner)
            best = point
            found = Place(str(whole), os.fsdecode(fields[fields.index(b"-") + 1]))
    return found


def is_mount_point(path: Path) -> bool:
    """Say whether something is mounted at *path*; a bind mount of the same filesystem counts too.

    `os.path.ismount` compares devices, so it does not see those, and ``/sysroot`` is one.
    """
    wanted = os.fsencode(path.resolve())
    with Path("/proc/self/mountinfo").open("rb") as lines:
        return any(_unescape(line.split()[4]) == wanted for line in lines)


def _unescape(field: bytes) -> bytes:
    """Undo the kernel's octal escapes of blanks and backslashes."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)


@contextmanager
def read_only_bind(source: Path, target: Path) -> Iterator[Path]:
    """Show *source* read-only at *target*, an empty directory, while the block runs.

    Raises:
        StorageIOError: the kernel refuses.
    """
    with bind(source, target):
        if _mount(None, target, MS_REMOUNT | MS_BIND | MS_RDONLY):
            raise StorageIOError(f"{target} cannot be made read-only: {_reason()}.")
        yield target


@contextmanager
def bind(source: Path, target: Path) -> Iterator[Path]:
    """Show *source* at *target*, an empty directory, while the block runs.

    Raises:
        StorageIOError: the kernel refuses.
    """
    if _mount(source, target, MS_BIND):
        raise StorageIOError(f"{source} cannot be mounted on {target}: {_reason()}.")
    try:
        yield target
    finally:
        _LIBC.umount2(os.fsencode(target), MNT_DETACH)


def _mount(source: Path | None, target: Path, flags: int) -> int:
    origin = os.fsencode(source) if source else None
    status: int = _LIBC.mount(origin, os.fsencode(target), None, ctypes.c_ulong(flags), None)
    return status


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
