"""Write OCI layouts blob by blob; a test may replace any document by another, or by nonsense.

Sources: the OCI image specification (layout, index, manifest, config).
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.images import FIXTURES, manifest_of

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CREATED = "2024-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Blob:
    """A layer: what is stored, how it is called, and what its uncompressed digest is said to be."""

    data: bytes
    media_type: str
    diff_id: str


def digest_of(data: bytes) -> str:
    """Return ``sha256:…`` of *data*."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def gzipped(tar: bytes) -> Blob:
    """Return *tar* as a gzip layer."""
    return Blob(gzip.compress(tar, 6, mtime=0), f"{LAYER}+gzip", digest_of(tar))


def stored(data: bytes, *, suffix: str = "", of: bytes = b"") -> Blob:
    """Return *data* as the layer blob it is; *of* is its uncompressed form, if that differs."""
    return Blob(data, f"{LAYER}{suffix}", digest_of(of or data))


@dataclass(slots=True)
class ImageWriter:
    """An image of *layers* in the layout *path*; change its documents before `write`.

    Attributes:
        path: The directory of the layout; made by `write`.
        manifest: As JSON; `write` adds the config's descriptor, unless there is one.
        config: As JSON.
    """

    path: Path
    layers: Sequence[Blob]
    manifest: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = {
            "created": CREATED,
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
            "history": [{"created": CREATED} for _ in self.layers],
        }
        self.manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "layers": [self.store(layer.data, layer.media_type) for layer in self.layers],
        }

    @property
    def reference(self) -> str:
        """The image's reference; the layout has just this one."""
        return f"oci:{self.path}"

    def store(self, data: bytes, media_type: str) -> dict[str, Any]:
        """Write a blob and return its descriptor."""
        digest = digest_of(data)
        path = self.path / "blobs/sha256" / digest.removeprefix("sha256:")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def put_on(self, name: str) -> None:
        """Put the layers on top of the fixture image *name*, which has ostree inside."""
        base = manifest_of(name)
        config = json.loads(_fixture_blob(base["config"]["digest"]))
        for descriptor in base["layers"]:
            self.store(_fixture_blob(descriptor["digest"]), descriptor["mediaType"])
        self.manifest["layers"] = base["layers"] + self.manifest["layers"]
        self.config["config"]["Labels"] = config["config"]["Labels"]
        self.config["rootfs"]["diff_ids"] = (
            config["rootfs"]["diff_ids"] + self.config["rootfs"]["diff_ids"]
        )
        self.config["history"] = config["history"] + self.config["history"]

    def write(self, *, config: bytes | None = None, manifest: bytes | None = None) -> None:
        """Write config, manifest and index; *config* and *manifest* replace the documents."""
        if "config" not in self.manifest:
            self.manifest["config"] = self.store(config or encode(self.config), CONFIG)
        media_type = self.manifest.get("mediaType", MANIFEST)
        self.write_index([self.store(manifest or encode(self.manifest), media_type)])

    def write_index(self, manifests: Sequence[dict[str, Any]]) -> None:
        """Write the index, and the file that makes a directory a layout."""
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        index = {"schemaVersion": 2, "manifests": list(manifests)}
        (self.path / "index.json").write_bytes(encode(index))


def encode(document: object) -> bytes:
    """Return *document* as JSON; lone surrogates and NaN pass, as a hostile writer's would."""
    return json.dumps(document, sort_keys=True).encode()


def _fixture_blob(digest: str) -> bytes:
    return (FIXTURES / "images/blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()
