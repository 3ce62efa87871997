"""Where an entry of a derived layer belongs in the tree of an ostree commit, if anywhere.

An ostree deployment owns ``/usr`` and the initial ``/etc`` and ``/var``; what a layer puts
elsewhere has no place, unless the root is a composefs or transient one, or there is no base commit
at all.

Source: ostree-rs-ext, the filter of its tar import.
"""

from __future__ import annotations

from dataclasses import dataclass

from orch_frame.errors import InvalidImageError, LimitError
from orch_frame.text import printable

Parts = tuple[bytes, ...]

PATH_BYTES_MAX = 4095
NAME_BYTES_MAX = 255
DEPTH_MAX = 255
REPOSITORY: Parts = (b"sysroot", b"ostree", b"repo")
_API_DIRECTORIES = frozenset((b"run", b"tmp", b"proc", b"sys", b"dev"))


@dataclass(frozen=True, slots=True)
class Filtered:
    """An entry that has no place.

    Attributes:
        kind: The name under which it is counted.
    """

    kind: bytes


@dataclass(frozen=True, slots=True)
class PathRules:
    """How paths of one image are placed.

    Attributes:
        allow_nonusr: Whether content outside of ``/usr``, ``/etc`` and ``/var`` is kept.
        keep_var: Whether ``/var`` stays in its place; else it goes to ``/usr/share/factory/var``.
    """

    allow_nonusr: bool
    keep_var: bool

    def place(self, parts: Parts) -> Parts | Filtered:
        """Return where *parts* belongs in the commit; the empty path is the root."""
        if not parts:
            return parts
        first = parts[0]
        if first == b"usr":
            return parts
        if first == b"etc":
            return (b"usr", *parts)
        if first == b"var":
            return parts if self.keep_var else (b"usr", b"share", b"factory", *parts)
        if parts[: len(REPOSITORY)] == REPOSITORY:
            # A repository inside of the image is storage of its builder, never part of the tree.
            return Filtered(first)
        if first in _API_DIRECTORIES:
            return parts if len(parts) == 1 else Filtered(parts[1])
        return parts if self.allow_nonusr else Filtered(first)


def split(name: bytes) -> Parts:
    """Split a path into its components; the empty result is the root.

    Absolute paths are taken relative to the root; ``//``, ``/./`` and a trailing ``/`` vanish.

    Raises:
        InvalidImageError: it is empty, is not UTF-8, or leaves the tree.
        LimitError: it, a component of it, or its depth is too long.
    """
    if not name:
        raise InvalidImageError("A tar member has an empty name.")
    if len(name) > PATH_BYTES_MAX:
        raise LimitError(f"A path has {len(name)} bytes: {printable(name)}")
    try:
        name.decode()
    except UnicodeDecodeError as error:
        raise InvalidImageError(f"The path {printable(name)} is not UTF-8.") from error
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise InvalidImageError(f"The path {printable(name)} has a component '..'.")
    if len(parts) > DEPTH_MAX or any(len(part) > NAME_BYTES_MAX for part in parts):
        raise LimitError(f"A path is too deep or has too long a component: {printable(name)}")
    return parts
