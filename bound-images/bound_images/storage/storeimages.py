"""What ``podman images --format json`` prints, as data; parser only."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from orch_frame.errors import StoreDamagedError


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in the store.

    Attributes:
        image_id: The digest of its configuration, 64 hexadecimal digits.
        names: Its names, in podman's spelling.
        size: The bytes that its layers take unpacked, shared ones included.
        digest: ``sha256:…`` of its manifest; empty if podman does not know it.
        created: When it was built, in seconds since 1970.
    """

    image_id: str
    names: tuple[str, ...]
    size: int = 0
    digest: str = ""
    created: int = 0


def parse_images(text: str) -> tuple[StoredImage, ...]:
    """Read the list; an image that podman lists once a name is joined again.

    Raises:
        StoreDamagedError: *text* is not what podman prints.
    """
    found: dict[str, StoredImage] = {}
    try:
        for item in json.loads(text or "[]") or []:
            image = _image(item)
            known = found.setdefault(image.image_id, image)
            names = tuple(dict.fromkeys((*known.names, *image.names)))
            found[image.image_id] = replace(known, names=names)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreDamagedError(
            "podman's list of images cannot be read.", details=repr(error)
        ) from error
    return tuple(found.values())


def parse_layers(text: str) -> dict[str, tuple[str, ...]]:
    """Read ``podman image inspect``: the diff_ids of each image, by its id.

    Raises:
        StoreDamagedError: *text* is not what podman prints.
    """
    try:
        return {str(i["Id"]): tuple(i["RootFS"].get("Layers") or ()) for i in json.loads(text)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreDamagedError(
            "podman's description of images cannot be read.", details=repr(error)
        ) from error


def _image(item: Any) -> StoredImage:  # noqa: ANN401 - whatever JSON holds
    return StoredImage(
        image_id=str(item["Id"]),
        names=tuple(map(str, item.get("Names") or ())),
        size=int(item.get("Size") or 0),
        digest=str(item.get("Digest") or ""),
        created=int(item.get("Created") or 0),
    )
