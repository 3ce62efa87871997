"""Say what keeps a layer, an image or a commit alive, or that nothing does."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.reference import ImageReference, OstreeImageReference
from bootc_orch.model.image.refs import (
    BASEIMAGE_PREFIX,
    BLOB_PREFIX,
    IMAGE_PREFIX,
    blob_ref,
    image_ref,
)
from bootc_orch.ops.stored.prune import ROOT_PREFIXES, all_refs, holders
from bootc_orch.ops.stored.store import digest_of, reference_of
from bootc_orch.tools.ostree.objects import Reach
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import InvalidImageError, NotFoundError, OrchError, UsageError

_HEX = re.compile(r"[0-9a-f]{64}")


class TargetKind(StrEnum):
    """What the thing in question is."""

    LAYER = "layer"
    IMAGE = "image"
    COMMIT = "commit"
    OBJECT = "object"


class KeeperKind(StrEnum):
    """What keeps something alive."""

    IMAGE = "image"
    LAYER = "layer"
    DEPLOYMENT = "deployment"
    BASE_IMAGE = "base-image"
    REF = "ref"


@dataclass(frozen=True, slots=True)
class Keeper:
    """One thing that keeps another alive.

    Attributes:
        kind: What it is.
        name: The image's reference, the layer's digest, or the ref.
        reason: Why, as the end of a sentence that begins with the name.
    """

    kind: KeeperKind
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why something is kept.

    Attributes:
        target: What was asked about.
        kind: What that is.
        commit: The commit it stands for, or None.
        kept_by: All that keep it, a layer followed by what keeps that.
    """

    target: str
    kind: TargetKind
    commit: str | None
    kept_by: tuple[Keeper, ...]

    @property
    def alive(self) -> bool:
        """Whether the next garbage collection keeps it; a layer alone keeps nothing."""
        return any(keeper.kind is not KeeperKind.LAYER for keeper in self.kept_by)


def explain(repo: Repo, text: str) -> Explanation:
    """Explain what keeps *text* alive: a digest, a checksum, a ref or an image reference.

    Raises:
        NotFoundError: the repository has no such thing.
        UsageError: *text* is none of these.
        StoreDamagedError: a ref or an object cannot be read.
    """
    if text.startswith("sha256:"):
        return _explain_digest(repo, text)
    if _HEX.fullmatch(text):
        return _explain_checksum(repo, text)
    commit = repo.rev_parse(text) if ":" not in text else None
    if commit is not None:
        if text.startswith(f"{BLOB_PREFIX}/"):
            return _explain_layer(repo, digest_of(text), commit)
        return Explanation(text, TargetKind.COMMIT, commit, _commit_keepers(repo, commit))
    return _explain_image(repo, text)


def _explain_digest(repo: Repo, text: str) -> Explanation:
    try:
        digest = Digest.parse(text)
    except InvalidImageError as error:
        raise UsageError(error.summary, hint=error.hint) from error
    commit = repo.rev_parse(blob_ref(digest))
    if commit is None:
        raise NotFoundError(
            f"{repo.path} has no layer {digest}.",
            hint="See what it has with: bootc-orch layers",
            layer=text,
        )
    return _explain_layer(repo, digest, commit)


def _explain_layer(repo: Repo, digest: Digest, commit: str) -> Explanation:
    keepers = [
        keeper(ref, "is made of it") for ref, layers in holders(repo).items() if digest in layers
    ]
    return Explanation(str(digest), TargetKind.LAYER, commit, tuple(keepers))


def _followed(repo: Repo, refs: Iterable[str], reason: str) -> tuple[Keeper, ...]:
    """Describe *refs* as keepers for *reason*, and after each layer what keeps that layer."""
    held = holders(repo)
    keepers = []
    for ref in refs:
        first = keeper(ref, reason)
        keepers.append(first)
        if first.kind is KeeperKind.LAYER:
            digest = digest_of(ref)
            because = f"is made of layer {digest}"
            keepers += [keeper(other, because) for other in held if digest in held[other]]
    return tuple(keepers)


def _explain_checksum(repo: Repo, checksum: str) -> Explanation:
    if repo.has_commit(checksum):
        keepers = _commit_keepers(repo, checksum)
        return Explanation(checksum, TargetKind.COMMIT, checksum, keepers)
    kinds = (repo.content_kind, "dirtree", "dirmeta")
    if not any(os.path.lexists(repo.object_path(checksum, kind)) for kind in kinds):
        raise NotFoundError(f"{repo.path} has no object {checksum}.")
    return Explanation(checksum, TargetKind.OBJECT, None, _object_keepers(repo, checksum))


def _explain_image(repo: Repo, text: str) -> Explanation:
    image = parse_image(text)
    ref = image_ref(image)
    commit = repo.rev_parse(ref)
    if commit is None:
        raise NotFoundError(
            f"{image} is not stored in {repo.path}.",
            hint="See what is with: bootc-orch image list",
            image=str(image),
        )
    return Explanation(str(image), TargetKind.IMAGE, commit, _commit_keepers(repo, commit))


def parse_image(text: str) -> ImageReference:
    """Read an image reference, with or without the ``ostree-…`` part that says who vouches.

    Raises:
        UsageError: *text* is neither.
    """
    if text.startswith("ostree-"):
        return OstreeImageReference.parse(text).image
    return ImageReference.parse(text)


def keeper(ref: str, reason: str) -> Keeper:
    """Describe the ref *ref* as what keeps something alive."""
    try:
        if ref.startswith(f"{IMAGE_PREFIX}/"):
            return Keeper(KeeperKind.IMAGE, str(reference_of(ref)), reason)
        if ref.startswith(f"{BLOB_PREFIX}/"):
            return Keeper(KeeperKind.LAYER, str(digest_of(ref)), reason)
    except OrchError:
        return Keeper(KeeperKind.REF, ref, reason)
    if ref.startswith(f"{BASEIMAGE_PREFIX}/"):
        return Keeper(KeeperKind.BASE_IMAGE, ref, reason)
    if ref.startswith(tuple(f"{prefix}/" for prefix in ROOT_PREFIXES)):
        return Keeper(KeeperKind.DEPLOYMENT, ref, reason)
    return Keeper(KeeperKind.REF, ref, reason)


def _commit_keepers(repo: Repo, commit: str) -> tuple[Keeper, ...]:
    return _followed(repo, [ref for ref, at in all_refs(repo) if at == commit], "points to it")


def _object_keepers(repo: Repo, checksum: str) -> tuple[Keeper, ...]:
    raw = bytes.fromhex(checksum)
    containing = []
    for ref, commit in all_refs(repo):
        reach = Reach()
        repo.collect(commit, reach)
        if raw in reach.files or raw in reach.trees or raw in reach.metas:
            containing.append(ref)
    return _followed(repo, containing, "contains it")
