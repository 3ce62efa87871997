"""Names of the refs that hold images and layers, and the escaping that fits any text into a ref.

Source: ostree-rs-ext, ``refescape``.
"""

from __future__ import annotations

import re

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.reference import ImageReference
from orch_frame.errors import StoreDamagedError, UsageError

BLOB_PREFIX = "ostree/container/blob"
IMAGE_PREFIX = "ostree/container/image"
BASEIMAGE_PREFIX = "ostree/container/baseimage"

_COMPONENT = re.compile(r"[A-Za-z0-9_][-._A-Za-z0-9]*")
_MAX_COMPONENT = 255  # a ref is a file, its components are directories
_ESCAPED = re.compile(r"[A-Za-z0-9/-]|__|_(?P<code>[0-9A-Fa-f]{1,6})_")


def escape(text: str) -> str:
    """Return *text* as it stands in a ref name.

    Raises:
        UsageError: *text* is empty or has a NUL.
    """
    if not text or "\0" in text:
        raise UsageError(f"{text!r} cannot be part of a ref name.")
    last = len(text) - 1
    return "".join(
        _escape_character(character, text[index - 1] if index else "", is_last=index == last)
        for index, character in enumerate(text)
    )


def unescape(text: str) -> str:
    """Return what `escape` made *text* of.

    Raises:
        StoreDamagedError: *text* is not the result of an escaping.
    """
    characters = []
    position = 0
    while position < len(text):
        match = _ESCAPED.match(text, position)
        if match is None:
            raise StoreDamagedError(f"The ref name {text!r} is not an escaped one.")
        characters.append(_unescape_match(match, text))
        position = match.end()
    return "".join(characters)


def blob_ref(digest: Digest) -> str:
    """Name the ref of the layer whose blob the manifest calls *digest*."""
    return f"{BLOB_PREFIX}/{escape(str(digest))}"


def image_ref(image: ImageReference) -> str:
    """Name the ref of the image that is stored as *image*.

    Raises:
        UsageError: ostree accepts no such ref, or no file can have such a name.
    """
    name = escape(str(image))
    for component in name.split("/"):
        if not _COMPONENT.fullmatch(component):
            raise UsageError(
                f"{image} cannot be stored: ostree takes no ref with the component {component!r}.",
                hint="Give the image another name.",
            )
        if len(component) > _MAX_COMPONENT:
            raise UsageError(f"{image} cannot be stored: the name is too long for a ref.")
    return f"{IMAGE_PREFIX}/{name}"


def _escape_character(character: str, previous: str, *, is_last: bool) -> str:
    if _is_plain(character) or character == "-":
        return character
    if character == "/" and _is_plain(previous) and not is_last:
        return character
    if character == "_":
        return "__"
    return f"_{ord(character):02X}_"


def _is_plain(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _unescape_match(match: re.Match[str], text: str) -> str:
    if match["code"] is None:
        return match[0][0]
    code = int(match["code"], 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise StoreDamagedError(f"The ref name {text!r} has an escape that is no character.")
    return chr(code)
