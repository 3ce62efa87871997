"""The JSON objects that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bound_images.units.scan import BoundImage


def image_document(image: BoundImage) -> dict[str, object]:
    """Return an element of the ``images`` of ``list``."""
    return {
        "name": image.name,
        "type": image.type.value,
        "reference": image.reference,
        "canonical": image.canonical,
        "options": image.options.as_keys(),
        "sources": list(image.sources),
        **({"artifact": True} if image.artifact else {}),
    }
