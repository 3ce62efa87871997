"""Files below a directory that somebody else filled: the only way in, and it does not lead out.

An image, a deployment, a sysroot on another disk may hold links to anywhere.  Here they are
followed as if the directory were ``/``, by the kernel, in one step that nobody can cut in two.
Only regular files of a bounded length are read; a file is written beside its place and renamed.
Source: openat2(2), with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS; Linux 5.6.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

from orch_frame.errors import StoreDamagedError, ToolError

FILE_LIMIT = 1 << 20
_OPENAT2 = 437
_NO_MAGICLINKS, _NO_SYMLINKS, _IN_ROOT = 0x02, 0x04, 0x10
_ATTEMPTS = 100
# Signatures of a file's content.
_OF_CONTENT = ("security.ima", "security.evm")
_STRAY = (errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.ENAMETOOLONG, errno.EISDIR)
_LIBC = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64),
    )  # fmt: skip


class Below:
    """What is below *top*; every path is one from there, with or without a leading ``/``.

    Every method raises StoreDamagedError for a path that goes round in circles, through something
    that is no directory, or is longer than a path may be; ToolError where the kernel lacks the
    system call; and OSError for what else goes wrong.
    """

    def __init__(self, top: Path) -> None:
        self.top = top

    def status(self, path: str | PurePath, *, follow: bool = True) -> os.stat_result | None:
        """Return what *path* is, None where nothing is there; without *follow*, of a link."""
        with self._found(path, os.O_PATH | (0 if follow else os.O_NOFOLLOW)) as descriptor:
            return None if descriptor is None else os.fstat(descriptor)

    def is_file(self, path: str | PurePath) -> bool:
        """Say whether *path* leads to a regular file."""
        status = self.status(path)
        return status is not None and stat.S_ISREG(status.st_mode)

    def is_dir(self, path: str | PurePath) -> bool:
        """Say whether *path* leads to a directory."""
        status = self.status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def names(self, path: str | PurePath) -> tuple[str, ...]:
        """Return the sorted names in the directory *path*; none where there is no directory."""
        with self._found(path, os.O_PATH) as descriptor:
            if descriptor is None or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                return ()
            return tuple(sorted(entry.name for entry in os.scandir(_opened_path(descriptor))))

    def resolve(self, path: str | PurePath) -> Path | None:
        """Return where *path* leads to, all links resolved; None where nothing is there."""
        with self._found(path, os.O_PATH) as descriptor:
            return None if descriptor is None else Path(_opened_path(descriptor)).readlink()

    def locate(self, path: str | PurePath) -> Path:
        """Return where *path* leads to, or would lead to once it is made: no link is left in it.

        Raises:
            StoreDamagedError: a link on the way leads nowhere, or out.
        """
        wanted = PurePath(str(path).lstrip("/"))
        for known in (wanted, *wanted.parents):
            if (found := self.resolve(known)) is not None:
                return found / wanted.relative_to(known)
            if self.status(known, follow=False) is not None:
                raise self._refused(known, f"is a link that leads to nothing in {self.top}")
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.top))

    def read(self, path: str | PurePath, *, limit: int = FILE_LIMIT) -> bytes | None:
        """Return the content of the regular file *path*; None where nothing is there.

        Raises:
            StoreDamagedError: it is no regular file, or longer than *limit* bytes.
        """
        with self.stream(path) as file:
            data = None if file is None else file.read(limit + 1)
        if data is not None and len(data) > limit:
            raise self._refused(path, f"is longer than {limit} bytes")
        return data

    @contextmanager
    def stream(self, path: str | PurePath) -> Iterator[BinaryIO | None]:
        """Open the regular file *path*; None where nothing is there.

        It is looked at before it is opened: to open a device or a pipe may set something off.

        Raises:
            StoreDamagedError: it is no regular file.
        """
        with self._found(path, os.O_PATH) as descriptor:
            if descriptor is None:
                yield None
                return
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self._refused(path, "is no regular file")
            with Path(_opened_path(descriptor)).open("rb") as file:
                yield file

    def make_directory(self, path: str | PurePath) -> None:
        """Make the directory *path* if nothing has its name; what it is in has to be there.

        Raises:
            FileNotFoundError: what it is in is not there.
        """
        folder = self.directory(PurePath(path).parent)
        with folder as descriptor, contextlib.suppress(FileExistsError):
            os.mkdir(PurePath(path).name, dir_fd=descriptor)

    def replace(
        self, path: str | PurePath, data: bytes, *, mode: int = 0o644, like_old: bool = True
    ) -> None:
        """Put *data* into the file *path* in one step; its directory has to be there.

        A link in the last component is replaced by the file.  Owner, mode and extended attributes
        are those of the regular file that *path* led to; *mode* is for a new one, and for every
        one without *like_old*.

        Raises:
            StoreDamagedError: a directory or a special file is in its place.
        """
        with self.directory(PurePath(path).parent) as folder, self._found(path, os.O_PATH) as old:
            if old is not None and not stat.S_ISREG(os.fstat(old).st_mode):
                raise self._refused(path, "is no regular file")
            name = PurePath(path).name
            beside = f".{name}.{secrets.token_hex(8)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            new = os.open(beside, flags, 0o600, dir_fd=folder)
            try:
                with os.fdopen(new, "wb") as file:
                    file.write(data)
                    file.flush()
                    _take_over(old if like_old else None, new, mode)
                    os.fsync(new)
                os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(beside, dir_fd=folder)
                raise
            _flush_directory(folder)

    @contextmanager
    def directory(self, path: str | PurePath, *, links: bool = True) -> Iterator[int]:
        """Yield a descriptor of the directory *path*, for the ``dir_fd`` of other calls.

        Args:
            path: Where it is.
            links: Whether it may be reached through links.

        Raises:
            FileNotFoundError: there is none.
        """
        flags = os.O_PATH | os.O_DIRECTORY
        with self._found(path, flags, links=links) as descriptor:
            if descriptor is None:
                raise FileNotFoundError(
                    errno.ENOENT, os.strerror(errno.ENOENT), str(self._shown(path))
                )
            yield descriptor

    @contextmanager
    def _found(
        self, path: str | PurePath, flags: int, *, links: bool = True
    ) -> Iterator[int | None]:
        resolve = _IN_ROOT | _NO_MAGICLINKS | (0 if links else _NO_SYMLINKS)
        start = os.open(self.top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = _openat2(start, os.fsencode(path) or b".", flags, resolve)
        except FileNotFoundError:
            descriptor = None
        except OSError as error:
            raise self._explained(error, path) from error
        finally:
            os.close(start)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _explained(self, error: OSError, path: str | PurePath) -> Exception:
        if error.errno in _STRAY:
            return self._refused(path, f"cannot be followed: {error.strerror}")
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return ToolError(
                "The kernel has no openat2(2), by which a path is kept inside its root.",
                hint="Run Linux 5.6 or newer; in a container, allow that system call.",
            )
        return OSError(error.errno, error.strerror, str(self._shown(path)))

    def _refused(self, path: str | PurePath, why: str) -> StoreDamagedError:
        shown = self._shown(path)
        return StoreDamagedError(f"{shown} {why}.", path=str(shown))

    def _shown(self, path: str | PurePath) -> Path:
        return self.top / str(path).lstrip("/")


def _openat2(start: int, path: bytes, flags: int, resolve: int) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    for _ in range(_ATTEMPTS):
        found: int = _LIBC.syscall(
            ctypes.c_long(_OPENAT2), start, path, ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )  # fmt: skip
        if found >= 0:
            return found
        number = ctypes.get_errno()
        if number != errno.EAGAIN:  # something was renamed somewhere, and ".." may lead elsewhere
            break
    raise OSError(number, os.strerror(number))


def _take_over(old: int | None, new: int, mode: int) -> None:
    """Give the file *new* the owner, mode and extended attributes of *old*, or *mode*."""
    if old is None:
        os.fchmod(new, mode)
        return
    status = os.fstat(old)
    os.fchown(new, status.st_uid, status.st_gid)
    os.fchmod(new, stat.S_IMODE(status.st_mode))
    for name in _attributes(_opened_path(old)):
        os.setxattr(new, name, os.getxattr(_opened_path(old), name))


def _attributes(path: str) -> list[str]:
    """Name the extended attributes of a file that fit other content as well."""
    try:
        return [name for name in os.listxattr(path) if name not in _OF_CONTENT]
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise


def _flush_directory(folder: int) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened_path(descriptor: int) -> str:
    """Return the path that leads to what *descriptor* holds, without a second look-up."""
    return f"/proc/self/fd/{descriptor}"
