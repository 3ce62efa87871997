"""The directories of one derived layer while its archive passes, in bounded memory.

File content is written as it comes; what is kept until the end are names, checksums, hard links,
whose targets may come later, and the attributes of directories, which later entries may change.

Source: ostree's tar import (implied directories, duplicates, hard links).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from bootc_orch.model.gvariant import Dirmeta
from bootc_orch.stream.layer_report import LayerReport
from bootc_orch.stream.paths import Parts
from bootc_orch.stream.selinux import Labeler
from bootc_orch.stream.storable import DIRTREE_BYTES_MAX
from bootc_orch.stream.tar import Member
from bootc_orch.stream.trees import (
    DEFAULT_DIRMETA,
    WHITEOUT,
    Directory,
    Entries,
    Trees,
    with_label,
)
from orch_frame.errors import InvalidImageError, LimitError, OrchError
from orch_frame.text import printable

# About half a million files in fifty thousand directories.  The bootable images of distributions
# have a fifth of that in all of their layers together.
KEPT_BYTES_MAX = 128 << 20
# What an entry takes beside its name, measured with Python 3.11.
FILE_BYTES = 200
LINK_BYTES = 260
DIRECTORY_BYTES = 900
# Of an entry in a dirtree, beside its name: its NUL, a checksum or two, offsets.
_ITEM_BYTES = 40
_DIRECTORIES_ONLY = frozenset(((b"usr",), (b"usr", b"etc")))
# Stands for a link that is being followed.
_FOLLOWED = b""


class Link(NamedTuple):
    """A hard link that waits for the end of the archive.

    Attributes:
        target: The path in the commit that it leads to.
        offset: Where its header stands in the uncompressed layer.
    """

    target: bytes
    offset: int


@dataclass(slots=True)
class Node:
    """A directory that is being built.

    Attributes:
        meta: Its attributes, without a label.
        stated: Whether the layer has an entry for it that counts.
        files: The checksums of files, and hard links.
        dirs: Its subdirectories.
    """

    meta: Dirmeta = DEFAULT_DIRMETA
    stated: bool = False
    files: dict[bytes, bytes | Link] = field(default_factory=dict)
    dirs: dict[bytes, Node] = field(default_factory=dict)


class GrowingTree:
    """The tree of a layer, from its root down; paths are those in the commit."""

    def __init__(self) -> None:
        self._root = Node()
        self._kept = 0
        self._has_links = False
        self._metas: dict[Dirmeta, Dirmeta] = {}
        # An archive names what is in one directory one after the other.
        self._above: Parts = ()
        self._node = self._root

    def keep(self, count: int) -> None:
        """Account for *count* bytes that stay in memory until the layer is complete.

        Raises:
            LimitError: the layer needs more than `KEPT_BYTES_MAX`.
        """
        self._kept += count
        if self._kept > KEPT_BYTES_MAX:
            raise LimitError(
                "The layer has too many entries, or too long names and attributes: to handle them "
                f"takes more than {KEPT_BYTES_MAX >> 20} MiB of memory."
            )

    def add_directory(self, placed: Parts, meta: Dirmeta, member: Member) -> None:
        """Enter a directory, or give one that is there other attributes."""
        meta = self._shared(meta)
        if not placed:
            self._root.meta = meta
            return
        parent = self._parent(placed, member)
        name = placed[-1]
        if name in parent.files:
            raise InvalidImageError(f"{printable(member.name)} is a file and a directory.")
        node = parent.dirs.get(name) or self._new_directory(parent, placed)
        node.meta = meta
        node.stated = True

    def add_file(self, placed: Parts, checksum: str, member: Member) -> None:
        """Enter a file; the last one of a name counts."""
        files = self.parent_of_file(placed, member).files
        name = placed[-1]
        if name not in files:
            self.keep(FILE_BYTES + len(name))
        files[name] = bytes.fromhex(checksum)

    def add_link(self, placed: Parts, target: Parts, member: Member) -> None:
        """Enter a hard link to what *target* will be in the end."""
        if target == placed:
            raise InvalidImageError(f"{printable(member.name)} is a hard link to itself.")
        files = self.parent_of_file(placed, member).files
        path = b"/".join(target)
        self.keep(LINK_BYTES + len(placed[-1]) + len(path))
        files[placed[-1]] = Link(path, member.offset)
        self._has_links = True

    def parent_of_file(self, placed: Parts, member: Member) -> Node:
        """Return the directory that the file or link *placed* is in, made if it has to be."""
        if placed in _DIRECTORIES_ONLY:
            raise InvalidImageError(f"{printable(member.name)} must be a directory.")
        parent = self._parent(placed, member)
        if placed[-1] in parent.dirs:
            raise InvalidImageError(f"{printable(member.name)} is a directory and a file.")
        return parent

    def save(self, trees: Trees, labeler: Labeler | None, report: LayerReport) -> Directory:
        """Write the tree, which is gone then, and note in *report* what the layer states itself.

        Raises:
            InvalidImageError: a hard link leads nowhere, or to itself.
            LimitError: a directory has too many entries.
        """
        if self._has_links:
            self._resolve_links()
        self._node = Node()
        return _Saving(trees, labeler, report).save(self._root, b"/")

    def _parent(self, placed: Parts, member: Member) -> Node:
        above = placed[:-1]
        if above != self._above:
            node = self._find(above)
            self._node = self._imply(above, member) if node is None else node
            self._above = above
        return self._node

    def _find(self, parts: Parts) -> Node | None:
        node = self._root
        for name in parts:
            below = node.dirs.get(name)
            if below is None:
                return None
            node = below
        return node

    def _imply(self, parts: Parts, member: Member) -> Node:
        """Make the missing directory *parts*; every one above it takes the entry's owner."""
        meta = self._shared(Dirmeta(member.uid, member.gid, DEFAULT_DIRMETA.mode))
        node = self._root
        node.meta = meta
        for depth, name in enumerate(parts, 1):
            if name in node.files:
                raise InvalidImageError(
                    f"{printable(member.name)} lies below {printable(b'/'.join(parts[:depth]))}, "
                    "which is not a directory."
                )
            if name.startswith(WHITEOUT):
                raise InvalidImageError(
                    f"The whiteout {printable(b'/'.join(parts[:depth]))} is used as a directory."
                )
            node = node.dirs.get(name) or self._new_directory(node, parts[:depth])
            node.meta = meta
            node.stated = False
        return node

    def _new_directory(self, parent: Node, placed: Parts) -> Node:
        self.keep(DIRECTORY_BYTES + sum(map(len, placed)) + len(placed))
        node = parent.dirs[placed[-1]] = Node()
        return node

    def _shared(self, meta: Dirmeta) -> Dirmeta:
        """Return the same attributes; most directories of a layer share a handful."""
        known = self._metas.get(meta)
        if known is None:
            size = sum(len(name) + len(value) for name, value in meta.xattrs)
            self.keep(FILE_BYTES + size + FILE_BYTES * len(meta.xattrs))
            known = self._metas[meta] = meta
        return known

    def _resolve_links(self) -> None:
        """Put checksums in the place of all links, each link once."""
        waiting = [(self._root, b"")]
        while waiting:
            node, path = waiting.pop()
            for name, entry in node.files.items():
                if isinstance(entry, Link):
                    self._resolve(node, name, path + name)
            waiting += [(child, path + name + b"/") for name, child in node.dirs.items()]

    def _resolve(self, node: Node, name: bytes, path: bytes) -> None:
        """Follow the link at *path*, and all links that it leads to."""
        chain = []
        entry = node.files[name]
        while isinstance(entry, Link):
            chain.append((node, name))
            node.files[name] = _FOLLOWED
            *above, name = entry.target.split(b"/")
            target = self._find(tuple(above))
            found = None if target is None else target.files.get(name)
            if target is None or not found:
                raise _leads_nowhere(path, entry, circular=found is not None)
            node, path, entry = target, entry.target, found
        for one, at in chain:
            one.files[at] = entry


@dataclass(frozen=True, slots=True)
class _Saving:
    """Writes directories from the bottom up, and lets go of each."""

    trees: Trees
    labeler: Labeler | None
    report: LayerReport

    def save(self, node: Node, path: bytes) -> Directory:
        prefix = path if path == b"/" else path + b"/"
        dirs = {}
        while node.dirs:
            name, child = node.dirs.popitem()
            dirs[name] = self.save(child, prefix + name)
        if node.stated:
            self.report.directories.add(path)
        _check_size(path, [*node.files, *dirs])
        files = {name: entry for name, entry in node.files.items() if isinstance(entry, bytes)}
        tree = self.trees.save(Entries(files, dirs))
        return Directory(tree, self.trees.save_meta(self._labelled(node.meta, path)))

    def _labelled(self, meta: Dirmeta, path: bytes) -> Dirmeta:
        if self.labeler is None:
            return meta
        xattrs = with_label(meta.xattrs, self.labeler.label(path, meta.mode))
        return Dirmeta(meta.uid, meta.gid, meta.mode, xattrs)


def _check_size(path: bytes, names: list[bytes]) -> None:
    if sum(map(len, names)) + _ITEM_BYTES * len(names) > DIRTREE_BYTES_MAX:
        raise LimitError(
            f"The directory {printable(path)} has too many entries: {len(names)}.",
            path=printable(path),
        )


def _leads_nowhere(path: bytes, link: Link, *, circular: bool) -> OrchError:
    how = (
        "leads to itself"
        if circular
        else (f"is a hard link to {printable(link.target)}, which is no file of the same layer")
    )
    return InvalidImageError(
        f"{printable(path)} {how}.",
        path=printable(path),
        details=f"offset {link.offset} of the uncompressed layer",
    )
