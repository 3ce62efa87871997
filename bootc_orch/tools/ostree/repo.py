"""The ostree program: one method for each verb, on a repository that can also be read directly.

Source of the command lines: ostree 2022.7 to 2026.4.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from bootc_orch.errors import CommandError
from bootc_orch.process import Completed, run
from bootc_orch.tools.ostree.files import is_directory, remove_empty
from bootc_orch.tools.ostree.objects import Objects, RepoMode
from orch_frame.errors import (
    LockedError,
    OrchError,
    ReadOnlyError,
    SpaceError,
    StorageIOError,
    StoreDamagedError,
    ToolError,
)

# What ostree prints, in the C locale, and what it means for the caller.
_COMPLAINTS: tuple[tuple[type[OrchError], str, tuple[str, ...]], ...] = (
    (
        SpaceError,
        "There is no space left in {repo}.",
        ("No space left on device", "Disk quota exceeded", "File too large", "min-free-space"),
    ),
    (
        ReadOnlyError,
        "{repo} cannot be written.",
        ("Read-only file system", "Permission denied", "Operation not permitted"),
    ),
    (StorageIOError, "Reading or writing {repo} failed.", ("Input/output error",)),
    (
        StoreDamagedError,
        "{repo} is damaged.",
        ("Corrupted ", "No such metadata object", "Couldn't find file object"),
    ),
)
# As long as ostree itself waits for its lock.
LOCK_TIMEOUT_SECONDS = 300.0
LOCK_POLL_SECONDS = 0.02
# Deleting takes one process; this many refs stay far below the limit of an argument list.
REFS_PER_CALL = 200


@dataclass(frozen=True, slots=True)
class Pruned:
    """What ``ostree prune`` removed.

    Attributes:
        objects: How many objects.
        freed: Their size, as ostree prints it; empty if there were none.
    """

    objects: int
    freed: str


class Repo(Objects):
    """The repository at *path*, read directly and written by the ostree program.

    Raises:
        NotFoundError: *path* holds no repository.
    """

    @classmethod
    def init(cls, path: Path, mode: RepoMode) -> Self:
        """Create a repository; one that exists with the same mode is left as it is."""
        name = "archive" if mode is RepoMode.ARCHIVE else mode
        run(["ostree", "init", f"--repo={path}", f"--mode={name}"])
        return cls(path)

    def create_ref(self, ref: str, commit: str) -> None:
        """Point *ref* to *commit*, whether it exists, is damaged, or does not exist."""
        self._make_way([ref])
        self._run("refs", f"--create={ref}", "--force", commit)

    def _make_way(self, refs: Iterable[str]) -> None:
        """Remove what is in the place of *refs* and is none, as ostree does not overwrite it.

        That is a file that cannot be understood, and a directory with nothing left in it.
        """
        for ref in refs:
            path = self.path / "refs/heads" / ref
            if is_directory(path):
                remove_empty(path)
            elif self.rev_parse_intact(ref) is None:
                path.unlink(missing_ok=True)

    def delete_refs(self, refs: Collection[str]) -> None:
        """Delete *refs*; one that has already gone is not an error.

        ``ostree refs --delete P`` deletes everything below ``P/`` too, so only names that are refs
        themselves are passed on: a file and a directory of one name cannot exist together.
        """
        root = self.path / "refs/heads"
        present = [ref for ref in refs if (root / ref).is_symlink() or (root / ref).is_file()]
        for start in range(0, len(present), REFS_PER_CALL):
            self._run("refs", "--delete", *present[start : start + REFS_PER_CALL])

    def prune(self) -> Pruned:
        """Delete every object that no ref needs; parents of commits are not kept for their sake."""
        return _parse_pruned(self._run("prune", "--refs-only", "--depth=0").text)

    @contextmanager
    def pruning_held_off(self, *, timeout: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
        """Let no ``ostree prune``, whoever runs it, delete objects while the block gives them refs.

        It is ostree's own lock, which a prune takes exclusively and a transaction shares.

        Raises:
            LockedError: a prune did not end in *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        while (descriptor := _share_lock(self.path / ".lock")) is None:
            if time.monotonic() >= deadline:
                raise LockedError(f"Objects of {self.path} are being pruned.", path=str(self.path))
            time.sleep(LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            os.close(descriptor)

    def pull_local(
        self, source: Path, revisions: Sequence[str], *, verify_bindings: bool = True
    ) -> None:
        """Copy *revisions*, refs or checksums, from *source*; refs are set here as well.

        One that is damaged here is set anew.
        """
        self._make_way(revisions)
        self._run(
            "pull-local",
            *(() if verify_bindings else ("--disable-verify-bindings",)),
            str(source),
            *revisions,
        )

    def sync(self) -> None:
        """Flush the file system that holds the repository.

        Needed before success is reported: ostree writes a ref without syncing its directory.

        Raises:
            StorageIOError: something could not be written.
        """
        sync_filesystem(self.path)

    def _run(self, verb: str, *arguments: str) -> Completed:
        try:
            return run(["ostree", verb, f"--repo={self.path}", *arguments])
        except CommandError as error:
            raise explain_failure(error, self.path) from error


def explain_failure(error: CommandError, repo: Path) -> OrchError:
    """Return the error that a failure of ostree on *repo* stands for, told by what it printed."""
    for kind, summary, phrases in _COMPLAINTS:
        if any(phrase in error.stderr for phrase in phrases):
            return kind(summary.format(repo=repo), details=error.details, path=str(repo))
    return error


def _share_lock(path: Path) -> int | None:
    """Return a descriptor that holds a read lock on *path*; None while it is locked exclusively.

    Source: ``struct flock`` and open file description locks in fcntl(2), as libglnx uses them.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock + bytes(-len(lock) % 8))
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return None
        raise
    if os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)  # removed by its last exclusive owner, as some versions do
    return None


@cache
def ostree_version() -> tuple[int, int]:
    """The version of the ostree program, year and number.

    Raises:
        ToolMissingError: ostree is not installed.
        ToolError: its version cannot be read.
    """
    text = run(["ostree", "--version"]).text
    match = re.search(r"Version: '(\d+)\.(\d+)", text)
    if match is None:
        raise ToolError("The version of ostree cannot be read.", details=text)
    return int(match[1]), int(match[2])


def sync_filesystem(path: Path) -> None:
    """Write everything in the file system of *path* to its disk.

    Raises:
        StorageIOError: it could not be written, or *path* cannot be opened.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageIOError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        if libc.syncfs(descriptor) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise StorageIOError(f"Flushing {path} to its disk failed: {reason}.", path=str(path))
    finally:
        os.close(descriptor)


def _parse_pruned(text: str) -> Pruned:
    """Read ``Deleted N objects, SIZE freed``; without that line nothing was deleted."""
    match = re.search(r"Deleted (\d+) objects, (.+) freed", text)
    return Pruned(int(match[1]), match[2]) if match else Pruned(0, "")
