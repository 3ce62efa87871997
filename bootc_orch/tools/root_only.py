"""Make sure that nobody but root decides what runs as root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from orch_frame.errors import OrchError

MAX_LINKS = 40


class ForeignFileError(OrchError):
    """Somebody else than root can change a file that root is to run."""

    exit_code = os.EX_DATAERR
    kind = "foreign-file"


def require_root_only(path: Path, *, what: str) -> None:
    """Make sure that only root can change what *path* leads to, or lead it elsewhere.

    The file, each directory on the way and each link belong to root, and nobody else may write
    there.  In a directory with the sticky bit, such as ``/tmp``, others can make entries, but
    neither rename nor remove those of root.

    Args:
        path: The file.
        what: What it is called in the message, such as ``hook``.

    Raises:
        ForeignFileError: somebody else can.
    """
    for place in _places(path):
        if why := _doubt(place.lstat()):
            where = "it" if place == path else str(place)
            raise ForeignFileError(
                f"The {what} {path} is not run: {where} {why}.",
                hint=f"Have it belong to root alone: chown root {place}; chmod go-w {place}",
                path=str(path),
            )


def _doubt(status: os.stat_result) -> str | None:
    if status.st_uid != 0:
        return f"belongs to the user {status.st_uid}"
    if stat.S_ISLNK(status.st_mode):  # whose mode says nothing
        return None
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_mode & 0o022 and not sticky:
        return f"can be written by others than root (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _places(path: Path) -> Iterator[Path]:
    """Yield all that decides where *path* leads: directories, links and the file, on its way."""
    here = Path("/")
    yield here
    waiting = list(path.absolute().parts[1:])
    links = 0
    while waiting:
        name = waiting.pop(0)
        if name == "..":
            here = here.parent
            continue
        place = here / name
        yield place
        if not place.is_symlink():
            here = place
            continue
        links += 1
        if links > MAX_LINKS:
            raise ForeignFileError(f"{path} goes through more than {MAX_LINKS} links.")
        target = place.readlink()
        here = Path("/") if target.is_absolute() else here
        waiting = [part for part in target.parts if part != "/"] + waiting
