"""Origin files: what a deployment was made from and follows.

Source: GLib's keyfile format, as libostree, rpm-ostree and bootc use it in
``ostree/deploy/STATEROOT/deploy/CHECKSUM.SERIAL.origin``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from bootc_orch.model.safe_text import safe_text
from orch_frame.errors import StoreDamagedError

CONTAINER_KEY = "container-image-reference"
REFSPEC_KEY = "refspec"
TRANSIENT_GROUP = "libostree-transient"
# Groups with which rpm-ostree says that packages were added or replaced on this machine.
LAYERING_GROUPS = ("rpmostree", "packages", "overrides", "modules")

Groups = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


class OriginKind(StrEnum):
    """What a deployment follows."""

    CONTAINER = "container"
    REFSPEC = "refspec"
    LAYERED = "rpm-ostree layered"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Origin:
    """One origin file.

    Attributes:
        groups: Each group's name with its keys and values, in the order of the file; values as
            they stand there, escapes included.
    """

    groups: Groups = field(default=())

    @classmethod
    def parse(cls, text: str, *, source: str = "origin") -> Self:
        """Read a keyfile; comments are dropped, a repeated group or key is merged, last one wins.

        Raises:
            StoreDamagedError: a line is neither comment, group nor ``key=value``.
        """
        groups: dict[str, dict[str, str]] = {}
        current: dict[str, str] | None = None
        for number, line in enumerate(text.split("\n"), start=1):
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            if stripped.startswith("[") and stripped.endswith("]"):
                current = groups.setdefault(stripped[1:-1], {})
                continue
            key, equals, value = line.partition("=")
            if current is None or not equals or not key.strip():
                raise StoreDamagedError(
                    f"{source}: line {number} is not a keyfile line.", path=source
                )
            current[key.strip()] = value.strip()
        return cls._of(groups)

    @classmethod
    def for_container(cls, reference: str) -> Self:
        """The origin that bootc writes for an image: the container key and nothing else.

        Raises:
            InvalidImageError: *reference* cannot stand in a keyfile.
        """
        value = safe_text(reference, what="The image reference")
        return cls((("origin", ((CONTAINER_KEY, _escape(value)),)),))

    @classmethod
    def _of(cls, groups: Mapping[str, Mapping[str, str]]) -> Self:
        return cls(tuple((name, tuple(keys.items())) for name, keys in groups.items()))

    def get(self, group: str, key: str) -> str | None:
        """Return the value of *key* in *group* with its escapes undone, or None."""
        for name, keys in self.groups:
            if name == group:
                for found, value in keys:
                    if found == key:
                        return _unescape(value)
        return None

    @property
    def container(self) -> str | None:
        """The container image reference as it is written, such as ``ostree-unverified-image:…``."""
        return self.get("origin", CONTAINER_KEY)

    @property
    def refspec(self) -> str | None:
        """The ostree refspec, ``REMOTE:BRANCH``, of a system that follows a plain ostree branch."""
        return self.get("origin", REFSPEC_KEY) or self.get("origin", "baserefspec")

    @property
    def kind(self) -> OriginKind:
        """What the deployment follows; layering wins: no tool but rpm-ostree can keep it."""
        if self.layered_groups:
            return OriginKind.LAYERED
        if self.container is not None:
            return OriginKind.CONTAINER
        return OriginKind.REFSPEC if self.refspec is not None else OriginKind.NONE

    @property
    def layered_groups(self) -> tuple[str, ...]:
        """The groups that only rpm-ostree understands, in the order of the file."""
        return tuple(name for name, _ in self.groups if name in LAYERING_GROUPS)

    @property
    def pinned(self) -> bool:
        """Whether garbage collection must keep the deployment."""
        return self.get(TRANSIENT_GROUP, "pinned") in ("true", "1")

    @property
    def unlocked(self) -> str | None:
        """``hotfix`` where ``/usr`` was made writable persistently."""
        return self.get("origin", "unlocked")

    def without_transient(self) -> Self:
        """This origin for a new deployment: without what belonged to the old one only."""
        kept = tuple(
            (name, tuple((key, value) for key, value in keys if key != "unlocked"))
            for name, keys in self.groups
            if name != TRANSIENT_GROUP
        )
        return replace(self, groups=kept)

    def __str__(self) -> str:
        """Write the file."""
        blocks = (
            "".join([f"[{name}]\n", *(f"{key}={value}\n" for key, value in keys)])
            for name, keys in self.groups
        )
        return "\n".join(blocks)


_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_UNESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def _escape(value: str) -> str:
    body = "".join(_ESCAPES.get(character, character) for character in value)
    bare = body.lstrip(" ")
    return "\\s" * (len(body) - len(bare)) + bare


def _unescape(value: str) -> str:
    parts = iter(value)
    return "".join(
        _UNESCAPES.get(following := next(parts, ""), following) if character == "\\" else character
        for character in parts
    )
