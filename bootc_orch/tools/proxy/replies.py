"""What the proxy answers, read strictly: versions, sizes, and how layers are stored.

Source: skopeo-experimental-image-proxy(1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bootc_orch.model.digest import Digest
from bootc_orch.tools.proxy.errors import ProxyError
from orch_frame.errors import MismatchError, ToolError

Version = tuple[int, int, int]

MINIMUM: Version = (0, 2, 3)
LAYER_INFO: Version = (0, 2, 5)
POLICY_ENFORCED: Version = (0, 2, 6)
LAYER_INFO_PIPED: Version = (0, 2, 7)
RAW_BLOBS: Version = (0, 2, 8)
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:[-+].*)?")


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """How a layer is stored where the image is.

    Attributes:
        digest: What to ask for.
        size: The length of what is handed over then, or -1.
        media_type: What that is; containers-storage has plain tars, whatever the manifest says.
    """

    digest: Digest
    size: int
    media_type: str


def parse_version(value: object) -> Version:
    """Read the protocol that a proxy says it speaks.

    Raises:
        ToolError: it is not one that is known here.
    """
    match = _VERSION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ToolError(f"skopeo's proxy speaks an unknown protocol: {str(value)[:80]!r}.")
    version = (int(match[1]), int(match[2]), int(match[3]))
    if version[:2] != MINIMUM[:2] or version < MINIMUM:
        raise ToolError(
            f"skopeo's proxy speaks protocol {show_version(version)}; "
            f"{show_version(MINIMUM)} or a later 0.2 is needed.",
            hint="Install skopeo 1.6 or newer.",
        )
    return version


def check_size(value: object, size: int, subject: str) -> None:
    """Compare the size of a blob where it is stored, -1 if that is not known, with the promise.

    Raises:
        MismatchError: they differ.
    """
    if value not in (-1, size):
        raise MismatchError(
            f"{subject} has {value} bytes where it is stored, not the {size} promised."
        )


def parse_layer_info(value: object) -> tuple[LayerInfo, ...]:
    """Read the list of layers.

    Raises:
        ProxyError: it is none.
    """
    if not isinstance(value, list):
        raise ProxyError("skopeo's list of layers is no list.")
    layers = []
    for entry in value:
        match entry:
            case {"digest": str(digest), "size": int(size), "media_type": str(media_type)}:
                layers.append(LayerInfo(Digest.parse(digest), size, media_type))
            case _:
                raise ProxyError("skopeo's list of layers has an entry that is none.")
    return tuple(layers)


def show_version(version: Version) -> str:
    """Return *version* as it is written."""
    return ".".join(str(number) for number in version)
