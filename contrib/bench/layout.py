"""Write OCI image layouts with gzip layers.

Source: the OCI image specification (layout, manifest, config).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tarstream import TarStream

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
CREATED = "2024-01-01T00:00:00Z"
GZIP_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Layer:
    """A finished layer blob.

    Attributes:
        digest: Of the compressed blob, ``sha256:…``.
        size: Of the compressed blob, in bytes.
        diff_id: Of the uncompressed tar, ``sha256:…``.
        annotations: For its descriptor.
    """

    digest: str
    size: int
    diff_id: str
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """An image layout below *path*."""

    path: Path

    def layer(self, name: str, fill: Callable[[TarStream], None]) -> Layer:
        """Write one layer with what *fill* puts into it; *name* becomes its annotation."""
        blobs = self.path / "blobs/sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        partial = blobs / f"{name}.partial"
        raw, packed = hashlib.sha256(), hashlib.sha256()
        gzip = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        with partial.open("wb") as blob:

            def emit(data: bytes) -> None:
                packed.update(data)
                blob.write(data)

            def write(data: bytes) -> None:
                raw.update(data)
                emit(gzip.compress(data))

            tar = TarStream(write)
            fill(tar)
            tar.close()
            emit(gzip.flush())
            size = blob.tell()
        partial.rename(blobs / packed.hexdigest())
        annotations = (("ostree.components", name),)
        return Layer(f"sha256:{packed.hexdigest()}", size, f"sha256:{raw.hexdigest()}", annotations)

    def image(self, tag: str, layers: Sequence[Layer], labels: dict[str, str]) -> None:
        """Write manifest and config of an image of *layers*, and name it *tag*."""
        config = {
            "created": CREATED,
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": CREATED, "created_by": "bench"} for _ in layers],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self._json(config, CONFIG_TYPE),
            "layers": [
                {
                    "mediaType": LAYER_TYPE,
                    "digest": layer.digest,
                    "size": layer.size,
                    "annotations": dict(layer.annotations),
                }
                for layer in layers
            ],
            "annotations": labels,
        }
        self._tag(tag, self._json(manifest, MANIFEST_TYPE))

    def _json(self, document: object, media_type: str) -> dict[str, object]:
        data = json.dumps(document, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def _tag(self, tag: str, descriptor: dict[str, object]) -> None:
        index = self.path / "index.json"
        manifests = json.loads(index.read_text())["manifests"] if index.exists() else []
        name = {"org.opencontainers.image.ref.name": tag}
        manifests = [entry for entry in manifests if entry["annotations"] != name]
        manifests.append({**descriptor, "annotations": name})
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        index.write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
