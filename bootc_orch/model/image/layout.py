"""Tell the layers of an image apart: those that carry an ostree commit and those derived from it.

Source: ostree-rs-ext, the label ``ostree.final-diffid`` of encapsulated images.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.manifest import Descriptor, ImageConfig, Manifest
from bootc_orch.model.image.reference import Transport
from orch_frame.errors import InvalidImageError, MismatchError

LABEL_FINAL_DIFFID = "ostree.final-diffid"


class Compression(StrEnum):
    """How a blob is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class LayerKind(StrEnum):
    """What a layer is to the ostree repository."""

    COMMIT = "commit"
    CHUNK = "chunk"
    DERIVED = "derived"


_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_COMPRESSIONS = {
    _OCI_LAYER: Compression.NONE,
    f"{_OCI_LAYER}+gzip": Compression.GZIP,
    f"{_OCI_LAYER}+zstd": Compression.ZSTD,
    _DOCKER_LAYER: Compression.NONE,
    f"{_DOCKER_LAYER}.gzip": Compression.GZIP,
}
_MISNAMED = (Transport.DOCKER_DAEMON, Transport.DOCKER_ARCHIVE)


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """One layer of an image, in its place.

    Attributes:
        index: Its place in the manifest, from 0, the lowest layer.
        descriptor: Where its blob is; the digest there names the layer's ref.
        diff_id: The digest its content must have once decompressed.
        kind: What it is to the repository.
        compression: How the blob that *descriptor* names is compressed.
        repeats: The index of the first layer with the same digest, if that is another one.  It has
            the same kind then: a digest has one ref and one commit.
    """

    index: int
    descriptor: Descriptor
    diff_id: Digest
    kind: LayerKind
    compression: Compression
    repeats: int | None = None


def classify(manifest: Manifest, config: ImageConfig) -> tuple[PlannedLayer, ...]:
    """Tell what each layer is, in the order of the manifest.

    Raises:
        InvalidImageError: there are no layers, one is of a type that is not handled, or the image
            claims an ostree layer that it does not have.
        MismatchError: the config does not have one diff_id for each layer, or two for one blob.
    """
    if not manifest.layers:
        raise InvalidImageError("The image has no layers.")
    if len(config.diff_ids) != len(manifest.layers):
        raise MismatchError(
            f"The manifest has {len(manifest.layers)} layers, "
            f"but the config has {len(config.diff_ids)} diff_ids."
        )
    last_ostree_layer = _last_ostree_layer(config)
    planned: list[PlannedLayer] = []
    first: dict[Digest, PlannedLayer] = {}
    for index, descriptor in enumerate(manifest.layers):
        layer = PlannedLayer(
            index=index,
            descriptor=descriptor,
            diff_id=config.diff_ids[index],
            kind=_kind(index, last_ostree_layer),
            compression=_checked_compression(descriptor),
        )
        original = first.setdefault(descriptor.digest, layer)
        planned.append(layer if original is layer else _repeat(layer, original))
    return tuple(planned)


def compression_of(media_type: str, *, layer: Digest) -> Compression:
    """Return how a blob of *media_type* is compressed; by its declared type, never by its bytes.

    Args:
        media_type: The type in the layer's descriptor, or in what the proxy says of stored layers.
        layer: The digest of the layer, for the error.

    Raises:
        InvalidImageError: layers of this type are not handled.
    """
    try:
        return _COMPRESSIONS[media_type]
    except KeyError:
        shown = media_type[:200]
        raise InvalidImageError(
            f"Layer {layer} is of the type {shown!r}, which is not handled.", layer=str(layer)
        ) from None


def stored_compression(media_type: str, *, layer: Digest, transport: Transport) -> Compression:
    """Return how the proxy hands over a layer of an image that is kept unpacked.

    docker-daemon and docker-archive call their plain tars by the name of compressed ones.

    Raises:
        InvalidImageError: layers of this type are not handled.
    """
    compression = compression_of(media_type, layer=layer)
    return Compression.NONE if transport in _MISNAMED else compression


def _last_ostree_layer(config: ImageConfig) -> int:
    """Return the index of the last layer of the base commit; -1 if the image has none."""
    if LABEL_FINAL_DIFFID not in config.labels:
        return -1
    target = Digest.parse(config.labels[LABEL_FINAL_DIFFID])
    if target not in config.diff_ids:
        raise InvalidImageError(
            f"The label {LABEL_FINAL_DIFFID} says {target}, but no layer has this diff_id."
        )
    return config.diff_ids.index(target)


def _kind(index: int, last_ostree_layer: int) -> LayerKind:
    if index > last_ostree_layer:
        return LayerKind.DERIVED
    return LayerKind.CHUNK if index else LayerKind.COMMIT


def _checked_compression(descriptor: Descriptor) -> Compression:
    if descriptor.urls:
        raise InvalidImageError(
            f"Layer {descriptor.digest} is to be fetched from foreign addresses.",
            layer=str(descriptor.digest),
        )
    return compression_of(descriptor.media_type, layer=descriptor.digest)


def _repeat(layer: PlannedLayer, original: PlannedLayer) -> PlannedLayer:
    digest = layer.descriptor.digest
    same = (original.diff_id, original.descriptor.size, original.compression)
    if (layer.diff_id, layer.descriptor.size, layer.compression) != same:
        raise MismatchError(
            f"Layer {digest} is there twice, with different diff_ids, sizes or types.",
            layer=str(digest),
        )
    return PlannedLayer(
        index=layer.index,
        descriptor=layer.descriptor,
        diff_id=layer.diff_id,
        kind=original.kind,
        compression=layer.compression,
        repeats=original.index,
    )
