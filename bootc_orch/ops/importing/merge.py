"""Flatten the layers of an image into one tree, and label it, without touching file content.

The tree is an overlay of the layers' directory trees; where the result has a SELinux policy, the
labels of everything must be the policy's.  What a tree looks like under a policy is remembered in
the repository, so that an unchanged base is compared with its policy once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bootc_orch.ops.importing.policy_tree import load_labeler
from bootc_orch.stream.selinux import Labeler
from bootc_orch.stream.trees import Directory, Trees
from orch_frame.text import printable

# A container engine leaves these behind, empty, when it mounts its own over them.
_EMPTY_LEFTOVERS = ("usr/etc/hostname", "usr/etc/resolv.conf")
_MEMORY = "extensions/bootc-orch/labels"
NOTES_MAX = 512


@dataclass(frozen=True, slots=True)
class LayerTree:
    """The tree of one derived layer.

    Attributes:
        root: Its root directory.
        policy: Which SELinux policy labelled it, if known.
        directories: The directories that it describes itself, absolute; None if not known.
    """

    root: Directory
    policy: str | None = None
    directories: frozenset[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """The flattened tree of an image.

    Attributes:
        root: Its root directory.
        layers: The derived layers' root directories, labelled by the final policy, in order.
        unchanged: Directories whose attributes a later layer stated otherwise, without effect.
    """

    root: Directory
    layers: tuple[Directory, ...]
    unchanged: tuple[str, ...]


def merge(
    trees: Trees, base: Directory | None, layers: Sequence[LayerTree], *, repo: Path, work: Path
) -> Merged:
    """Lay *layers* over *base*.

    Args:
        trees: Where all of them are, and where new objects go.
        base: The tree of the base commit, or None.
        layers: The derived layers, the lowest first.
        repo: The repository that remembers labelled trees.
        work: A private directory for a policy's files.

    Raises:
        InvalidImageError: a whiteout or the SELinux policy is malformed.
        ToolError: the image has a SELinux policy and libselinux is missing.
    """
    root, unchanged = _overlay(trees, base, layers)
    with load_labeler(trees, root.tree, work) or nullcontext() as labeler:
        if labeler is not None:
            labels = _Labels(trees, labeler, repo / _MEMORY)
            base = base and labels.apply(LayerTree(base))
            layers = [
                LayerTree(labels.apply(layer), labeler.policy, layer.directories)
                for layer in layers
            ]
            root, _ = _overlay(trees, base, layers)
    for path in _EMPTY_LEFTOVERS:
        root = trees.without_file(root, path, _is_empty(trees))
    return Merged(root, tuple(layer.root for layer in layers), unchanged)


def _overlay(
    trees: Trees, base: Directory | None, layers: Sequence[LayerTree]
) -> tuple[Directory, tuple[str, ...]]:
    unchanged: list[str] = []
    root = base
    for layer in layers:
        known = layer.directories

        def note(path: bytes, known: frozenset[bytes] | None = known) -> None:
            if known is not None and path.rstrip(b"/") in known:
                unchanged.append(printable(path.rstrip(b"/")))

        root = trees.overlay(root, layer.root, note)
    if root is None:
        raise AssertionError("an image has a base or at least one layer")
    return root, tuple(unchanged)


def _is_empty(trees: Trees) -> Callable[[str], bool]:
    def is_empty(checksum: str) -> bool:
        header = trees.store.open_file(checksum).header
        return header.size == 0 and not header.target

    return is_empty


@dataclass(frozen=True, slots=True)
class _Labels:
    """Trees as one policy labels them.

    The memory is one empty file for each tree that is known to be right: whether it is follows from
    its checksum and the policy alone, so a note never becomes wrong.
    """

    trees: Trees
    labeler: Labeler
    memory: Path

    def apply(self, layer: LayerTree) -> Directory:
        """Return the labelled tree."""
        if layer.policy != self.labeler.policy and not self._note(layer.root).exists():
            layer = LayerTree(self.trees.relabel(layer.root, self.labeler))
        self._remember(layer.root)
        return layer.root

    def _note(self, root: Directory) -> Path:
        text = f"{root.tree.hex()} {root.meta.hex()} {self.labeler.policy}"
        return self.memory / sha256(text.encode()).hexdigest()

    def _remember(self, root: Directory) -> None:
        self.memory.mkdir(parents=True, exist_ok=True)
        notes = sorted(self.memory.iterdir(), key=lambda note: note.stat().st_mtime)
        for note in notes[:-NOTES_MAX]:
            note.unlink(missing_ok=True)
        self._note(root).touch()
