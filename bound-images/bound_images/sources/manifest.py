"""Manifests, indexes and image configurations; parser only.

Source: OCI image specification 1.1; Docker image manifest version 2, schema 2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bound_images import strict
from orch_frame.errors import InvalidImageError

INDEX_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
MAX_LAYERS = 512
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Blob:
    """A pointer to a blob.

    Attributes:
        digest: ``sha256:…`` of the blob as it is transferred.
        size: Its length in bytes.
        platform: The platform it is for, in an index: ``architecture``, ``os``, ``variant``.
    """

    digest: str
    size: int
    platform: tuple[str, str, str] = ("", "", "")

    @property
    def hex(self) -> str:
        """The digest without the algorithm."""
        return self.digest.removeprefix("sha256:")

    @classmethod
    def from_json(cls, data: Any) -> Blob:  # noqa: ANN401 - whatever JSON holds
        """Read a descriptor.

        Raises:
            InvalidImageError: digest or size are missing or malformed.
        """
        match data:
            case {"digest": str(digest), "size": int(size)} if _DIGEST.fullmatch(digest):
                return cls(digest, max(size, 0), _platform(data.get("platform")))
        raise InvalidImageError("A descriptor has no sha256 digest or no size.")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of one image.

    Attributes:
        config: The configuration.
        layers: The layers, the lowest first.
    """

    config: Blob
    layers: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """The manifests of an image for several platforms, in the order of preference."""

    manifests: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What the configuration of an image says.

    Attributes:
        image_id: Its digest without the algorithm: the id under which podman keeps the image.
        diff_ids: ``sha256:…`` of each layer unpacked, the lowest first.
        created: The time of creation as written, in RFC 3339; empty if it says none.
    """

    image_id: str
    diff_ids: tuple[str, ...]
    created: str


def digest_of(data: bytes) -> str:
    """Return ``sha256:…`` of *data*."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def parse_manifest(data: bytes, *, what: str) -> Manifest | Index:
    """Read a manifest or an index.

    Raises:
        InvalidImageError: *data* is neither, or has more than `MAX_LAYERS` layers.
    """
    document = strict.loads(data, what=f"The manifest of {what}")
    if document.get("mediaType") in INDEX_TYPES or "manifests" in document:
        return Index(_blobs(document.get("manifests"), what))
    if "config" not in document:
        raise InvalidImageError(f"The manifest of {what} is of a kind that is no longer supported.")
    return Manifest(Blob.from_json(document["config"]), _blobs(document.get("layers"), what))


def parse_config(data: bytes, *, what: str) -> ImageConfig:
    """Read the configuration of an image.

    Raises:
        InvalidImageError: *data* is none.
    """
    document = strict.loads(data, what=f"The configuration of {what}")
    match document:
        case {"rootfs": {"diff_ids": [*diff_ids]}} if all(
            isinstance(d, str) and _DIGEST.fullmatch(d) for d in diff_ids
        ):
            image_id = digest_of(data).removeprefix("sha256:")
            return ImageConfig(image_id, tuple(diff_ids), str(document.get("created") or ""))
    raise InvalidImageError(f"The configuration of {what} lists no layers.")


def _blobs(value: object, what: str) -> tuple[Blob, ...]:
    if not isinstance(value, list) or len(value) > MAX_LAYERS:
        raise InvalidImageError(
            f"The manifest of {what} has no list of at most {MAX_LAYERS} blobs."
        )
    return tuple(map(Blob.from_json, value))


def _platform(value: Any) -> tuple[str, str, str]:  # noqa: ANN401 - whatever JSON holds
    if not isinstance(value, Mapping):
        return ("", "", "")
    return (
        str(value.get("architecture") or ""),
        str(value.get("os") or ""),
        str(value.get("variant") or ""),
    )
