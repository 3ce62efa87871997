"""Make a prepared image visible: objects first, then the layers' refs, the image's ref last.

Objects are moved from the staging repository into the destination from below: content, then the
directories that hold it, each after its children, and when all of that is on the disk the commits.
So a commit is complete when it appears, and whatever dies in between leaves a valid repository.
ostree then takes over the refs, for which nothing is left to copy: it would need five times as long
for the objects, and renames them in no particular order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bootc_orch.model.gvariant import Commit, Dirtree
from bootc_orch.ops.importing.staging import Staging
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.stream.trees import Trees
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import InvalidImageError, StoreDamagedError


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to become visible.

    Attributes:
        new_layers: Ref and commit of each layer whose ref is new or moves.
        layers: Ref and commit of every layer of the image.
        image_ref: The image's ref; None for an image that gets none.
        commit: The merge commit.
    """

    new_layers: Mapping[str, str]
    layers: Mapping[str, str]
    image_ref: str | None
    commit: str


class LayersVanishedError(StoreDamagedError):
    """Another program removed objects or layers while they were being used."""


def publish(publication: Publication, trees: Trees, staging: Staging, repo: Repo) -> None:
    """Make an image visible.

    Args:
        publication: The image.
        trees: The trees that the merge made.
        staging: Where everything is.
        repo: Where it goes.

    Raises:
        LayersVanishedError: something that was there has gone; the image's ref is as it was.
        CommandError: ostree refused; the image's ref is as it was.
        StorageIOError: something could not be flushed to the disk.
    """
    with repo.pruning_held_off():
        _publish(publication, trees, staging, repo)


def _publish(publication: Publication, trees: Trees, staging: Staging, repo: Repo) -> None:
    new = publication.new_layers
    present = {ref: commit for ref, commit in publication.layers.items() if ref not in new}
    try:
        publish_layers(new, staging, repo)
    except InvalidImageError:
        _require_layers(present, repo)
        raise
    with _moving(staging.store, repo.path) as moves:
        moves.add_made(publication.commit, trees)
        repo.sync()
        moves.add_commit(publication.commit)
    _require_layers(publication.layers, repo)
    if publication.image_ref is not None:
        staging.set_ref(publication.image_ref, publication.commit)
        _take_refs([publication.image_ref], staging, repo)
    repo.sync()


def publish_layers(layers: Mapping[str, str], staging: Staging, repo: Repo) -> None:
    """Make *layers*, ref to commit, visible.

    Raises:
        InvalidImageError: a commit is incomplete.
        CommandError: ostree refused.
        StorageIOError: something could not be flushed to the disk.
    """
    _publish_layers(layers, staging, repo, passing_over_incomplete=False)


def publish_complete_layers(layers: Mapping[str, str], staging: Staging, repo: Repo) -> int:
    """Make those of *layers* visible that are complete, and return how many that are.

    A base commit is complete only with the last of its chunks; the chunks alone are of use too.
    Errors are those of `publish_layers`, but for the first.
    """
    return _publish_layers(layers, staging, repo, passing_over_incomplete=True)


def _publish_layers(
    layers: Mapping[str, str], staging: Staging, repo: Repo, *, passing_over_incomplete: bool
) -> int:
    repo.sync()
    complete = {}
    with repo.pruning_held_off():
        with _moving(staging.store, repo.path) as moves:
            for ref, commit in layers.items():
                seen = set(moves.seen) if passing_over_incomplete else moves.seen
                try:
                    moves.add_tree(commit)
                    complete[ref] = commit
                except InvalidImageError:
                    if not passing_over_incomplete:
                        raise
                    # A directory counts as seen before what is below it has been looked at.
                    moves.seen = seen
            repo.sync()
            for commit in complete.values():
                moves.add_commit(commit)
        for ref, commit in complete.items():
            staging.set_ref(ref, commit)
        _take_refs(complete, staging, repo)
    return len(complete)


def _take_refs(refs: Iterable[str], staging: Staging, repo: Repo) -> None:
    if wanted := sorted(refs):
        repo.pull_local(staging.repo, wanted, verify_bindings=False)


def _require_layers(layers: Mapping[str, str], repo: Repo) -> None:
    """Make sure that the merged tree is complete: what it shares came with these commits."""
    for ref, commit in layers.items():
        if repo.rev_parse(ref) != commit or not repo.has_commit(commit):
            raise LayersVanishedError(
                f"The layer ref {ref} was changed or removed while it was used.",
                hint="Make sure that nothing else prunes the repository, then try again.",
            )


@dataclass(slots=True)
class _Moves:
    """Moves objects from one repository into another, each once."""

    store: ObjectStore
    repo: Path
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
        """Move *commit*, all of which is there, and the detached metadata that came with it."""
        if Path(self.store.path(commit, "commitmeta")).exists():
            self.add(commit, "commitmeta")
        self.add(commit, "commit")
        # ostree passes over a commit that an interrupted pull of its own has marked.
        (self.repo / "state" / f"{commit}.commitpartial").unlink(missing_ok=True)

    def _move(self, name: str) -> None:
        """Move one object; a move is half the work of linking it here and removing it there.

        It would replace an object of the same name, which is the same, but an inode that a
        deployment may share; whoever wrote the object has seen that there was none.
        """
        try:
            os.rename(name, name, src_dir_fd=self.source, dst_dir_fd=self.target)
        except FileNotFoundError as error:
            # Not staged, because the destination had it.
            if not os.path.lexists(self.repo / "objects" / name):
                raise InvalidImageError(
                    f"The image is incomplete: the object {name} is in none of its layers."
                ) from error


@contextmanager
def _moving(store: ObjectStore, repo: Path) -> Iterator[_Moves]:
    for number in range(256):
        (repo / f"objects/{number:02x}").mkdir(exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    source = os.open(store.repository / "objects", flags)
    target = os.open(repo / "objects", flags)
    try:
        yield _Moves(store, repo, source, target, store.content_suffix)
    finally:
        os.close(source)
        os.close(target)
