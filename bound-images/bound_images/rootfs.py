"""Read files of an operating-system root without ever leaving it.

Links are followed by this module, one component at a time, over descriptors opened with
``O_NOFOLLOW``: an absolute target starts again at the root, ``..`` stops there, and a directory
that is swapped for a link meanwhile cannot lead out.  The effect is that of
``openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)``, with the chain of links as a by-product.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bound_images.errors import DefinitionError
from orch_frame.errors import NotFoundError, StorageIOError

MAX_LINKS = 40
MAX_FILE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a path leads to.

    Attributes:
        path: The path of the object inside the root, absolute and free of links.  Where nothing
            is there, what remains of the path stands unresolved.
        chain: The absolute paths that named the object on the way: the one that was asked for,
            then the target of each link that stood in the last component.
        exists: Whether anything is there.
        mode: ``st_mode`` of the object, 0 where there is none.
    """

    path: PurePosixPath
    chain: tuple[PurePosixPath, ...]
    exists: bool
    mode: int


class Root:
    """An operating-system tree.

    In a tree that was never deployed, which has ``usr/etc`` and no ``etc``, ``/etc`` means the
    former.

    Args:
        path: The directory that holds ``usr``.

    Raises:
        NotFoundError: *path* is not a directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        if not self.path.is_dir():
            raise NotFoundError(f"The root {path} is not a directory.", path=str(path))
        self._undeployed = not (self.path / "etc").is_dir() and (self.path / "usr/etc").is_dir()

    def host_path(self, path: PurePosixPath | str) -> Path:
        """Return the path by which programs outside see *path*, all links resolved."""
        return self.path / str(self.resolve(path).path).lstrip("/")

    def resolve(self, path: PurePosixPath | str) -> Resolved:
        """Follow *path* to its end.

        Raises:
            DefinitionError: the links form a loop, or a component is not a directory.
            StorageIOError: a directory cannot be read.
        """
        with self._walk(path) as (resolved, _):
            return resolved

    def is_dir(self, path: PurePosixPath | str) -> bool:
        """Say whether *path* leads to a directory."""
        try:
            return stat.S_ISDIR(self.resolve(path).mode)
        except DefinitionError:
            return False

    def exists(self, path: PurePosixPath | str) -> bool:
        """Say whether *path* leads to anything."""
        try:
            return self.resolve(path).exists
        except DefinitionError:
            return False

    def names(self, path: PurePosixPath | str) -> tuple[str, ...]:
        """Return the sorted names in the directory *path*; nothing where there is none.

        Names that are not UTF-8 come with surrogate escapes.
        """
        with self._walk(path) as (resolved, descriptor):
            if descriptor is None or not stat.S_ISDIR(resolved.mode):
                return ()
            return tuple(sorted(entry.name for entry in Path(_reopened(descriptor)).iterdir()))

    def read_bytes(self, path: PurePosixPath | str, *, limit: int = MAX_FILE_BYTES) -> bytes:
        """Return the content of the regular file *path*.

        Raises:
            NotFoundError: nothing is there.
            DefinitionError: it is not a regular file, or longer than *limit* bytes.
        """
        with self._walk(path) as (resolved, descriptor):
            if descriptor is None:
                raise NotFoundError(f"{resolved.path} does not exist.", path=str(path))
            if not stat.S_ISREG(resolved.mode):
                raise DefinitionError(f"{resolved.path} is not a regular file.", path=str(path))
            with Path(_reopened(descriptor)).open("rb") as stream:
                data = stream.read(limit + 1)
        if len(data) > limit:
            raise DefinitionError(f"{path} is longer than {limit} bytes.", path=str(path))
        return data

    def read_text(self, path: PurePosixPath | str, *, limit: int = MAX_FILE_BYTES) -> str:
        """Return the content of *path* as UTF-8 text.

        Raises:
            NotFoundError: nothing is there.
            DefinitionError: it is not a regular file, not UTF-8, or longer than *limit* bytes.
        """
        try:
            return self.read_bytes(path, limit=limit).decode()
        except UnicodeDecodeError as error:
            raise DefinitionError(f"{path} is not UTF-8 text.", path=str(path)) from error

    @contextmanager
    def _walk(self, path: PurePosixPath | str) -> Iterator[tuple[Resolved, int | None]]:
        """Yield where *path* leads, and an ``O_PATH`` descriptor of it, None if it is missing."""
        try:
            with ExitStack() as stack:
                yield _Walk(self.path, stack, undeployed=self._undeployed).follow(str(path))
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise DefinitionError(
                    f"{path} cannot be followed: {error.strerror}.", path=str(path)
                ) from error
            raise StorageIOError(f"{path} cannot be read: {error.strerror}.") from error


class _Walk:
    """One walk down a path; its descriptors live as long as *stack*."""

    def __init__(self, root: Path, stack: ExitStack, *, undeployed: bool) -> None:
        self._stack = stack
        self._undeployed = undeployed
        # The root itself may be reached through links: it is the caller's, not the tree's.
        start = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, start)
        self._trail: list[tuple[str, int]] = [("", start)]
        self._todo: list[str] = []
        self._links = 0

    def follow(self, path: str) -> tuple[Resolved, int | None]:
        self._todo = _parts(path)
        chain = [PurePosixPath("/", *self._todo)]
        while self._todo:
            name = self._next_name()
            if name == "..":
                del self._trail[max(1, len(self._trail) - 1) :]
                continue
            try:
                descriptor = self._open(name)
            except FileNotFoundError:
                missing = _join(self._names(), [name, *self._todo])
                return Resolved(missing, tuple(chain), exists=False, mode=0), None
            if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
                self._trail.append((name, descriptor))
                continue
            last = not self._todo
            self._enter_link(descriptor)
            if last:
                chain.append(_join(self._names(), self._todo))
        end = self._trail[-1][1]
        mode = os.fstat(end).st_mode
        final = PurePosixPath("/", *self._names())
        return Resolved(final, tuple(chain), exists=True, mode=mode), end

    def _next_name(self) -> str:
        name = self._todo.pop(0)
        if self._undeployed and name == "etc" and len(self._trail) == 1:
            self._todo.insert(0, name)
            return "usr"
        return name

    def _open(self, name: str) -> int:
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=self._trail[-1][1])
        self._stack.callback(os.close, descriptor)
        return descriptor

    def _enter_link(self, descriptor: int) -> None:
        self._links += 1
        if self._links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = os.readlink("", dir_fd=descriptor)
        if target.startswith("/"):
            del self._trail[1:]
        self._todo = [*_parts(target), *self._todo]

    def _names(self) -> list[str]:
        return [name for name, _ in self._trail[1:]]


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _join(base: list[str], parts: list[str]) -> PurePosixPath:
    """Join without touching the disk; ``..`` goes up and stops at the root."""
    names = list(base)
    for part in parts:
        names = names[:-1] if part == ".." else [*names, part]
    return PurePosixPath("/", *names)


def _reopened(descriptor: int) -> str:
    """Return the path that opens what an ``O_PATH`` descriptor holds, without a second look-up."""
    return f"/proc/self/fd/{descriptor}"
