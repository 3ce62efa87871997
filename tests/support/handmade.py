"""A repository written by hand, without ostree: just enough for what reads files directly."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from bootc_orch.model.digest import Digest
from bootc_orch.model.gvariant import Commit, Dirmeta, Dirtree, Variant
from bootc_orch.model.image.refs import blob_ref
from bootc_orch.tools.ostree.repo import Repo

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"


def digest_named(name: str) -> Digest:
    """A digest that is always the same for *name*."""
    return Digest.of(name.encode())


class HandmadeRepo:
    """A repository of mode ``bare`` at *path* with no more in it than a test puts there."""

    def __init__(self, path: Path, mode: str = "bare") -> None:
        for directory in ("objects", "refs/heads", "refs/remotes", "refs/mirrors", "state", "tmp"):
            (path / directory).mkdir(parents=True)
        (path / "config").write_text(f"[core]\nrepo_version=1\nmode={mode}\n")
        self.path = path
        self.repo = Repo(path)
        self.meta = self._write(Dirmeta(0, 0, 0o40755).encode(), "dirmeta")

    def commit(
        self, files: dict[str, bytes], metadata: dict[str, str] | None = None, timestamp: int = 0
    ) -> str:
        """Write a commit with *files* in its root, and return its checksum."""
        entries = sorted((name.encode(), self.file(data)) for name, data in files.items())
        tree = self._write(
            Dirtree(tuple((n, bytes.fromhex(c)) for n, c in entries), ()).encode(), "dirtree"
        )
        variants = tuple((key, Variant.string(text)) for key, text in (metadata or {}).items())
        return self._write(Commit(variants, None, timestamp, tree, self.meta).encode(), "commit")

    def file(self, data: bytes) -> str:
        """Write a content object; its checksum is that of the bytes, which nothing here checks."""
        return self._write(data, "file")

    def ref(self, name: str, commit: str) -> Path:
        """Write a ref and return its file."""
        path = self.path / "refs/heads" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{commit}\n")
        return path

    def layer(self, name: str, files: dict[str, bytes]) -> str:
        """Store a derived layer called *name*, and return its commit."""
        commit = self.commit(files, {"ostree.importer.version": "test"}, timestamp=7)
        self.ref(blob_ref(digest_named(name)), commit)
        return commit

    def image(self, ref: str, layers: list[str], **metadata: str) -> str:
        """Store an image made of *layers* under *ref*, and return its merge commit."""
        texts = {**image_metadata(layers), **metadata}
        commit = self.commit({"merged": ref.encode()}, texts)
        self.ref(ref, commit)
        return commit

    def _write(self, data: bytes, kind: str) -> str:
        checksum = hashlib.sha256(data).hexdigest()
        path = self.path / "objects" / checksum[:2] / f"{checksum[2:]}.{kind}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return checksum


def image_metadata(layers: list[str], labels: dict[str, str] | None = None) -> dict[str, str]:
    """The metadata of a merge commit for an image made of *layers*, 100 bytes each."""
    manifest = {
        "schemaVersion": 2,
        "config": _descriptor(CONFIG_TYPE, "config", 50),
        "layers": [_descriptor(LAYER_TYPE, name, 100) for name in layers],
    }
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2025-01-02T03:04:05Z",
        "config": {"Labels": labels or {}},
        "rootfs": {
            "type": "layers",
            "diff_ids": [str(digest_named(f"diff {name}")) for name in layers],
        },
    }
    return {
        "ostree.container.image-config": json.dumps(config),
        "ostree.importer.version": "bootc-orch/test",
        "ostree.manifest": json.dumps(manifest),
        "ostree.manifest-digest": str(digest_named("manifest " + " ".join(layers))),
    }


def _descriptor(media_type: str, name: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(digest_named(name)), "size": size}
