"""Build the tree of a derived layer: an ordinary tar archive, filtered, as ostree would commit it.

Content is written as objects while the archive passes; directories grow in memory and are written
at the end, when hard links are resolved as well.  Whiteouts stay plain files named ``.wh.*``: the
merge applies them.

Sources: ostree's tar import (implied directories, duplicates, hard links) and ostree-rs-ext's
filter (what is kept, where it goes, modified hard links of the image's own repository).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable

from bootc_orch.model.gvariant import Dirmeta, Xattrs, decode_xattrs, encode_xattrs
from bootc_orch.stream.growing_tree import GrowingTree
from bootc_orch.stream.layer_report import LayerReport
from bootc_orch.stream.object_format import Attributes
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.stream.paths import REPOSITORY, Filtered, Parts, PathRules, split
from bootc_orch.stream.selinux import Labeler
from bootc_orch.stream.storable import check_target, check_xattrs
from bootc_orch.stream.tar import (
    DIRECTORY,
    HARDLINK,
    REGULAR,
    SMALL_BYTES,
    SYMLINK,
    Member,
    TarReader,
    locate_in_archive,
)
from bootc_orch.stream.trees import OPAQUE, WHITEOUT, Directory, Trees, whiteout_target, with_label
from orch_frame.errors import InvalidImageError, OrchError
from orch_frame.text import printable

_AUFS = b".wh..wh."
_SELINUX = b"security.selinux"
_IMA = b"security.ima"
_CAPABILITY = b"security.capability"
# What an object of the image's own repository takes until the end, beside names and attributes.
_ASIDE_BYTES = 600


def import_derived_layer(
    pieces: Iterable[bytes],
    trees: Trees,
    *,
    rules: PathRules,
    labeler: Labeler | None,
    allow_ima: bool = False,
) -> tuple[Directory, LayerReport]:
    """Write the tree of the archive *pieces* and return its root.

    Args:
        pieces: The uncompressed archive.
        trees: Where objects go.
        rules: Which paths are kept and where they go.
        labeler: The SELinux policy that labels the entries, if one applies.
        allow_ima: Whether ``security.ima`` is kept.

    Raises:
        InvalidImageError: an entry is impossible; the error has its path and offset.
        LimitError: an entry exceeds a limit.
    """
    builder = _Builder(pieces, trees, rules, labeler, allow_ima=allow_ima)
    return builder.run(), builder.report


class _Builder:
    """One pass over one layer."""

    def __init__(
        self,
        pieces: Iterable[bytes],
        trees: Trees,
        rules: PathRules,
        labeler: Labeler | None,
        *,
        allow_ima: bool,
    ) -> None:
        self.report = LayerReport()
        self._reader = TarReader(pieces)
        self._trees = trees
        self._store: ObjectStore = trees.store
        self._rules = rules
        self._labeler = labeler
        self._allow_ima = allow_ima
        self._tree = GrowingTree()
        # Objects of the image's own repository, by path: checksum and attributes, unlabelled.
        self._aside: dict[Parts, tuple[str, Attributes]] = {}
        self._relinked: dict[Parts, Parts] = {}

    def run(self) -> Directory:
        for member in self._reader:
            try:
                self._entry(member)
            except OrchError as error:
                raise locate_in_archive(error, member) from error
        return self._tree.save(self._trees, self._labeler, self.report)

    def _entry(self, member: Member) -> None:
        parts = split(member.name)
        kind = member.type
        if kind != DIRECTORY and (not parts or member.name.endswith(b"/")):
            raise InvalidImageError(f"{printable(member.name)} is not a directory.")
        if kind in (REGULAR, SYMLINK) and parts[:3] == REPOSITORY:
            self._set_aside(parts, member)
            return
        if kind == HARDLINK and self._relink(parts, member):
            return
        placed = self._place(parts)
        if placed is None or (_AUFS in member.name and _is_aufs(placed)):
            return
        if placed and placed[-1].startswith(WHITEOUT):
            _check_whiteout(placed, member)
        if kind == REGULAR:
            self._tree.add_file(placed, self._regular(placed, member), member)
        elif kind == DIRECTORY:
            self._directory(placed, member)
        elif kind == SYMLINK:
            self._tree.add_file(placed, self._symlink(placed, member), member)
        elif kind == HARDLINK:
            self._link(placed, member)
        else:
            raise InvalidImageError(f"{printable(member.name)} is a device or a FIFO.")

    def _place(self, parts: Parts) -> Parts | None:
        """Return where *parts* goes, or count it as filtered."""
        placed = self._rules.place(parts)
        if isinstance(placed, Filtered):
            self.report.count_filtered(placed.kind, b"/".join(parts))
            return None
        if placed is not parts and parts[0] == b"var":
            self.report.moved_var = True
        return placed

    def _directory(self, placed: Parts, member: Member) -> None:
        meta = Dirmeta(member.uid, member.gid, stat.S_IFDIR | member.mode, self._xattrs(member))
        self._tree.add_directory(placed, meta, member)

    def _regular(self, placed: Parts, member: Member) -> str:
        if member.mode & 0o6000:
            self.report.privileged += 1
        attributes = self._attributes(placed, member, stat.S_IFREG | member.mode)
        return self._write(attributes, member)

    def _write(self, attributes: Attributes, member: Member) -> str:
        if member.size > SMALL_BYTES:
            return self._store.add_large_file(attributes, member.size, self._reader.pieces())
        return self._store.add_file(attributes, self._reader.read())

    def _symlink(self, placed: Parts, member: Member) -> str:
        target = member.link
        check_target(target, of=printable(member.name))
        attributes = self._attributes(placed, member, stat.S_IFLNK | 0o777)
        return self._store.add_file(attributes._replace(target=target), b"")

    def _link(self, placed: Parts, member: Member) -> None:
        target = self._rules.place(split(member.link))
        if isinstance(target, Filtered):
            raise InvalidImageError(
                f"{printable(member.name)} is a hard link to {printable(member.link)}, "
                "which is left out."
            )
        self._tree.add_link(placed, target, member)

    def _set_aside(self, parts: Parts, member: Member) -> None:
        """Keep an object of the image's own repository for links to it that were modified."""
        if not member.modified:
            self.report.count_filtered(parts[0], b"/".join(parts))
        xattrs = encode_xattrs(self._xattrs(member))
        self._tree.keep(_ASIDE_BYTES + len(member.name) + len(member.link) + len(xattrs))
        if member.type == SYMLINK:
            check_target(member.link, of=printable(member.name))
            mode = stat.S_IFLNK | 0o777
            attributes = Attributes(member.uid, member.gid, mode, xattrs, member.link)
        else:
            attributes = Attributes(member.uid, member.gid, stat.S_IFREG | member.mode, xattrs)
        self._aside[parts] = self._write(attributes, member), attributes

    def _relink(self, parts: Parts, member: Member) -> bool:
        """Enter a hard link into the image's own repository; say whether it is one.

        The first path of an object becomes the file, later ones become links to that.
        """
        target = split(member.link)
        if target[:3] != REPOSITORY:
            return False
        if target not in self._aside:
            if not member.modified:
                return False
            self.report.count_filtered(target[0], b"/".join(parts))
            return True
        placed = self._place(parts)
        if placed is None:
            return True
        self._tree.keep(_ASIDE_BYTES)
        first = self._relinked.setdefault(target, placed)
        if first != placed:
            self._tree.add_link(placed, first, member)
            return True
        checksum, attributes = self._aside[target]
        if self._labeler is not None:
            xattrs = self._label(decode_xattrs(attributes.xattrs), placed, attributes.mode)
            stored = self._store.open_file(checksum)
            checksum = self._store.add_copy(stored, attributes._replace(xattrs=xattrs))
        self._tree.add_file(placed, checksum, member)
        return True

    def _attributes(self, placed: Parts, member: Member, mode: int) -> Attributes:
        if self._labeler is None and not member.xattrs:
            return Attributes(member.uid, member.gid, mode)
        xattrs = self._label(self._xattrs(member), placed, mode)
        return Attributes(member.uid, member.gid, mode, xattrs)

    def _label(self, xattrs: Xattrs, placed: Parts, mode: int) -> bytes:
        if self._labeler is not None:
            xattrs = with_label(xattrs, self._labeler.label(_absolute(placed), mode))
        return encode_xattrs(xattrs)

    def _xattrs(self, member: Member) -> Xattrs:
        """Choose the extended attributes that a layer may set, sorted by name.

        One without a value is as good as none: ostree does not read it back.
        """
        kept = []
        for name, value in member.xattrs:
            if name == _SELINUX:
                self.report.dropped_labels += 1
            elif not self._is_allowed(name):
                raise InvalidImageError(
                    f"{printable(member.name)} has the extended attribute {printable(name)}, "
                    "which a layer may not set.",
                    hint="Allow IMA signatures with --allow-ima." if name == _IMA else None,
                )
            elif value or name == _CAPABILITY:
                kept.append((name + b"\0", value))
        xattrs = tuple(sorted(kept))
        if xattrs:
            check_xattrs(xattrs, of=printable(member.name), link=member.type == SYMLINK)
        return xattrs

    def _is_allowed(self, name: bytes) -> bool:
        if name == _IMA:
            return self._allow_ima
        if name.startswith(b"user."):
            return not name.startswith(b"user.overlay.") and name != b"user.ostreemeta"
        return name == _CAPABILITY


def _absolute(parts: Parts) -> bytes:
    return b"/" + b"/".join(parts)


def _is_aufs(placed: Parts) -> bool:
    """Say whether a path is bookkeeping of AUFS, which layers of old builders still carry."""
    return any(name.startswith(_AUFS) and name != OPAQUE for name in placed)


def _check_whiteout(placed: Parts, member: Member) -> None:
    hidden = whiteout_target(placed[-1])
    if member.type != REGULAR:
        raise InvalidImageError(f"The whiteout {printable(member.name)} is not a plain file.")
    if len(placed) == 1 and hidden == b"usr":
        raise InvalidImageError(f"The whiteout {printable(member.name)} would remove /usr.")
