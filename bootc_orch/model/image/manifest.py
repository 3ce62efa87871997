"""Image manifests and configs: typed, checked, and in the canonical form that merge commits record.

Source: OCI image specification, ``manifest.md``, ``config.md`` and ``descriptor.md``; the canonical
form keeps exactly the fields that ostree-rs-ext keeps, so that both record the same text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from bootc_orch.model import strict_json
from bootc_orch.model.digest import Digest
from bootc_orch.model.timestamp import parse_rfc3339
from bootc_orch.model.typed_json import (
    boolean,
    digest,
    empty_record,
    mapping,
    natural,
    record,
    reduce,
    sequence,
    text,
)
from orch_frame.errors import InvalidImageError

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
MAX_LAYERS = 512
ANNOTATION_CREATED = "org.opencontainers.image.created"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
# The proxy converts manifests of Docker's type, but not always the type of their config.
CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)

_TEXTS = sequence(text)
_TEXT_MAP = mapping(text)
# In a platform ostree-rs-ext writes these names with an underscore, unlike the specification.
_PLATFORM = {
    "architecture": text,
    "os": text,
    "os_version": text,
    "os_features": _TEXTS,
    "variant": text,
    "features": _TEXTS,
}
_DESCRIPTOR = {
    "mediaType": text,
    "digest": digest,
    "size": natural,
    "urls": _TEXTS,
    "annotations": _TEXT_MAP,
    "platform": record(_PLATFORM, ("architecture", "os")),
    "artifactType": text,
    "data": text,
}
_descriptor = record(_DESCRIPTOR, ("mediaType", "digest", "size"))
_MANIFEST = {
    "schemaVersion": natural,
    "mediaType": text,
    "artifactType": text,
    "config": _descriptor,
    "layers": sequence(_descriptor, MAX_LAYERS),
    "subject": _descriptor,
    "annotations": _TEXT_MAP,
}
_SET = mapping(empty_record)
_EXECUTION = {
    "User": text,
    "ExposedPorts": _SET,
    "Env": _TEXTS,
    "Entrypoint": _TEXTS,
    "Cmd": _TEXTS,
    "Volumes": _SET,
    "WorkingDir": text,
    "Labels": _TEXT_MAP,
    "StopSignal": text,
}
_HISTORY = {
    "created": text,
    "author": text,
    "created_by": text,
    "comment": text,
    "empty_layer": boolean,
}
_CONFIG = {
    "created": text,
    "author": text,
    "architecture": text,
    "os": text,
    "os.version": text,
    "os.features": _TEXTS,
    "variant": text,
    "config": record(_EXECUTION),
    "rootfs": record({"type": text, "diff_ids": sequence(digest)}, ("type", "diff_ids")),
    "history": sequence(record(_HISTORY)),
}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to one blob: a layer or a config.

    Attributes:
        media_type: What the blob is, such as ``application/vnd.oci.image.layer.v1.tar+gzip``.
        digest: The digest of the blob as it is transferred, that is, still compressed.
        size: The length of that blob in bytes.
        annotations: Free keys and values.
        urls: Other places to fetch the blob from; nothing here ever does.
    """

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of one image for one platform.

    Attributes:
        config: Where its config is.
        layers: Its layers, the lowest first; a digest may be there more than once.
        annotations: Free keys and values.
        document: The fields the format knows, as JSON values.
    """

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(hash=False)
    document: Mapping[str, Any] = field(hash=False, repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a manifest, as the proxy hands it over or as a merge commit records it.

        Raises:
            InvalidImageError: it is not an OCI image manifest.
            LimitError: it is longer than `MAX_DOCUMENT_BYTES` or has more than `MAX_LAYERS` layers.
        """
        value = strict_json.loads(data, what="the manifest", limit=MAX_DOCUMENT_BYTES)
        _check_kind(value)
        document = reduce(value, _MANIFEST, ("schemaVersion", "config", "layers"), "The manifest")
        _check_types(document)
        return cls(
            config=_to_descriptor(document["config"]),
            layers=tuple(_to_descriptor(layer) for layer in document["layers"]),
            annotations=document.get("annotations", {}),
            document=document,
        )

    def canonical(self) -> str:
        """Return the text that a merge commit records as ``ostree.manifest``."""
        return strict_json.canonical(self.document)


@dataclass(frozen=True, slots=True)
class History:
    """How one layer, or one step without a layer, came about; absent fields are None."""

    created: str | None = None
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool = False


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The config of one image.

    Attributes:
        created: When the image was made, as the config writes it, which need not be a date.
        architecture: The processor, in Go's words; empty if the config was not recorded.
        os: The operating system, in Go's words.
        labels: Free keys and values; the values may hold anything, newlines included.
        diff_ids: The digest of each layer once decompressed, a claim until it is verified.
        history: One entry a step; its length has no firm relation to the number of layers.
        document: The fields the format knows, as JSON values.
    """

    created: str | None
    architecture: str
    os: str
    labels: Mapping[str, str] = field(hash=False)
    diff_ids: tuple[Digest, ...]
    history: tuple[History, ...]
    document: Mapping[str, Any] = field(hash=False, repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a config, as the proxy hands it over or as a merge commit records it.

        Raises:
            InvalidImageError: it is not an OCI image config.
            LimitError: it is longer than `MAX_DOCUMENT_BYTES`.
        """
        value = strict_json.loads(data, what="the config", limit=MAX_DOCUMENT_BYTES)
        return cls._from_document(
            reduce(value, _CONFIG, ("architecture", "os", "rootfs"), "The config")
        )

    @staticmethod
    def check_keys(data: bytes) -> None:
        """Refuse a config, as it is stored, in which two readers could see different things.

        skopeo hands it over written anew, as it reads it.

        Raises:
            InvalidImageError: a key is there twice, or in another case than the format has it.
            LimitError: it is longer than `MAX_DOCUMENT_BYTES`.
        """
        value = strict_json.loads(data, what="the config", limit=MAX_DOCUMENT_BYTES)
        reduce(value, _CONFIG, (), "The config")

    @classmethod
    def empty(cls) -> Self:
        """Return what stands for the config of an image that was stored without it."""
        rootfs = {"type": "layers", "diff_ids": []}
        return cls._from_document({"architecture": "", "os": "", "rootfs": rootfs})

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Self:
        return cls(
            created=document.get("created"),
            architecture=document["architecture"],
            os=document["os"],
            labels=document.get("config", {}).get("Labels", {}),
            diff_ids=tuple(Digest.parse(text) for text in document["rootfs"]["diff_ids"]),
            history=tuple(_to_history(entry) for entry in document.get("history", ())),
            document=document,
        )

    @property
    def version(self) -> str | None:
        """The version of the image as its labels state it, unchecked text."""
        for label in ("org.opencontainers.image.version", "version"):
            if label in self.labels:
                return self.labels[label]
        return None

    def canonical(self) -> str:
        """Return the text that a merge commit records as ``ostree.container.image-config``."""
        return strict_json.canonical(self.document)


def image_timestamp(manifest: Manifest, config: ImageConfig) -> int | None:
    """Return the date for the merge commit in seconds since 1970, or None: the caller takes now.

    The manifest's annotation is chosen if it is there, even if it is not a date; else the config.

    Raises:
        InvalidImageError: the date is before 1970 or after 9999.
    """
    text = manifest.annotations.get(ANNOTATION_CREATED, config.created)
    return None if text is None else parse_rfc3339(text)


def _check_kind(value: Any) -> None:  # noqa: ANN401
    """Refuse a document that another reader could take for an index."""
    if isinstance(value, dict) and "manifests" in value:
        kind = "both a manifest and an index" if "layers" in value else "an index, not a manifest"
        raise InvalidImageError(f"The manifest is {kind}: it has the field 'manifests'.")


def _check_types(document: Mapping[str, Any]) -> None:
    if document["schemaVersion"] != 2:
        raise InvalidImageError(
            f"The manifest has schemaVersion {document['schemaVersion']}; only 2 is supported."
        )
    if (media_type := document.get("mediaType", MANIFEST_TYPE)) != MANIFEST_TYPE:
        raise InvalidImageError(f"The manifest calls itself {media_type[:200]!r}.")
    if (media_type := document["config"]["mediaType"]) not in CONFIG_TYPES:
        raise InvalidImageError(
            f"The config of the manifest is of type {media_type[:200]!r}: this is not an image."
        )


def _to_descriptor(document: Mapping[str, Any]) -> Descriptor:
    return Descriptor(
        media_type=document["mediaType"],
        digest=Digest.parse(document["digest"]),
        size=document["size"],
        annotations=document.get("annotations", {}),
        urls=tuple(document.get("urls", ())),
    )


def _to_history(document: Mapping[str, Any]) -> History:
    return History(
        created=document.get("created"),
        created_by=document.get("created_by"),
        comment=document.get("comment"),
        empty_layer=document.get("empty_layer", False),
    )
