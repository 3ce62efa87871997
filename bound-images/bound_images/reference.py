"""Names of images: what a definition may say, and the one spelling under which podman stores it.

``nginx`` is stored as ``docker.io/library/nginx:latest``, ``repo`` as ``repo:latest``, and
``repo:tag@digest`` as ``repo@digest``; collection and comparison work on that spelling only.
Source: the grammar of github.com/distribution/reference; containers-transports(5); measured with
podman 4.3.1 and 5.8.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from bound_images.errors import DefinitionError

DOCKER = "docker"
DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
MAX_NAME = 255
# Transports besides `docker://` that podman accepts before a colon.
LOCAL_TRANSPORTS = frozenset(
    {"containers-storage", "dir", "docker-archive", "docker-daemon", "oci", "oci-archive",
     "ostree", "sif", "tarball"}
)  # fmt: skip

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"  # noqa: E501 - a grammar
_NAME = re.compile(
    rf"(?P<repository>(?:(?P<domain>{_DOMAIN})/)?{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]*|[0-9a-f]{64}")

ShortNames = Callable[[str], str]


def docker_hub(short_name: str) -> str:
    """Return the repository that *short_name* means where no registry is configured."""
    return f"{DEFAULT_REGISTRY}/{short_name}"


@dataclass(frozen=True, slots=True)
class ImageName:
    """The name of an image in a registry.

    Attributes:
        repository: Registry and path, such as ``quay.io/app/web``.
        tag: The tag, None where only a digest is named.
        digest: ``sha256:…`` of the manifest, None where only a tag is named.
    """

    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str, *, short_names: ShortNames = docker_hub) -> Self:
        """Read ``[docker://][registry/]path[:tag][@digest]``; a missing tag is ``latest``.

        Args:
            text: The name as written.
            short_names: Turns a repository without a registry into one that has it.

        Raises:
            DefinitionError: *text* is no such name, or is the id of an image.
        """
        bare = text.removeprefix(f"{DOCKER}://")
        if _IMAGE_ID.fullmatch(bare):
            raise DefinitionError(
                f"{printable(text)} is the id of an image, which no registry can deliver.",
                hint="Name the image by its repository.",
                image=text,
            )
        match = _NAME.fullmatch(bare)
        # Without a registry, what the grammar took for one is the first part of the path.
        if match is None or (is_short(bare) and match["repository"].lower() != match["repository"]):
            raise DefinitionError(f"{printable(text)} is not the name of an image.", image=text)
        digest, tag = match["digest"], match["tag"]
        repository = _qualify(match["repository"], short_names)
        if len(repository) > MAX_NAME:
            raise DefinitionError(f"{printable(text)} is longer than {MAX_NAME} characters.")
        return cls(repository, tag or (None if digest else DEFAULT_TAG), digest)

    @property
    def canonical(self) -> str:
        """The spelling under which podman stores the image."""
        return (
            f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"
        )

    @property
    def registry(self) -> str:
        """The registry's host and port."""
        return self.repository.partition("/")[0]

    def at(self, digest: str) -> str:
        """Return the name that pins the repository to *digest*."""
        return f"{self.repository}@{digest}"


def transport_of(reference: str) -> str:
    """Return the transport that *reference* asks for, `DOCKER` where it names none."""
    head, colon, _ = reference.partition(":")
    return head if colon and head in LOCAL_TRANSPORTS else DOCKER


def is_short(reference: str) -> bool:
    """Say whether *reference* leaves the registry to the configuration of the host."""
    return transport_of(reference) == DOCKER and not has_registry(
        reference.removeprefix(f"{DOCKER}://")
    )


def has_registry(repository: str) -> bool:
    """Say whether *repository* begins with the name of a registry."""
    first, slash, _ = repository.partition("/")
    return bool(slash) and (any(c in first for c in ".:") or first == "localhost")


def check_safe(reference: str) -> str:
    """Return *reference* if it can stand on a command line, whatever its transport.

    Raises:
        DefinitionError: it is empty, begins with a dash, or has a blank or control character.
    """
    if not reference:
        raise DefinitionError("The name of the image is empty.")
    if reference.startswith("-") or any(c.isspace() or not c.isprintable() for c in reference):
        raise DefinitionError(f"{printable(reference)} is not the name of an image.")
    return reference


def printable(text: str) -> str:
    """Quote *text* for a message: control characters escaped, at most 256 characters."""
    quoted = repr(text)
    return quoted if len(quoted) <= 256 else f"{quoted[:252]}…'"


def _qualify(repository: str, short_names: ShortNames) -> str:
    if not has_registry(repository):
        repository = short_names(repository)
    registry, _, path = repository.partition("/")
    if registry == f"index.{DEFAULT_REGISTRY}":
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    return f"{registry}/{path}"
