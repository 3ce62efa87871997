"""The ostree program: one method for each verb, on a repository that can also be read directly.

Source of the command lines: ostree 2022.7 to 2026.4.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from bootc_orch.errors import (
    CommandError,
    OrchError,
    ReadOnlyError,
    SpaceError,
    StorageIOError,
    StoreDamagedError,
    ToolError,
)
from bootc_orch.process import Completed, run
from bootc_orch.tools.objects import Objects, RepoMode

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
        """Point *ref* to *commit*, whether it exists or not."""
        self._run("refs", f"--create={ref}", "--force", commit)

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

    def pull_local(
        self, source: Path, revisions: Sequence[str], *, verify_bindings: bool = True
    ) -> None:
        """Copy *revisions*, refs or checksums, from *source*; refs are set here as well."""
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
            raise explained(error, self.path) from error


def explained(error: CommandError, repo: Path) -> OrchError:
    """Return the error that a failure of ostree on *repo* stands for, told by what it printed."""
    for kind, summary, phrases in _COMPLAINTS:
        if any(phrase in error.stderr for phrase in phrases):
            return kind(summary.format(repo=repo), details=error.details, path=str(repo))
    return error


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
    import os

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
