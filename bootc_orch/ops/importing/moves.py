"""Move objects from a staging repository into its destination, from below.

Content comes first, then the directories that hold it, each after its children; a commit, when all
that it consists of is on the disk.  So a commit is complete when it appears.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bootc_orch.model.gvariant import Commit, Dirtree, decode_dict
from bootc_orch.ops.stored.notes import add_foreign
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.stream.trees import Trees
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import InvalidImageError, StoreDamagedError

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ObjectMoves:
    """Moves objects from one repository into another, each once."""

    store: ObjectStore
    repo: Repo
    source: int
    target: int
    suffix: str
    seen: set[bytes] = field(default_factory=set)

    def add_tree(self, commit: str) -> None:
        """Move all that *commit* consists of, itself excepted, children first.

        Nothing is passed over because its parent is there: that may be what an interrupted prune
        left.  What is not staged must be in the destination.

        Raises:
            InvalidImageError: something is in neither.
        """
        data = Commit.decode(self.store.metadata(commit, "commit"))
        self.add(data.meta, "dirmeta")
        self._add_directory(bytes.fromhex(data.tree))

    def _add_directory(self, tree: bytes) -> None:
        if tree in self.seen:
            return
        self.seen.add(tree)
        entries = Dirtree.decode(self.store.metadata(tree.hex(), "dirtree"))
        for _, checksum in entries.files:
            self.add_file(checksum)
        for _, child, meta in entries.dirs:
            self._add_directory(child)
            if meta not in self.seen:
                self.seen.add(meta)
                self.add(meta.hex(), "dirmeta")
        self.add(tree.hex(), "dirtree")

    def add_made(self, commit: str, trees: Trees) -> None:
        """Move what the merge made for *commit*; all the rest of it came with its layers."""
        for checksum in trees.made_files:
            self.add_file(checksum)
        for checksum in trees.made_metas:
            self.add(checksum.hex(), "dirmeta")
        data = Commit.decode(self.store.metadata(commit, "commit"))
        self._add_made_directory(bytes.fromhex(data.tree), trees)

    def _add_made_directory(self, tree: bytes, trees: Trees) -> None:
        if tree in self.seen or tree not in trees.made:
            return
        self.seen.add(tree)
        for directory in trees.load(tree).dirs.values():
            self._add_made_directory(directory.tree, trees)
        self.add(tree.hex(), "dirtree")

    def add_file(self, checksum: bytes) -> None:
        """Move a content object."""
        if checksum not in self.seen:
            self.seen.add(checksum)
            name = checksum.hex()
            self._move(f"{name[:2]}/{name[2:]}{self.suffix}")

    def add(self, checksum: str, extension: str) -> None:
        """Move a metadata object."""
        self._move(f"{checksum[:2]}/{checksum[2:]}.{extension}")

    def add_commit(self, commit: str) -> None:
        """Move *commit*, all of which is there, and add the detached metadata that came with it."""
        brought = Path(self.store.path(commit, "commitmeta"))
        if brought.exists():
            self._add_foreign(commit, brought)
            brought.unlink()  # or ostree, when it takes the refs, puts it in place of what is there
        self.add(commit, "commit")
        # ostree passes over a commit that an interrupted pull of its own has marked.
        (self.repo.path / "state" / f"{commit}.commitpartial").unlink(missing_ok=True)

    def _add_foreign(self, commit: str, brought: Path) -> None:
        """Add what an image brings beside *commit* to what is there, of which nothing is replaced.

        What is there and cannot be read stays as it is, for the check to find.
        """
        try:
            present = self.repo.detached_metadata(commit)
        except StoreDamagedError as error:
            logger.warning("%s", error.summary)
            return
        added = add_foreign(present, dict(decode_dict(brought.read_bytes())))
        if added != present:
            self.repo.write_detached_metadata(commit, added)

    def _move(self, name: str) -> None:
        """Move one object; a move is half the work of linking it here and removing it there.

        It would replace an object of the same name, which is the same, but an inode that a
        deployment may share; whoever wrote the object has seen that there was none.
        """
        try:
            os.rename(name, name, src_dir_fd=self.source, dst_dir_fd=self.target)
        except FileNotFoundError as error:
            # Not staged, because the destination had it.
            if not os.path.lexists(self.repo.path / "objects" / name):
                raise InvalidImageError(
                    f"The image is incomplete: the object {name} is in none of its layers."
                ) from error


@contextmanager
def open_moves(store: ObjectStore, repo: Repo) -> Iterator[ObjectMoves]:
    """Open both repositories for moves from *store* to *repo*.

    Raises:
        OSError: one of them cannot be opened.
    """
    for number in range(256):
        (repo.path / f"objects/{number:02x}").mkdir(exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    source = os.open(store.repository / "objects", flags)
    target = os.open(repo.path / "objects", flags)
    try:
        yield ObjectMoves(store, repo, source, target, store.content_suffix)
    finally:
        os.close(source)
        os.close(target)
