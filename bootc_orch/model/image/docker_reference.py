"""Names of images in registries: registry, repository, tag and digest.

Source: the grammar of github.com/distribution/reference and its normalisation of familiar names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

DEFAULT_REGISTRY = "docker.io"
_MAX_NAME = 255
_DIGEST_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"(sha256|sha384|sha512):([0-9a-f]+)")


def is_tag(text: str) -> bool:
    """Say whether *text* can be a tag."""
    return _TAG.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class DockerReference:
    """The name of an image in a registry.

    Attributes:
        registry: Host and port.
        repository: The path there, ``library/`` included.
        tag: The tag; ``latest`` if the name had neither tag nor digest.
        digest: The digest with its algorithm, or None.
    """

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a name in full or familiar form; None if it is not one."""
        name, at, digest = text.partition("@")
        first, slash, rest = name.partition("/")
        if slash and (first == "localhost" or set(first) & set(".:")):
            registry, path = first, rest
        else:
            registry, path = DEFAULT_REGISTRY, name
        repository, colon, tag = path.partition(":")
        if registry in (DEFAULT_REGISTRY, "index.docker.io"):
            registry = DEFAULT_REGISTRY
            repository = repository if "/" in repository else f"library/{repository}"
        valid = (
            _DOMAIN.fullmatch(registry)
            and _REPOSITORY.fullmatch(repository)
            and len(repository) <= _MAX_NAME
            and (not colon or _TAG.fullmatch(tag))
            and (not at or _is_digest(digest))
        )
        if not valid:
            return None
        return cls(
            registry,
            repository,
            tag if colon else None if at else "latest",
            digest if at else None,
        )

    def __str__(self) -> str:
        """Return the name in full."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def _is_digest(text: str) -> bool:
    match = _DIGEST.fullmatch(text)
    return match is not None and len(match[2]) == _DIGEST_DIGITS[match[1]]
