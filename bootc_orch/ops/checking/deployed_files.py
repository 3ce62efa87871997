"""Compare the files of a deployment with its commit, and put right those that differ.

A deployment's files are hard links to objects.  So a damaged object is a damaged file in each
deployment that has it, and the file stays when the object is replaced, where ``ostree fsck`` does
not look.  ``/etc`` belongs to the machine: it is neither looked at nor touched.
Source: ostree's checkout of a deployment from a ``bare`` repository.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bootc_orch.model.gvariant import Dirtree
from bootc_orch.model.host.deployment import Deployment
from bootc_orch.ops.checking.verify_objects import Verifier, content_checksum
from bootc_orch.ops.stored.workspace import workspace
from bootc_orch.stream.object_format import Mode, open_stored
from bootc_orch.tools.immutable import is_immutable, set_immutable
from bootc_orch.tools.ostree.objects import RepoMode
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.below import Below
from orch_frame.errors import OrchError, StoreDamagedError

# Whiteouts of container images inside the image, which are checked out as devices.
_WHITEOUT = b".ostree-wh."
_ETC = b"etc"


@dataclass(frozen=True, slots=True)
class WrongFile:
    """A file of a deployment that is not the one of its commit, or is missing.

    Attributes:
        path: Where it is, from the deployment's root.
        checksum: The object that it should be; None for a directory.
    """

    path: str
    checksum: str | None


class DeployedFiles:
    """Finds the wrong files of deployments of one repository.

    A file that is the object itself is as good as the object, and told by its inode number, so only
    the few others are read: those that ostree had to copy, and those that are wrong.

    Args:
        repo: The repository; only with ``bare`` ones do deployments share files.
        bad: The objects that are known to be damaged, ``CHECKSUM.TYPE``.
        contents: Whether to compare at all, or only see that a file is there.
    """

    def __init__(self, repo: Repo, bad: Collection[str] = (), *, contents: bool = True) -> None:
        self._repo = repo
        self._bad = frozenset(bad)
        self._contents = contents
        self._inodes = dict(_object_inodes(repo)) if contents else {}

    def wrong(self, deployment: Deployment) -> Iterator[WrongFile]:
        """Yield what is wrong in *deployment*; what cannot be read of its commit is passed over."""
        if self._repo.mode is not RepoMode.BARE:
            return
        try:
            root = self._repo.commit(deployment.checksum).tree
        except OrchError:  # reported with the objects
            return
        top = os.fsencode(f"{deployment.path}/")
        pending = [(root, b"")]
        while pending:
            checksum, folder = pending.pop()
            try:
                tree = self._repo.dirtree(checksum)
            except OrchError:
                continue
            entries = {entry.name: entry for entry in os.scandir(top + folder)}
            yield from self._wrong_files(tree, folder, entries)
            for name, child, _ in tree.dirs:
                path = folder + name
                entry = entries.get(name)
                if path == _ETC:
                    continue
                if entry is None or not entry.is_dir(follow_symlinks=False):
                    yield WrongFile(os.fsdecode(path), None)
                else:
                    pending.append((child.hex(), path + b"/"))

    def _wrong_files(
        self, tree: Dirtree, folder: bytes, entries: dict[bytes, os.DirEntry[bytes]]
    ) -> Iterator[WrongFile]:
        for name, raw in tree.files:
            if name.startswith(_WHITEOUT):
                continue
            checksum = raw.hex()
            entry = entries.get(name)
            if entry is None or (self._contents and not self._is_right(entry, checksum)):
                yield WrongFile(os.fsdecode(folder + name), checksum)

    def _is_right(self, entry: os.DirEntry[bytes], checksum: str) -> bool:
        if entry.inode() == self._inodes.get(checksum):
            return f"{checksum}.file" not in self._bad
        if not entry.is_symlink() and not entry.is_file(follow_symlinks=False):
            return False
        try:
            stored = open_stored(Path(os.fsdecode(entry.path)), Mode.BARE)
            return content_checksum(stored) == checksum
        except (OrchError, OSError, ValueError):
            return False


def put_right(
    repo: Repo, deployment: Deployment, files: Sequence[WrongFile], verifier: Verifier
) -> list[WrongFile]:
    """Replace *files* of *deployment* by links to their objects, each in one step.

    Programs that run go on with the file that they have open.  What cannot be replaced is left: a
    directory, a file whose object is damaged as well, one that something is mounted on.

    Returns:
        Those that were replaced.
    """
    restore_root(repo, deployment)
    done = []
    with workspace(repo, "deployment") as work:
        for number, file in enumerate(files):
            if file.checksum is None or not verifier.is_sound(file.checksum):
                continue
            link = work / str(number)
            try:
                os.link(repo.content_path(file.checksum), link, follow_symlinks=False)
                with _replaceable(repo, deployment, file):
                    _rename_into(link, Below(deployment.path), file.path)
            except (OSError, StoreDamagedError):
                continue
            done.append(file)
    return done


def _rename_into(file: Path, deployment: Below, path: str) -> None:
    """Put *file* at *path* of *deployment*, whose directories are no links."""
    place = PurePosixPath(path)
    with deployment.directory(place.parent, links=False) as folder:
        file.rename(f"/proc/self/fd/{folder}/{place.name}")


def restore_root(repo: Repo, deployment: Deployment) -> None:
    """Make the root of *deployment* immutable again if a process died while it was not."""
    mark = _mark(repo, deployment)
    if mark.exists():
        set_immutable(deployment.path, immutable=True)
        mark.unlink()


@contextmanager
def _replaceable(repo: Repo, deployment: Deployment, file: WrongFile) -> Iterator[None]:
    """Let *file* be replaced while the block runs: the root of a deployment is immutable."""
    if "/" in file.path or not is_immutable(deployment.path):
        yield
        return
    _mark(repo, deployment).touch()
    set_immutable(deployment.path, immutable=False)
    try:
        yield
    finally:
        restore_root(repo, deployment)


def _mark(repo: Repo, deployment: Deployment) -> Path:
    """The file that says that the root of *deployment* is to be immutable."""
    return repo.path / "state" / f"bootc-orch-immutable-{deployment.stateroot}-{deployment.name}"


def _object_inodes(repo: Repo) -> Iterator[tuple[str, int]]:
    """Yield the inode number of each content object; a directory lists them without a stat."""
    for directory in os.scandir(repo.path / "objects"):
        if directory.is_dir(follow_symlinks=False):
            for entry in os.scandir(directory):
                if entry.name.endswith(".file"):
                    yield directory.name + entry.name.removesuffix(".file"), entry.inode()
