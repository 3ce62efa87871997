"""Choose and delete what nothing needs any more: images, layers, objects.

What is alive is decided by refs alone: a layer lives while an image, a deployment or a commit that
was derived from an image names it in its manifest.  Where a ref cannot be read, nothing is deleted,
because what it keeps alive is unknown.
Source: ostree-rs-ext, the prefixes of refs whose commits keep layers alive.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bootc_orch.model.digest import Digest
from bootc_orch.model.host.origin import Origin
from bootc_orch.model.image.reference import ImageReference, OstreeImageReference
from bootc_orch.model.image.refs import (
    BASEIMAGE_PREFIX,
    BLOB_PREFIX,
    IMAGE_PREFIX,
    blob_ref,
    image_ref,
)
from bootc_orch.ops.stored.known_layers import forget_layer
from bootc_orch.ops.stored.store import (
    digest_of,
    is_image_commit,
    list_images,
    manifest_of,
    reference_of,
)
from bootc_orch.ops.stored.vouched import keep_vouched
from bootc_orch.tools.ostree.objects import Reach
from bootc_orch.tools.ostree.repo import Pruned, Repo
from bootc_orch.tools.ostree.sysroot import origin_files
from orch_frame.errors import NotFoundError, StoreDamagedError, UsageError

logger = logging.getLogger(__name__)

# Deployments (both boot versions), rpm-ostree's bases, and commits derived from images.
ROOT_PREFIXES = ("ostree/0", "ostree/1", "rpmostree/base", BASEIMAGE_PREFIX)


@dataclass(frozen=True, slots=True)
class RemovePlan:
    """Which of the images that were named can be removed.

    Attributes:
        refs: Refs of those that are stored.
        missing: Those that are not.
    """

    refs: tuple[str, ...]
    missing: tuple[ImageReference, ...]

    def require_all(self) -> None:
        """Complain of images that are not stored.

        Raises:
            NotFoundError: there are such images.
        """
        if self.missing:
            names = ", ".join(str(image) for image in self.missing)
            raise NotFoundError(f"Missing images: {names}", image=names)


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What a garbage collection would delete.

    Attributes:
        layers: Layers that no image, deployment or derived commit names.
        objects: How many objects nothing would reach then.
        size: Bytes on disk of those objects.
    """

    layers: tuple[Digest, ...]
    objects: int
    size: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What a garbage collection deleted.

    Attributes:
        layers: Layers whose ref is gone.
        pruned: The objects.
    """

    layers: tuple[Digest, ...]
    pruned: Pruned


def holders(repo: Repo) -> dict[str, frozenset[Digest]]:
    """Map each ref that keeps layers alive to the digests of those layers.

    Raises:
        StoreDamagedError: a ref, or the commit it leads to, cannot be read.
    """
    found = {}
    for prefix in (IMAGE_PREFIX, *ROOT_PREFIXES):
        for ref, checksum in repo.refs(prefix).items():
            try:
                commit = repo.commit(checksum)
                if prefix == IMAGE_PREFIX or is_image_commit(commit):
                    layers = manifest_of(commit, checksum).layers
                    found[ref] = frozenset(layer.digest for layer in layers)
            except StoreDamagedError as error:
                raise StoreDamagedError(
                    f"Ref {ref} does not lead to an intact commit, so nothing is deleted.",
                    details=error.summary,
                    hint="Remove or repair that image, then try again.",
                ) from error
    return found


def plan_layers(stored: Iterable[Digest], held: Mapping[str, frozenset[Digest]]) -> list[Digest]:
    """Choose the layers in *stored* that no ref in *held* keeps, sorted."""
    used: set[Digest] = set().union(*held.values())
    return sorted(set(stored) - used)


def unused_layers(repo: Repo) -> tuple[Digest, ...]:
    """Find the layers that nothing keeps alive.

    Raises:
        StoreDamagedError: a ref of a layer, or one that keeps layers alive, cannot be read.
    """
    stored = [digest_of(ref) for ref in repo.refs(BLOB_PREFIX)]
    return tuple(plan_layers(stored, holders(repo)))


def delete_layers(repo: Repo, layers: Collection[Digest]) -> None:
    """Delete the refs of *layers*, and what is known of them.

    Their objects stay until `prune_objects`.
    """
    repo.delete_refs([blob_ref(digest) for digest in layers])
    for digest in layers:
        forget_layer(repo.path, digest)


def prune_objects(repo: Repo) -> Pruned:
    """Delete every object that no ref reaches.

    ostree itself passes over a ref that it cannot read, and deletes what that ref needs.

    Raises:
        StoreDamagedError: a ref cannot be read.
    """
    all_refs(repo)
    return repo.prune()


def collect_garbage(repo: Repo) -> Swept:
    """Delete unused layers and everything that no ref reaches then.

    Raises:
        StoreDamagedError: a ref, or the commit it leads to, cannot be read.
    """
    layers = unused_layers(repo)
    delete_layers(repo, layers)
    keep_vouched(repo.path, {state.manifest_digest for _, state in list_images(repo).images})
    return Swept(layers, prune_objects(repo))


def plan_gc(repo: Repo) -> GcPlan:
    """Find what `collect_garbage` would delete.

    Raises:
        StoreDamagedError: a ref or an object cannot be read.
    """
    layers = unused_layers(repo)
    doomed = {blob_ref(digest) for digest in layers}
    reach = Reach()
    for ref, commit in all_refs(repo):
        if ref not in doomed:
            repo.collect(commit, reach)
    garbage = [(name, size) for name, size in repo.stored() if not _reached(name, reach)]
    objects = sum(1 for name, _ in garbage if not name.endswith(".commitmeta"))
    return GcPlan(layers, objects, sum(size for _, size in garbage))


def apply_gc(plan: GcPlan, repo: Repo) -> None:
    """Delete what *plan* names, all of it garbage as long as the lock is held."""
    delete_layers(repo, plan.layers)
    if plan.layers or plan.objects:
        prune_objects(repo)


def all_refs(repo: Repo) -> list[tuple[str, str]]:
    """List every ref with its commit: local ones, those of remotes, and mirrored ones.

    Raises:
        StoreDamagedError: one cannot be read.
    """
    places = ("heads", "remotes", "mirrors")
    return [item for place in places for item in repo.refs(below=place).items()]


def plan_remove(repo: Repo, images: Iterable[ImageReference]) -> RemovePlan:
    """Tell which of *images* are stored; a damaged ref counts as stored and can be removed."""
    refs = []
    missing = []
    for image in images:
        ref = image_ref(image)
        scan = repo.scan_refs(ref)
        if ref in scan.commits or ref in scan.damaged:
            refs.append(ref)
        else:
            missing.append(image)
    return RemovePlan(tuple(dict.fromkeys(refs)), tuple(missing))


def apply_remove(plan: RemovePlan, repo: Repo) -> None:
    """Delete the image refs that *plan* names; layers stay until `collect_garbage`."""
    repo.delete_refs(plan.refs)


def plan_undeployed(repo: Repo, deployed: Collection[ImageReference]) -> RemovePlan:
    """Choose every stored image that is not among *deployed*."""
    kept = {image_ref(image) for image in deployed}
    scan = repo.scan_refs(IMAGE_PREFIX)
    return RemovePlan(tuple(ref for ref in scan.commits if ref not in kept), ())


def removed_names(plan: RemovePlan) -> tuple[str, ...]:
    """Return the images that *plan* removes, as they are written."""
    return tuple(_name(ref) for ref in plan.refs)


def deployed_images(sysroot: Path) -> tuple[ImageReference, ...]:
    """Read from the origin files below *sysroot* which images its deployments follow.

    Raises:
        StoreDamagedError: an origin file cannot be read, so what it follows is unknown.
    """
    found = []
    for path, text in origin_files(sysroot):
        container = Origin.parse(text, source=str(path)).container
        if container is not None:
            found.append(_deployed_image(container, path))
    return tuple(found)


def _deployed_image(text: str, path: Path) -> ImageReference:
    try:
        return OstreeImageReference.parse(text).image
    except UsageError as error:
        raise StoreDamagedError(
            f"{path} names no image that can be read: {error.summary}", path=str(path)
        ) from error


def _name(ref: str) -> str:
    try:
        return str(reference_of(ref))
    except StoreDamagedError:
        return ref


def _reached(name: str, reach: Reach) -> bool:
    checksum, _, kind = name.partition(".")
    if kind in ("commit", "commitmeta"):
        return checksum in reach.commits
    try:
        raw = bytes.fromhex(checksum)
    except ValueError:  # not an object; ostree leaves it alone as well
        return True
    if kind == "dirtree":
        return raw in reach.trees
    if kind == "dirmeta":
        return raw in reach.metas
    return raw in reach.files
