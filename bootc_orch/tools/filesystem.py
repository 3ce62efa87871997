"""Filesystems as the tools of util-linux see them.

Source: findmnt(8), fstrim(8), fsfreeze(8).
"""

from __future__ import annotations

from pathlib import Path

from bootc_orch.errors import CommandError
from bootc_orch.process import run
from bootc_orch.tools.mounts import is_mount_point
from orch_frame.errors import NotFoundError

_SPEC = "Say how the kernel finds it, with --root-mount-spec (--boot-mount-spec for /boot)."


def filesystem_uuid(path: Path) -> str:
    """Return the UUID of the filesystem that is mounted at *path*.

    Raises:
        NotFoundError: nothing is mounted there, or it has none.
    """
    try:
        found = run(["findmnt", "--noheadings", "--output=UUID", "--mountpoint", str(path)]).text
    except CommandError as error:
        raise NotFoundError(f"Nothing is mounted at {path}.", hint=_SPEC, path=str(path)) from error
    if not found.strip():
        raise NotFoundError(f"The filesystem at {path} has no UUID.", hint=_SPEC, path=str(path))
    return found.strip().splitlines()[-1].strip()


def finalize(path: Path) -> None:
    """Trim the filesystem at *path*, make it read-only, and have its journal written out.

    A path where nothing is mounted is left as it is.
    """
    if not is_mount_point(path):
        return
    run(["fstrim", "--quiet-unsupported", str(path)], allow=(0, 1, 32))
    run(["mount", "-o", "remount,ro", str(path)])
    for action in ("--freeze", "--unfreeze"):
        run(["fsfreeze", action, str(path)], allow=(0, 1))
