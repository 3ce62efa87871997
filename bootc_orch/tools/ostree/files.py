"""Single files of an ostree repository: refs, and others that are replaced as a whole.

Source: ostree's repository layout; a ref is a file with a checksum, an alias a link to one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orch_frame.errors import NotFoundError, OrchError, StorageIOError, StoreDamagedError

_CHECKSUM = re.compile(r"[0-9a-f]{64}\n?")
# No importer makes symbolic links of these refs; one there is damage or an attack.
NO_ALIASES = "ostree/container/"


@dataclass(frozen=True, slots=True)
class RefScan:
    """The refs below a prefix.

    Attributes:
        commits: Ref to commit checksum, sorted by ref.
        damaged: Ref to the reason why it cannot be read.
    """

    commits: Mapping[str, str]
    damaged: Mapping[str, str]


def scan_refs(root: Path, prefix: str) -> RefScan:
    """Read every ref that is *prefix* or below it, in the directory *root*, sorted."""
    commits: dict[str, str] = {}
    damaged: dict[str, str] = {}
    for ref in sorted(_ref_names(root, prefix)):
        try:
            commits[ref] = read_ref(root, ref)
        except StoreDamagedError as error:
            damaged[ref] = error.summary
        except NotFoundError:  # deleted since it was listed
            continue
    return RefScan(commits, damaged)


def read_ref(root: Path, ref: str) -> str:
    """Read the commit that *ref* in the directory *root* points to.

    A directory is no ref; other refs may have been below it.

    Raises:
        NotFoundError: there is no such ref.
        StoreDamagedError: it holds no checksum, or is no regular file.
    """
    return _parse_ref(root / ref, alias=not ref.startswith(NO_ALIASES))


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        NotFoundError: it does not exist.
        StoreDamagedError: it is no regular file.
        StorageIOError: the disk does not give it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NotFoundError(f"{path} does not exist.", path=str(path)) from error
        raise damage_or_io(error, path) from error


def damage_or_io(error: OSError, path: Path) -> OrchError:
    """Return the error that a failure to read *path*, which should be there, stands for."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP):
        return StoreDamagedError(f"{path} is missing or of a wrong type.", path=str(path))
    return StorageIOError(f"{path} cannot be read: {error.strerror}.", path=str(path))


def is_directory(path: Path) -> bool:
    """Say whether a directory itself, no link to one, is at *path*."""
    return path.is_dir() and not path.is_symlink()


def remove_empty(path: Path) -> None:
    """Remove the directory at *path* as far as there are only empty directories in it."""
    for directory, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()


def write_atomically(path: Path, data: bytes, directory: Path, *, flush: bool = True) -> None:
    """Write *data* to *path*, by way of a file in *directory* that has no name if that can be.

    So a process that is killed leaves nothing behind but for the moment between two renames.
    Without *flush* a power cut may leave the file empty.
    """
    temporary = directory / f"bootc-orch-{secrets.token_hex(8)}.new"
    descriptor, has_name = _open_temporary(temporary)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(data)
            file.flush()
            os.fchmod(descriptor, 0o644)
            if flush:
                os.fsync(descriptor)
            if not has_name and _link(descriptor, path):
                return
            if not has_name:
                _link(descriptor, temporary)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def _open_temporary(path: Path) -> tuple[int, bool]:
    """Open a new file at *path*, and say whether it has that name already."""
    try:
        return os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600), False
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), True


def _link(descriptor: int, path: Path) -> bool:
    """Give the open file the name *path*; say whether that was free."""
    try:
        # With a directory descriptor, which an absolute path ignores, Python follows the link.
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)
    except FileExistsError:
        return False
    return True


def _parse_ref(path: Path, *, alias: bool) -> str:
    """Read the commit that a ref file holds; it may be a symbolic link if it may be an *alias*."""
    try:
        mode = path.stat(follow_symlinks=alias).st_mode
    except OSError as error:
        raise NotFoundError(f"{path} does not exist.") from error
    if is_directory(path):
        raise NotFoundError(f"{path} is a directory.")
    if not stat.S_ISREG(mode):
        raise StoreDamagedError("it is not a regular file")
    text = read_bytes(path).decode("ascii", "replace")
    if _CHECKSUM.fullmatch(text) is None:
        raise StoreDamagedError("it does not hold a commit checksum")
    return text.rstrip("\n")


def _ref_names(root: Path, prefix: str) -> Iterator[str]:
    """Yield what is not a directory, at *prefix* or below it, relative to *root*."""
    top = root / prefix
    if not top.is_dir() or top.is_symlink():
        if top.exists() or top.is_symlink():
            yield prefix
        return
    for directory, subdirectories, files in os.walk(top):
        links = [name for name in subdirectories if Path(directory, name).is_symlink()]
        for name in (*files, *links):
            yield str(Path(directory, name).relative_to(root))
