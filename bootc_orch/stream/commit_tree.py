"""Hold the directories of an ostree commit to what a tree can be, before anything walks through it.

ostree takes objects that are well formed, one by one.  A directory with the same name twice makes
it abort, one that says it is a file fails its fsck, and a few directories that each contain the
next one twice are a tree without end for whoever goes through it.

Source: libostree's ``ostree-core.c``, the structure of dirtree and dirmeta objects.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from itertools import pairwise

from bootc_orch.model.gvariant import Dirmeta, Dirtree
from bootc_orch.stream.paths import DEPTH_MAX
from bootc_orch.stream.storable import check_names, check_xattrs
from bootc_orch.stream.tar import ID_MAX
from orch_frame.errors import InvalidImageError, LimitError

# Ten times what the bootable images of distributions have.
ENTRIES_MAX = 1 << 20
# What an object takes in a set or two, as Python 3.11 has it, beside the checksums below it.
_OBJECT_BYTES = 400


class CommitTree:
    """The directories of one commit as they arrive, by the raw checksums of their objects."""

    def __init__(self) -> None:
        # For each directory within it the checksums of its dirtree and its dirmeta, all joined.
        self._children: dict[bytes, bytes] = {}
        self._files: dict[bytes, int] = {}
        self._metas: set[bytes] = set()

    def add(self, checksum: str, kind: str, data: bytes) -> int:
        """Take note of a ``dirtree`` or ``dirmeta`` object; return how many bytes that takes.

        Raises:
            InvalidImageError: it is malformed, or describes no directory that can be stored.
            LimitError: a name or an attribute is too long.
        """
        raw = bytes.fromhex(checksum)
        if kind == "dirtree":
            tree = Dirtree.decode(data)
            self._children[raw] = _children(tree, checksum)
            self._files[raw] = len(tree.files)
            return _OBJECT_BYTES + len(self._children[raw])
        _check_meta(Dirmeta.decode(data), checksum)
        self._metas.add(raw)
        return _OBJECT_BYTES

    def check(self, tree: str, meta: str) -> None:
        """Make sure that the directory *tree* is complete, and not too deep or too large to handle.

        Raises:
            InvalidImageError: an object is missing.
            LimitError: it is deeper than `DEPTH_MAX`, or has more than `ENTRIES_MAX` entries.
        """
        self._require_meta(bytes.fromhex(meta))
        measured: dict[bytes, tuple[int, int]] = {}  # height, and entries with all below
        waiting = [bytes.fromhex(tree)]
        while waiting:
            current = waiting[-1]
            children = self._require(current)
            below = [child for child, _ in children if child not in measured]
            if below and current not in measured:
                waiting += below
                continue
            waiting.pop()
            heights = [measured[child][0] for child, _ in children]
            count = 1 + self._files[current] + sum(measured[child][1] for child, _ in children)
            measured[current] = (1 + max(heights, default=0), count)
            _check_size(*measured[current])

    def _require(self, tree: bytes) -> list[tuple[bytes, bytes]]:
        joined = self._children.get(tree)
        if joined is None:
            raise _missing(tree, "dirtree")
        children = [
            (joined[start : start + 32], joined[start + 32 : start + 64])
            for start in range(0, len(joined), 64)
        ]
        for _, meta in children:
            self._require_meta(meta)
        return children

    def _require_meta(self, meta: bytes) -> None:
        if meta not in self._metas:
            raise _missing(meta, "dirmeta")


def _children(tree: Dirtree, checksum: str) -> bytes:
    files = [name for name, _ in tree.files]
    directories = [name for name, _, _ in tree.dirs]
    if not (_ascends(files) and _ascends(directories)) or not set(files).isdisjoint(directories):
        raise InvalidImageError(
            f"The directory {checksum}.dirtree has a name twice, or its names out of order."
        )
    check_names([*files, *directories], of=f"The object {checksum}.dirtree")
    return b"".join([child + meta for _, child, meta in tree.dirs])


def _ascends(names: Sequence[bytes]) -> bool:
    return all(first < second for first, second in pairwise(names))


def _check_meta(meta: Dirmeta, checksum: str) -> None:
    if stat.S_IFMT(meta.mode) != stat.S_IFDIR or meta.mode >> 16:
        raise InvalidImageError(
            f"The object {checksum}.dirmeta has the mode {meta.mode:o}, which is no directory's."
        )
    if max(meta.uid, meta.gid) > ID_MAX:
        raise InvalidImageError(f"The object {checksum}.dirmeta has an impossible owner or group.")
    check_xattrs(meta.xattrs, of=f"The object {checksum}.dirmeta")


def _check_size(height: int, entries: int) -> None:
    if height > DEPTH_MAX + 1:
        raise LimitError(f"The commit has directories more than {DEPTH_MAX} deep.")
    if entries > ENTRIES_MAX:
        raise LimitError(f"The commit has more than {ENTRIES_MAX} files and directories.")


def _missing(checksum: bytes, kind: str) -> InvalidImageError:
    return InvalidImageError(f"The layer lacks the object {checksum.hex()}.{kind} of its commit.")
