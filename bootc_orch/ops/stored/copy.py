"""Copy a stored image from one repository to another, whatever the modes of the two.

Source: ostree-rs-ext, ``ostree container image copy``: first every layer by its ref, then the merge
commit, then the image ref.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.stored.known_layers import mark_copied
from bootc_orch.ops.stored.store import ImageState, image_state, refuse_collision
from bootc_orch.tools.ostree.objects import RepoMode
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import NotFoundError, StoreDamagedError, ToolError

# Cannot hold owners, setuid bits or extended attributes.
LOSSY_MODES = (RepoMode.BARE_USER_ONLY,)


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What a copy would do.

    Attributes:
        state: The image at the source.
        layers: Each distinct layer and its commit.
        missing: Those of them that the destination lacks.
        unchanged: Whether the destination has exactly this image already.
    """

    state: ImageState
    layers: tuple[tuple[Digest, str], ...]
    missing: tuple[Digest, ...]
    unchanged: bool


def plan_copy(
    source: Repo, destination: Repo, image: ImageReference, *, target: ImageReference
) -> CopyPlan:
    """Find what *destination* lacks of *image*, to be stored there as *target*.

    Raises:
        NotFoundError: the image is not in *source*.
        StoreDamagedError: it is, but a layer of it is gone.
        ToolError: the destination's mode cannot hold an operating system.
        UsageError: the image's name collides with one at the destination.
    """
    if destination.mode in LOSSY_MODES:
        raise ToolError(
            f"{destination.path} is a repository of mode {destination.mode}, "
            "which cannot hold owners and setuid bits.",
            hint="Copy to a repository of mode bare, bare-user or archive.",
        )
    state = image_state(source, image)
    if state is None:
        raise NotFoundError(f"{image} is not stored in {source.path}.", image=str(image))
    refuse_collision(destination, target)
    layers = _layer_commits(source, state, image)
    missing = tuple(
        digest
        for digest, commit in layers
        if destination.rev_parse_intact(blob_ref(digest)) != commit
    )
    present = destination.rev_parse_intact(image_ref(target)) == state.merge_commit
    return CopyPlan(state, layers, missing, unchanged=present and not missing)


def apply_copy(plan: CopyPlan, source: Repo, destination: Repo, *, target: ImageReference) -> None:
    """Copy what *plan* found missing, and set the refs at the destination.

    The image ref comes last: whatever dies before leaves layers that the next copy finds.  What
    the layers were made of is known at the source, if anywhere: the next pull of an image that has
    them fetches them.
    """
    if plan.unchanged:
        return
    if plan.missing:
        refs = [blob_ref(digest) for digest in plan.missing]
        missing = {digest: commit for digest, commit in plan.layers if digest in plan.missing}
        mark_copied(destination.path, missing)
        destination.pull_local(source.path, refs, verify_bindings=False)
    destination.pull_local(source.path, [plan.state.merge_commit], verify_bindings=False)
    destination.create_ref(image_ref(target), plan.state.merge_commit)
    destination.sync()


def _layer_commits(
    repo: Repo, state: ImageState, image: ImageReference
) -> tuple[tuple[Digest, str], ...]:
    found = {}
    for digest in dict.fromkeys(layer.digest for layer in state.manifest.layers):
        commit = repo.rev_parse(blob_ref(digest))
        if commit is None:
            raise StoreDamagedError(
                f"Layer {digest} of {image} is missing from {repo.path}.",
                hint="Pull the image again, then copy it.",
                image=str(image),
                layer=str(digest),
            )
        found[digest] = commit
    return tuple(found.items())
