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
from bootc_orch.stream.tar import ID_MAX
from orch_frame.errors import InvalidImageError, LimitError

DIRECTORIES_MAX = 1 << 22


class CommitTree:
    """The directories of one commit as they arrive, by the raw checksums of their objects."""

    def __init__(self) -> None:
        self._children: dict[bytes, tuple[tuple[bytes, bytes], ...]] = {}
        self._metas: set[bytes] = set()

    def add(self, checksum: str, kind: str, data: bytes) -> None:
        """Take note of a ``dirtree`` or ``dirmeta`` object.

        Raises:
            InvalidImageError: it is malformed, or describes no directory.
        """
        raw = bytes.fromhex(checksum)
        if kind == "dirtree":
            self._children[raw] = _children(Dirtree.decode(data), checksum)
        else:
            _check_meta(Dirmeta.decode(data), checksum)
            self._metas.add(raw)

    def check(self, tree: str, meta: str) -> None:
        """Make sure that the directory *tree* is complete, and not too deep or too large to handle.

        Raises:
            InvalidImageError: an object is missing.
            LimitError: it is deeper than `DEPTH_MAX`, or has more than `DIRECTORIES_MAX` of them.
        """
        self._require_meta(bytes.fromhex(meta))
        measured: dict[bytes, tuple[int, int]] = {}  # height, and directories with all below
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
            count = 1 + sum(measured[child][1] for child, _ in children)
            measured[current] = (1 + max(heights, default=0), count)
            _check_size(*measured[current])

    def _require(self, tree: bytes) -> tuple[tuple[bytes, bytes], ...]:
        children = self._children.get(tree)
        if children is None:
            raise _missing(tree, "dirtree")
        for _, meta in children:
            self._require_meta(meta)
        return children

    def _require_meta(self, meta: bytes) -> None:
        if meta not in self._metas:
            raise _missing(meta, "dirmeta")


def _children(tree: Dirtree, checksum: str) -> tuple[tuple[bytes, bytes], ...]:
    files = [name for name, _ in tree.files]
    directories = [name for name, _, _ in tree.dirs]
    if not (_ascends(files) and _ascends(directories)) or not set(files).isdisjoint(directories):
        raise InvalidImageError(
            f"The directory {checksum}.dirtree has a name twice, or its names out of order."
        )
    return tuple((child, meta) for _, child, meta in tree.dirs)


def _ascends(names: Sequence[bytes]) -> bool:
    return all(first < second for first, second in pairwise(names))


def _check_meta(meta: Dirmeta, checksum: str) -> None:
    if stat.S_IFMT(meta.mode) != stat.S_IFDIR or meta.mode >> 16:
        raise InvalidImageError(
            f"The object {checksum}.dirmeta has the mode {meta.mode:o}, which is no directory's."
        )
    if max(meta.uid, meta.gid) > ID_MAX:
        raise InvalidImageError(f"The object {checksum}.dirmeta has an impossible owner or group.")


def _check_size(height: int, directories: int) -> None:
    if height > DEPTH_MAX + 1:
        raise LimitError(f"The commit has directories more than {DEPTH_MAX} deep.")
    if directories > DIRECTORIES_MAX:
        raise LimitError(f"The commit has more than {DIRECTORIES_MAX} directories.")


def _missing(checksum: bytes, kind: str) -> InvalidImageError:
    return InvalidImageError(f"The layer lacks the object {checksum.hex()}.{kind} of its commit.")
