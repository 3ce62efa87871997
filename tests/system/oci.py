"""Write OCI images from directories: plain tar layers, in one layout for all images."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EPOCH = "2026-01-02T03:04:05Z"


@dataclass(frozen=True, slots=True)
class Blob:
    """A file in the layout: its media type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int

    def descriptor(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


def tar_of(tree: Path, target: Path) -> Path:
    """Pack *tree* reproducibly, with owners, modes and xattrs."""
    subprocess.run(
        [
            "tar", "-C", tree, "--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name",
            "--mtime=@1767323045", "--format=pax", "--pax-option=delete=atime,delete=ctime",
            "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*",
            "-cf", target, ".",
        ],
        check=True,
    )  # fmt: skip
    return target


def add_file(layout: Path, source: Path, media_type: str) -> Blob:
    """Take *source* into the layout by hard link, or by copy from another filesystem."""
    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    target = layout / "blobs/sha256" / digest
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        subprocess.run(["cp", "--link", source, target], check=True)
    return Blob(media_type, f"sha256:{digest}", source.stat().st_size)


def add_json(layout: Path, document: object, media_type: str) -> Blob:
    data = json.dumps(document, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    target = layout / "blobs/sha256" / digest
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return Blob(media_type, f"sha256:{digest}", len(data))


def add_image(
    layout: Path,
    tag: str,
    layers: Sequence[Blob],
    *,
    labels: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
) -> Blob:
    """Write an image of uncompressed *layers* and name it *tag* in the layout's index."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": EPOCH,
        "config": {"Labels": dict(labels or {}), "Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"created": EPOCH, "created_by": tag} for _ in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": add_json(layout, config, CONFIG).descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    blob = add_json(layout, manifest, MANIFEST)
    _name(layout, tag, blob)
    return blob


def _name(layout: Path, tag: str, manifest: Blob) -> None:
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    index = layout / "index.json"
    document = (
        json.loads(index.read_text()) if index.exists() else {"schemaVersion": 2, "manifests": []}
    )
    key = "org.opencontainers.image.ref.name"
    others = [m for m in document["manifests"] if m["annotations"][key] != tag]
    document["manifests"] = [*others, manifest.descriptor() | {"annotations": {key: tag}}]
    index.write_text(json.dumps(document))
