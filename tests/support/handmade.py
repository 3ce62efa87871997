"""A repository written by hand, without root and without ostree, whose objects are real ones.

What a test puts there is all that there is.  Every object is what its checksum says, so whatever
reads files directly, and checks them, works on it in each of the modes.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootc_orch.model.digest import Digest
from bootc_orch.model.gvariant import Commit, Dirmeta, Dirtree, Variant
from bootc_orch.model.image.layout import LABEL_FINAL_DIFFID
from bootc_orch.model.image.refs import blob_ref
from bootc_orch.stream.object_format import Attributes, Mode
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.tools.ostree.repo import Repo

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link in a tree."""

    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory in a tree that is not like the others, which have the mode 0755."""

    entries: Mapping[str, Any]
    mode: int


# Names, as `os.fsdecode` makes them of bytes, each with the bytes of a file, a `Link`, a `Folder`
# or another tree.
Tree = Mapping[str, Any]


def digest_named(name: str) -> Digest:
    """A digest that is always the same for *name*."""
    return Digest.of(os.fsencode(name))


class HandmadeRepo:
    """A repository at *path* with no more in it than a test puts there.

    In mode ``bare`` its files belong to whoever runs the test, as nobody else can make them; in
    the others they belong to root.
    """

    def __init__(self, path: Path, mode: str = "bare") -> None:
        for number in range(256):
            (path / f"objects/{number:02x}").mkdir(parents=True)
        for directory in ("refs/heads", "refs/remotes", "refs/mirrors", "state", "tmp"):
            (path / directory).mkdir(parents=True)
        (path / "config").write_text(f"[core]\nrepo_version=1\nmode={mode}\n")
        self.path = path
        self.repo = Repo(path)
        self.owner = (os.getuid(), os.getgid()) if mode == "bare" else (0, 0)
        self._metadata = ObjectStore(path, Mode.ARCHIVE)
        self.meta = self.dirmeta()

    def commit(
        self,
        tree: Tree,
        metadata: Mapping[str, str] | None = None,
        timestamp: int = 0,
        *,
        subject: str = "",
        meta: str | None = None,
    ) -> str:
        """Write a commit of *tree*, whose root has the attributes *meta*; return its checksum."""
        variants = tuple((key, Variant.string(text)) for key, text in (metadata or {}).items())
        root = self.tree(tree)
        commit = Commit(variants, None, timestamp, root, meta or self.meta, subject=subject)
        return self.write(commit.encode(), "commit")

    def tree(self, tree: Tree) -> str:
        """Write the dirtree of *tree* with all below it, and return its checksum."""
        files, dirs = [], []
        for name, entry in sorted(tree.items(), key=lambda item: os.fsencode(item[0])):
            match entry:
                case bytes():
                    files.append((os.fsencode(name), bytes.fromhex(self.file(entry))))
                case Link(target):
                    files.append((os.fsencode(name), bytes.fromhex(self.link(target))))
                case Folder(entries, mode):
                    dirs.append(self._directory(name, entries, self.dirmeta(mode)))
                case _:
                    dirs.append(self._directory(name, entry, self.meta))
        return self.write(Dirtree(tuple(files), tuple(dirs)).encode(), "dirtree")

    def _directory(self, name: str, tree: Tree, meta: str) -> tuple[bytes, bytes, bytes]:
        return os.fsencode(name), bytes.fromhex(self.tree(tree)), bytes.fromhex(meta)

    def dirmeta(self, mode: int = 0o755) -> str:
        """Write the attributes of a directory, and return their checksum."""
        return self.write(Dirmeta(0, 0, stat.S_IFDIR | mode).encode(), "dirmeta")

    def file(self, data: bytes, *, mode: int = 0o644) -> str:
        """Write a content object for a regular file, and return its checksum."""
        return self.store.add_file(Attributes(*self.owner, stat.S_IFREG | mode), data)

    def link(self, target: str) -> str:
        """Write a content object for a symbolic link, and return its checksum."""
        mode = stat.S_IFLNK | 0o777
        return self.store.add_file(Attributes(*self.owner, mode, target=target.encode()), b"")

    @property
    def store(self) -> ObjectStore:
        """Where content objects go."""
        return ObjectStore(self.path, Mode(self.repo.mode))

    def write(self, data: bytes, kind: str) -> str:
        """Write a metadata object of *kind*, and return its checksum."""
        return self._metadata.add_metadata(data, kind)

    def object(self, name: str) -> Path:
        """The file of the object *name*, ``CHECKSUM.TYPE``, as findings name it."""
        checksum, _, kind = name.partition(".")
        return self.repo.object_path(checksum, self.repo.content_kind if kind == "file" else kind)

    def ref(self, name: str, commit: str) -> Path:
        """Write a ref and return its file."""
        path = self.path / "refs/heads" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{commit}\n")
        return path

    def layer(self, name: str, tree: Tree) -> str:
        """Store a derived layer called *name*, and return its commit."""
        commit = self.commit(tree, {"ostree.importer.version": "test"}, timestamp=7)
        self.ref(blob_ref(digest_named(name)), commit)
        return commit

    def base(self, name: str, tree: Tree) -> str:
        """Store a layer called *name* that is a commit of its own, and return that."""
        commit = self.commit(tree, {"version": "1"}, timestamp=8, subject="base")
        self.ref(blob_ref(digest_named(name)), commit)
        return commit

    def chunk(self, name: str, contents: Sequence[bytes]) -> str:
        """Store a chunk of a commit called *name*: files that are named by their checksums."""
        commit = self.commit({self.file(data): data for data in contents})
        self.ref(blob_ref(digest_named(name)), commit)
        return commit

    def image(
        self,
        ref: str,
        layers: Sequence[str],
        *,
        tree: Tree | None = None,
        labels: Mapping[str, str] | None = None,
        **metadata: str,
    ) -> str:
        """Store an image made of *layers* under *ref*, and return its merge commit."""
        texts = {**image_metadata(layers, labels), **metadata}
        commit = self.commit({"merged": ref.encode()} if tree is None else tree, texts)
        self.ref(ref, commit)
        return commit


def ends_at(layer: str) -> dict[str, str]:
    """The label of an image whose ostree commit ends with the layer called *layer*."""
    return {LABEL_FINAL_DIFFID: str(digest_named(f"diff {layer}"))}


def image_metadata(
    layers: Sequence[str], labels: Mapping[str, str] | None = None
) -> dict[str, str]:
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
        "config": {"Labels": dict(labels or {})},
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
