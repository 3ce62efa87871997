"""The private mount namespace in which podman sees every store under one path.

Podman writes the path of its root into a database and refuses the store under any other one, so a
store that is filled at build time could not be used at run time.  Each podman process therefore
gets a mount namespace of its own, where the store is bound to `ALIAS`, and its run root as
descriptor `RUNROOT_FD`: the very strings that bootc uses, so either may fill a store for both.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ALIAS = Path("/run/bootc/storage")
RUNROOT_FD = 3
RUNROOT = f"/proc/self/fd/{RUNROOT_FD}"

# Source: <sched.h>, <sys/mount.h>, <sys/prctl.h>.
_CLONE_NEWNS = 0x00020000
_MS_REMOUNT = 0x20
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18
_PR_SET_PDEATHSIG = 1
_OCTAL = re.compile(r"\\([0-7]{3})")

# Loaded before any fork: the child must not have to take the loader's locks.
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Have the kernel kill this process once the thread that started it has ended."""
    _call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def entrance(store: Path, runroot: int) -> Callable[[], None]:
    """Return what a child does between fork and exec to see *store* as `ALIAS`.

    Args:
        store: The directory of the store.
        runroot: A descriptor of the directory for locks and mounts.
    """
    source, target = os.fsencode(store), os.fsencode(ALIAS)

    def enter() -> None:
        die_with_parent()
        _call("unshare", _CLONE_NEWNS)
        # Otherwise the bind below would appear outside as well.
        _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        _call("mount", source, target, None, _MS_BIND | _MS_REC, None)
        os.dup2(runroot, RUNROOT_FD)
        # Nothing is duplicated where the numbers are equal, and the descriptor would be closed.
        os.set_inheritable(RUNROOT_FD, True)  # noqa: FBT003 - positional only

    return enter


def make_writable(path: Path) -> None:
    """See the mount that holds *path* as writable, in this process and its children alone.

    An ostree host mounts ``/sysroot`` read-only for everybody who does not ask, though its file
    system is writable.  Nothing happens where the mount is writable already, or the right to mount
    is missing; whoever writes then finds out.
    """
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.statvfs(existing).f_flag & os.ST_RDONLY:
        return
    with suppress(OSError):
        mount_point = _mount_point(existing.resolve())
        _call("unshare", _CLONE_NEWNS)
        _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        _call("mount", None, os.fsencode(mount_point), None, _MS_REMOUNT | _MS_BIND, None)


def _mount_point(path: Path) -> Path:
    """Return the mount point that *path* is below; a bind mount has no device of its own.

    Source: proc_pid_mountinfo(5).
    """
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    points = [Path(_OCTAL.sub(_octal_character, line.split()[4])) for line in lines.splitlines()]
    return max(
        (point for point in points if path.is_relative_to(point)), key=lambda p: len(p.parts)
    )


def _octal_character(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))


def explain_failure(number: int) -> str:
    """Return what to do where the namespace could not be made, by the error's number."""
    if number == errno.EPERM:
        return "Run as root, with the right to mount (CAP_SYS_ADMIN)."
    if number == errno.EINVAL:
        return "In a chroot, bind the root directory on itself first."
    return "See whether /run/bootc can be created and mounts are allowed."


def sync_file_system(path: Path) -> None:
    """Write everything of the file system that holds *path* to the disk.

    Raises:
        OSError: the write failed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("syncfs", descriptor)
    finally:
        os.close(descriptor)


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
