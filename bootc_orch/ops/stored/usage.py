"""What the layers and images of a repository take, and what they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from bootc_orch.model.digest import Digest
from bootc_orch.model.gvariant import Commit
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.model.image.manifest import Manifest
from bootc_orch.model.image.refs import BLOB_PREFIX, blob_ref
from bootc_orch.ops.stored.store import IMPORTER_KEY, ImageListing, digest_of
from bootc_orch.tools.ostree.objects import Reach
from bootc_orch.tools.ostree.repo import Repo


@dataclass(frozen=True, slots=True)
class LayerUsage:
    """One stored layer.

    Attributes:
        digest: The digest of its blob in a manifest.
        commit: The commit that its ref names.
        kind: What it is to the repository.
        size: Bytes of its distinct files; a commit layer does not hold those of its image's chunks.
        compressed_size: Bytes of the blob, or None where no image tells.
        images: References of the images that are made of it, sorted.
    """

    digest: Digest
    commit: str
    kind: LayerKind
    size: int
    compressed_size: int | None
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageUsage:
    """What one image takes on disk, its layers included.

    Attributes:
        reference: The image.
        shared: Bytes of objects that another image needs too.
        unique: Bytes of objects that no other image needs.
    """

    reference: str
    shared: int
    unique: int


def layer_usage(repo: Repo, listing: ImageListing) -> tuple[LayerUsage, ...]:
    """Describe every stored layer, the largest first.

    Raises:
        StoreDamagedError: a layer's ref or one of its objects cannot be read.
    """
    known = _known_layers(listing)
    commits = {digest_of(ref): commit for ref, commit in repo.refs(BLOB_PREFIX).items()}
    files = {digest: _files(repo, commit) for digest, commit in commits.items()}
    found = []
    for digest, commit in commits.items():
        layer = known.get(digest, _Known())
        own = files[digest].difference(*(files.get(chunk, ()) for chunk in layer.chunks))
        found.append(
            LayerUsage(
                digest=digest,
                commit=commit,
                kind=layer.kind or kind_of_commit(repo.commit(commit)),
                size=sum(repo.content_size(checksum.hex()) for checksum in own),
                compressed_size=layer.size,
                images=tuple(sorted(layer.images)),
            )
        )
    return tuple(sorted(found, key=lambda layer: (-layer.size, layer.digest)))


def image_usage(repo: Repo, listing: ImageListing) -> tuple[ImageUsage, ...]:
    """Tell for each image how much of it is its own, in the order of *listing*.

    Raises:
        StoreDamagedError: a ref or an object cannot be read.
    """
    sizes = _sizes(repo)
    holdings = [
        _objects(repo, [state.merge_commit, *_layer_commits(repo, state.manifest)])
        for _, state in listing.images
    ]
    count = Counter(checksum for holding in holdings for checksum in holding)
    usage = []
    for (reference, _), holding in zip(listing.images, holdings, strict=True):
        total = sum(sizes.get(checksum, 0) for checksum in holding)
        unique = sum(sizes.get(checksum, 0) for checksum in holding if count[checksum] == 1)
        usage.append(ImageUsage(str(reference), total - unique, unique))
    return tuple(usage)


def kind_of_commit(commit: Commit) -> LayerKind:
    """Tell what a layer is by the form of its commit alone, where no image says it.

    An original commit that has neither metadata nor a date cannot be told from a chunk.
    """
    if not commit.metadata and not commit.timestamp and not commit.subject:
        return LayerKind.CHUNK
    keys = {key for key, _ in commit.metadata}
    return LayerKind.DERIVED if keys == {IMPORTER_KEY} else LayerKind.COMMIT


def _layer_commits(repo: Repo, manifest: Manifest) -> list[str]:
    """The commits of the image's layers, without those whose ref is gone."""
    refs = {blob_ref(layer.digest) for layer in manifest.layers}
    return [commit for ref in sorted(refs) if (commit := repo.rev_parse(ref))]


def _objects(repo: Repo, commits: Iterable[str]) -> set[bytes]:
    """Raw checksums of everything in *commits*; the kinds of object need no telling apart."""
    reach = Reach()
    for commit in commits:
        repo.collect(commit, reach)
    return {bytes.fromhex(name) for name in reach.commits} | reach.trees | reach.metas | reach.files


def _sizes(repo: Repo) -> dict[bytes, int]:
    """Bytes on disk by raw checksum; a commit's detached metadata counts with it."""
    sizes: dict[bytes, int] = {}
    for name, size in repo.stored():
        with suppress(ValueError):  # not an object
            checksum = bytes.fromhex(name.partition(".")[0])
            sizes[checksum] = sizes.get(checksum, 0) + size
    return sizes


def _files(repo: Repo, commit: str) -> set[bytes]:
    reach = Reach()
    repo.collect(commit, reach)
    return reach.files


@dataclass(slots=True)
class _Known:
    """What the images that are made of a layer tell of it.

    Attributes:
        kind: What it is, or None.
        size: Bytes of its blob, or None.
        images: References of those images.
        chunks: Of a commit layer: the layers that hold the rest of its commit's files.
    """

    kind: LayerKind | None = None
    size: int | None = None
    images: set[str] = field(default_factory=set)
    chunks: set[Digest] = field(default_factory=set)


def _known_layers(listing: ImageListing) -> dict[Digest, _Known]:
    known: dict[Digest, _Known] = {}
    for reference, state in listing.images:
        for layer in state.manifest.layers:
            entry = known.setdefault(layer.digest, _Known())
            entry.size = layer.size
            entry.images.add(str(reference))
        planned = state.layers or ()
        for layer_plan in planned:
            entry = known[layer_plan.descriptor.digest]
            entry.kind = entry.kind or layer_plan.kind
            if layer_plan.kind is LayerKind.COMMIT:
                entry.chunks |= {
                    other.descriptor.digest for other in planned if other.kind is LayerKind.CHUNK
                }
    return known
