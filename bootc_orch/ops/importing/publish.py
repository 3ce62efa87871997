"""Make a prepared image visible: objects first, then the layers' refs, the image's ref last.

Objects are moved from the staging repository into the destination from below, the commits when all
else is on the disk, so whatever dies in between leaves a valid repository.  ostree then takes over
the refs, for which nothing is left to copy: it would need five times as long for the objects, and
renames them in no particular order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.importing.assemble import FlatImage
from bootc_orch.ops.importing.moves import open_moves
from bootc_orch.ops.importing.staging import Staging
from bootc_orch.ops.opening.pull_plan import LayerAction, PullPlan, PullRequest
from bootc_orch.ops.stored.known_layers import KnownLayer, known_layers, record_layers
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
        known: What is known of its layers.
    """

    new_layers: Mapping[str, str]
    layers: Mapping[str, str]
    image_ref: str | None
    commit: str
    known: tuple[KnownLayer, ...] = ()


class LayersVanishedError(StoreDamagedError):
    """Another program removed objects or layers while they were being used."""


def publish_image(
    request: PullRequest, plan: PullPlan, flat: FlatImage, commit: str, staging: Staging
) -> None:
    """Make an image visible, under its name if it is to have one.

    Args:
        request: The pull.
        plan: What was planned.
        flat: The merged image.
        commit: Its merge commit.
        staging: Where everything is.

    Raises:
        OrchError: as of `publish`.
    """
    name = request.name if request.options.named else None
    publish(
        prepare_publication(plan, flat, commit, name=name, staging=staging), flat.trees, staging
    )


def prepare_publication(
    plan: PullPlan, flat: FlatImage, commit: str, *, name: ImageReference | None, staging: Staging
) -> Publication:
    """Say which refs are to be set, and what is to be recorded of the layers.

    Args:
        plan: What was planned.
        flat: The merged image.
        commit: Its merge commit.
        name: The reference under which it is stored; None for none.
        staging: Where the layers were read.
    """
    present = {
        entry.layer.descriptor.digest: entry.commit for entry in plan.chosen(LayerAction.PRESENT)
    }
    layers = {blob_ref(digest): layer for digest, layer in flat.layers.items()}
    new = {
        blob_ref(digest): layer
        for digest, layer in flat.layers.items()
        if present.get(digest) != layer
    }
    return Publication(
        new_layers=new,
        layers=layers,
        image_ref=image_ref(name) if name else None,
        commit=commit,
        known=_known(plan, flat, staging),
    )


def _known(plan: PullPlan, flat: FlatImage, staging: Staging) -> tuple[KnownLayer, ...]:
    """Return what is known of the layers of an image: found now, or when they were first pulled.

    A layer whose content alone is there was not read by its own digest, so nothing is known of it.
    """
    read = known_layers(staging.repo)
    found = []
    for entry in plan.layers:
        digest = entry.layer.descriptor.digest
        if digest in read or entry.known:
            found.append(
                KnownLayer(digest, entry.layer.kind, flat.layers[digest], entry.layer.diff_id)
            )
    return tuple(found)


def publish(publication: Publication, trees: Trees, staging: Staging) -> None:
    """Make an image visible.

    Args:
        publication: The image.
        trees: The trees that the merge made.
        staging: Where everything is, and knows where it goes.

    Raises:
        LayersVanishedError: something that was there has gone; the image's ref is as it was.
        CommandError: ostree refused; the image's ref is as it was.
        StorageIOError: something could not be flushed to the disk.
    """
    repo = staging.destination
    new = publication.new_layers
    present = {ref: commit for ref, commit in publication.layers.items() if ref not in new}
    with repo.pruning_held_off():
        record_layers(repo.path, publication.known)
        try:
            publish_layers(new, staging)
        except InvalidImageError:
            _require_layers(present, repo)
            raise
        with open_moves(staging.store, repo) as moves:
            moves.add_made(publication.commit, trees)
            repo.sync()
            moves.add_commit(publication.commit)
        _require_layers(publication.layers, repo)
        if publication.image_ref is not None:
            staging.set_ref(publication.image_ref, publication.commit)
            _take_refs([publication.image_ref], staging)
        repo.sync()


def publish_layers(layers: Mapping[str, str], staging: Staging) -> None:
    """Make *layers*, ref to commit, visible.

    Raises:
        InvalidImageError: a commit is incomplete.
        CommandError: ostree refused.
        StorageIOError: something could not be flushed to the disk.
    """
    _publish_layers(layers, staging, passing_over_incomplete=False)


def publish_complete_layers(layers: Mapping[str, str], staging: Staging) -> int:
    """Make those of *layers* visible that are complete, and return how many that are.

    A base commit is complete only with the last of its chunks; the chunks alone are of use too.
    Errors are those of `publish_layers`, but for the first.
    """
    read = {blob_ref(digest): layer for digest, layer in known_layers(staging.repo).items()}
    record_layers(
        staging.destination.path,
        (read[ref] for ref, commit in layers.items() if ref in read and read[ref].commit == commit),
    )
    return _publish_layers(layers, staging, passing_over_incomplete=True)


def _publish_layers(
    layers: Mapping[str, str], staging: Staging, *, passing_over_incomplete: bool
) -> int:
    repo = staging.destination
    repo.sync()
    complete = {}
    with repo.pruning_held_off():
        with open_moves(staging.store, repo) as moves:
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
        _take_refs(complete, staging)
    return len(complete)


def _take_refs(refs: Iterable[str], staging: Staging) -> None:
    if wanted := sorted(refs):
        staging.destination.pull_local(staging.repo, wanted, verify_bindings=False)


def _require_layers(layers: Mapping[str, str], repo: Repo) -> None:
    """Make sure that the merged tree is complete: what it shares came with these commits."""
    for ref, commit in layers.items():
        if repo.rev_parse(ref) != commit or not repo.has_commit(commit):
            raise LayersVanishedError(
                f"The layer ref {ref} was changed or removed while it was used.",
                hint="Make sure that nothing else prunes the repository, then try again.",
            )
