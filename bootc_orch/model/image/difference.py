"""How the layers of one version of an image differ from those of another.

Source: bootc's manifest difference; its lines are read by scripts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from bootc_orch.model.image.manifest import Descriptor, Manifest


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """Counts and compressed sizes in bytes.

    Attributes:
        total: Layers of the new version.
        total_size: Their size.
        removed: Layers that only the old version has.
        removed_size: Their size.
        added: Layers that only the new version has.
        added_size: Their size.
    """

    total: int
    total_size: int
    removed: int
    removed_size: int
    added: int
    added_size: int

    @classmethod
    def between(cls, old: Manifest, new: Manifest) -> Self:
        """Compare two manifests by the digests of their layers."""
        before = {layer.digest for layer in old.layers}
        after = {layer.digest for layer in new.layers}
        removed = [layer for layer in old.layers if layer.digest not in after]
        added = [layer for layer in new.layers if layer.digest not in before]
        return cls(
            total=len(new.layers),
            total_size=_size(new.layers),
            removed=len(removed),
            removed_size=_size(removed),
            added=len(added),
            added_size=_size(added),
        )


def _size(layers: Iterable[Descriptor]) -> int:
    return sum(layer.size for layer in layers)
