"""Make a prepared image visible: objects first, then the layers' refs, the image's ref last.

ostree takes the layer commits in, which makes them complete in the destination.  What the merge
added is a few directories, and objects that were labelled anew: they are linked in from below, so
that the merge commit, which comes last, is complete when it appears.  Whatever dies in between
leaves a valid repository.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bootc_orch.errors import StoreDamagedError
from bootc_orch.ops.staging import Staging
from bootc_orch.stream.trees import Trees
from bootc_orch.tools.ostree import Repo


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to become visible.

    Attributes:
        layer_refs: Refs of layers, set in the staging repository.
        layers: The commit that each layer ref of the image must have in the end.
        image_ref: The image's ref.
        commit: The merge commit.
        root: Its dirtree.
    """

    layer_refs: tuple[str, ...]
    layers: Mapping[str, str]
    image_ref: str
    commit: str
    root: bytes


class LayersVanishedError(StoreDamagedError):
    """Another program removed layers while they were being used."""


def publish(publication: Publication, trees: Trees, staging: Staging, repo: Repo) -> None:
    """Make an image visible.

    Args:
        publication: The image.
        trees: The trees that the merge made.
        staging: Where everything is.
        repo: Where it goes.

    Raises:
        LayersVanishedError: a layer that was there has gone; the image's ref is as it was.
        CommandError: ostree refused; the image's ref is as it was.
        StorageIOError: something could not be flushed to the disk.
    """
    repo.sync()
    if publication.layer_refs:
        repo.pull_local(staging.repo, sorted(publication.layer_refs), verify_bindings=False)
    for path in _merged_objects(publication, trees):
        _link(path, staging.repo, repo.path)
    repo.sync()
    _require_layers(publication.layers, repo)
    staging.set_ref(publication.image_ref, publication.commit)
    repo.pull_local(staging.repo, [publication.image_ref], verify_bindings=False)
    repo.sync()


def _require_layers(layers: Mapping[str, str], repo: Repo) -> None:
    """Make sure that the merged tree is complete: what it shares came with these commits."""
    for ref, commit in layers.items():
        if repo.rev_parse(ref) != commit or not repo.has_commit(commit):
            raise LayersVanishedError(
                f"The layer ref {ref} was changed or removed while it was used.",
                hint="Make sure that nothing else prunes the repository, then try again.",
            )


def _merged_objects(publication: Publication, trees: Trees) -> Iterator[str]:
    """Yield the objects that the merge made, children first, the commit last.

    Every directory that it made is gone through, even one that the destination has: it may be what
    an interrupted prune left, without its children.
    """
    store = trees.store
    yield from (store.file_path(checksum.hex()) for checksum in trees.made_files)
    yield from (store.path(checksum.hex(), "dirmeta") for checksum in trees.made_metas)
    yield from _made_below(publication.root, trees, set())
    yield store.path(publication.commit, "commit")


def _made_below(tree: bytes, trees: Trees, seen: set[bytes]) -> Iterator[str]:
    if tree in seen or tree not in trees.made:
        return
    seen.add(tree)
    for directory in trees.load(tree).dirs.values():
        yield from _made_below(directory.tree, trees, seen)
    yield trees.store.path(tree.hex(), "dirtree")


def _link(path: str, source: Path, destination: Path) -> None:
    """Link one object into the destination, unless it is there, which is the same."""
    target = destination / Path(path).relative_to(source)
    target.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        try:
            os.link(path, target, follow_symlinks=False)
        except FileNotFoundError:
            # Never written, because the destination had it.
            if not os.path.lexists(target):
                raise
