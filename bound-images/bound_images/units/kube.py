"""Which images a Kubernetes document for ``podman kube play`` names; parser only.

Source: podman-kube-play(1): the kinds with a pod template, and volumes of type image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bound_images.errors import DefinitionError

MAX_YAML_BYTES = 512 * 1024
_POD_SPECS = (
    ("spec",),
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
)
_CONTAINER_LISTS = ("initContainers", "containers")


def images_in_yaml(text: str, *, source: str) -> tuple[str, ...]:
    """Return the images of all documents in *text*: containers, init containers, image volumes.

    Each image comes once, in the order of first mention.

    Raises:
        DefinitionError: *text* is not YAML, or a container has no image or one that is no text.
    """
    # Imported here: few roots bind a .kube, and it takes longer than all the rest of a `list`.
    import yaml

    try:
        documents = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        detail = str(error) if isinstance(error, yaml.YAMLError) else type(error).__name__
        raise DefinitionError(f"{source} is not YAML.", details=detail, path=source) from error
    found: dict[str, None] = {}
    for spec in _pod_specs(documents):
        for image in _images(spec):
            if not isinstance(image, str) or not image:
                raise DefinitionError(f"{source}: an image has no name.", path=source)
            found[image] = None
    return tuple(found)


def _pod_specs(documents: list[Any]) -> Iterator[dict[str, Any]]:
    for document in documents:
        items = _at(document, "items")
        if isinstance(items, list):
            yield from _pod_specs([item for item in items if not _at(item, "items")])
        for path in _POD_SPECS:
            spec = _at(document, *path)
            if isinstance(spec, dict):
                yield spec


def _images(spec: dict[str, Any]) -> Iterator[object]:
    for key in _CONTAINER_LISTS:
        for container in _list(spec.get(key)):
            yield _at(container, "image")
    for volume in _list(spec.get("volumes")):
        if isinstance(_at(volume, "image"), dict):
            yield _at(volume, "image", "reference")


def _at(value: Any, *keys: str) -> Any:  # noqa: ANN401 - whatever YAML holds
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - whatever YAML holds
    return value if isinstance(value, list) else []
