"""Directory trees as ostree stores them: load, save, overlay and label them by their checksums.

Nothing here touches file content: a tree is dirtree and dirmeta objects, and whatever two trees
share is shared by checksum.  So the cost of an overlay grows with the directories that a layer
touches, not with the size of what lies below.

Source: OCI image layer specification, *Whiteouts*; ostree-rs-ext for what it does to directories.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from bootc_orch.model.gvariant import (
    Commit,
    Dirmeta,
    Dirtree,
    Xattrs,
    encode_dirtree,
    encode_xattrs,
)
from bootc_orch.stream.object_format import Attributes
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.stream.selinux import XATTR_NAME, Labeler
from orch_frame.errors import InvalidImageError

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
DEFAULT_DIRMETA = Dirmeta(0, 0, stat.S_IFDIR | 0o755)


class Directory(NamedTuple):
    """A stored directory with all below it.

    Attributes:
        tree: Raw checksum of its dirtree.
        meta: Raw checksum of its dirmeta.
    """

    tree: bytes
    meta: bytes


@dataclass(slots=True)
class Entries:
    """The entries of one directory, by name.

    Attributes:
        files: Raw checksums of files and links.
        dirs: Subdirectories.
    """

    files: dict[bytes, bytes] = field(default_factory=dict)
    dirs: dict[bytes, Directory] = field(default_factory=dict)


class Trees:
    """The directories in an object store.

    Args:
        store: Where new ones go, and where all are found.

    Attributes:
        made: Raw checksums of the dirtrees that were saved.
        made_metas: The same of dirmetas.
        made_files: The same of content objects that were labelled anew.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.made: set[bytes] = set()
        self.made_metas: set[bytes] = set()
        self.made_files: set[bytes] = set()

    def load(self, tree: bytes) -> Entries:
        """Return the entries of the dirtree *tree*."""
        stored = Dirtree.decode(self.store.metadata(tree.hex(), "dirtree"))
        return Entries(
            dict(stored.files), {name: Directory(sub, meta) for name, sub, meta in stored.dirs}
        )

    def save(self, entries: Entries) -> bytes:
        """Write a dirtree and return its raw checksum."""
        dirs = [(name, *entries.dirs[name]) for name in sorted(entries.dirs)]
        data = encode_dirtree(sorted(entries.files.items()), dirs)
        checksum = bytes.fromhex(self.store.add_metadata(data, "dirtree"))
        self.made.add(checksum)
        return checksum

    def save_meta(self, meta: Dirmeta) -> bytes:
        """Write a dirmeta and return its raw checksum."""
        checksum = bytes.fromhex(self.store.add_metadata(meta.encode(), "dirmeta"))
        self.made_metas.add(checksum)
        return checksum

    def load_meta(self, meta: bytes) -> Dirmeta:
        """Return the attributes that the dirmeta *meta* has."""
        return Dirmeta.decode(self.store.metadata(meta.hex(), "dirmeta"))

    def commit_root(self, commit: str) -> Directory:
        """Return the root directory of *commit*."""
        data = Commit.decode(self.store.metadata(commit, "commit"))
        return Directory(bytes.fromhex(data.tree), bytes.fromhex(data.meta))

    def find_file(self, root: bytes, path: str) -> str | None:
        """Return the checksum of the file at *path* below the dirtree *root*, or None."""
        *parents, name = path.encode().split(b"/")
        entries = self._descend(root, parents)
        found = entries and entries.files.get(name)
        return found.hex() if found else None

    def find_directory(self, root: bytes, path: str) -> bytes | None:
        """Return the dirtree of the directory at *path* below the dirtree *root*, or None."""
        *parents, name = path.encode().split(b"/")
        entries = self._descend(root, parents)
        found = entries and entries.dirs.get(name)
        return found.tree if found else None

    def _descend(self, root: bytes, names: list[bytes]) -> Entries | None:
        entries = self.load(root)
        for name in names:
            if name not in entries.dirs:
                return None
            entries = self.load(entries.dirs[name].tree)
        return entries

    def overlay(
        self, base: Directory | None, layer: Directory, changed: Callable[[bytes], None]
    ) -> Directory:
        """Lay *layer* over *base* and return the result, whiteouts applied and gone.

        A directory that is there keeps its attributes even where the layer's differ, as
        ostree-container has it; *changed* is told the path of each such directory.  A whiteout
        hides what lies below its layer, never an entry of its own layer.

        Args:
            base: What lies below; None for nothing.
            layer: The tree of a layer's commit, its whiteouts as plain files in it.
            changed: Called with the path of a directory whose attributes were not applied.

        Raises:
            InvalidImageError: a whiteout names no entry.
        """
        return self._overlay(base, layer, b"/", changed)

    def _overlay(
        self,
        base: Directory | None,
        layer: Directory,
        path: bytes,
        changed: Callable[[bytes], None],
    ) -> Directory:
        upper = self.load(layer.tree)
        if OPAQUE in upper.files:
            base = None
        result = self.load(base.tree) if base else Entries()
        removed = [name for name in upper.files if name.startswith(WHITEOUT)]
        for name in removed:
            del upper.files[name]
            hidden = whiteout_target(name)
            if hidden is not None:
                result.files.pop(hidden, None)
                result.dirs.pop(hidden, None)
        for name, checksum in upper.files.items():
            result.dirs.pop(name, None)
            result.files[name] = checksum
        for name, directory in upper.dirs.items():
            result.files.pop(name, None)
            below = result.dirs.get(name)
            result.dirs[name] = self._overlay(below, directory, path + name + b"/", changed)
        if base is not None and base.meta != layer.meta and path != b"/":
            changed(path)
        if (
            base is None
            and not removed
            and all(result.dirs[name] == directory for name, directory in upper.dirs.items())
        ):
            return layer
        return Directory(self.save(result), base.meta if base else layer.meta)

    def relabel(self, root: Directory, labeler: Labeler) -> Directory:
        """Return *root* with the labels that the policy demands; only what differs is written."""
        return self._relabel(root, b"/", labeler)

    def _relabel(self, directory: Directory, path: bytes, labeler: Labeler) -> Directory:
        entries = self.load(directory.tree)
        before = dict(entries.files), dict(entries.dirs)
        prefix = path if path == b"/" else path + b"/"
        for name, checksum in entries.files.items():
            entries.files[name] = self._relabel_file(checksum, prefix + name, labeler)
        for name, child in entries.dirs.items():
            entries.dirs[name] = self._relabel(child, prefix + name, labeler)
        unchanged = before == (entries.files, entries.dirs)
        tree = directory.tree if unchanged else self.save(entries)
        return Directory(tree, self._relabel_meta(directory.meta, path, labeler))

    def _relabel_file(self, checksum: bytes, path: bytes, labeler: Labeler) -> bytes:
        stored = self.store.open_file(checksum.hex())
        header = stored.header
        xattrs = with_label(header.xattrs, labeler.label(path, header.mode))
        if xattrs == header.xattrs:
            return checksum
        attributes = Attributes.of(header)._replace(xattrs=encode_xattrs(xattrs))
        labelled = bytes.fromhex(self.store.add_copy(stored, attributes))
        self.made_files.add(labelled)
        return labelled

    def _relabel_meta(self, checksum: bytes, path: bytes, labeler: Labeler) -> bytes:
        meta = self.load_meta(checksum)
        xattrs = with_label(meta.xattrs, labeler.label(path, meta.mode))
        if xattrs == meta.xattrs:
            return checksum
        return self.save_meta(Dirmeta(meta.uid, meta.gid, meta.mode, xattrs))

    def without_file(
        self, root: Directory, path: str, condemned: Callable[[str], bool]
    ) -> Directory:
        """Return *root* without the file at *path*, if it is there and *condemned* says so.

        Args:
            root: The tree.
            path: Relative, such as ``usr/etc/hostname``.
            condemned: Told the file's checksum.
        """
        return self._without(root, path.encode().split(b"/"), condemned)

    def _without(
        self, root: Directory, parts: list[bytes], condemned: Callable[[str], bool]
    ) -> Directory:
        entries = self.load(root.tree)
        name, *rest = parts
        if rest:
            if name not in entries.dirs:
                return root
            child = self._without(entries.dirs[name], rest, condemned)
            if child == entries.dirs[name]:
                return root
            entries.dirs[name] = child
        else:
            checksum = entries.files.get(name)
            if checksum is None or not condemned(checksum.hex()):
                return root
            del entries.files[name]
        return Directory(self.save(entries), root.meta)


def whiteout_target(name: bytes) -> bytes | None:
    """Return the name that the whiteout *name* hides; None for the marker of an opaque directory.

    Raises:
        InvalidImageError: it would hide the directory itself or its parent.
    """
    if name == OPAQUE:
        return None
    hidden = name[len(WHITEOUT) :]
    if hidden in (b"", b".", b".."):
        raise InvalidImageError(f"The whiteout {name.decode()} names no entry.")
    return hidden


def with_label(xattrs: Xattrs, label: bytes | None) -> Xattrs:
    """Return *xattrs* with *label* in its place by name; any other label goes."""
    kept = [pair for pair in xattrs if pair[0] != XATTR_NAME]
    if label is not None:
        kept.append((XATTR_NAME, label))
    return tuple(sorted(kept))
