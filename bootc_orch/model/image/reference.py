"""Image references: where an image is, and who vouches for it.

Source: containers-transports(5); the ``ostree-…`` forms are those of ostree-rs-ext.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.docker_reference import DockerReference, is_tag
from orch_frame.errors import InvalidImageError, UsageError


class Transport(StrEnum):
    """Where an image is kept; the value is the word in a host specification."""

    REGISTRY = "registry"
    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DOCKER_DAEMON = "docker-daemon"
    CONTAINERS_STORAGE = "containers-storage"
    DIR = "dir"

    @property
    def prefix(self) -> str:
        """What stands before the name where a reference is shown or given to skopeo."""
        return "docker://" if self is Transport.REGISTRY else f"{self.value}:"

    @property
    def names_a_path(self) -> bool:
        """Whether names of this transport are paths, with at most a tag behind a colon."""
        return self in _PATHS


_PATHS = (Transport.OCI, Transport.OCI_ARCHIVE, Transport.DOCKER_ARCHIVE, Transport.DIR)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image in one place.

    Attributes:
        transport: The kind of place.
        name: What names the image there; without control characters, never empty.
    """

    transport: Transport
    name: str

    def __post_init__(self) -> None:
        """Refuse names that no place has; they go to origin files and to logs.

        Raises:
            UsageError: the name is empty or has a control character.
        """
        if not self.name:
            raise UsageError(f"The image reference {self.transport.prefix} has no name.")
        _check_text(self.name, "image name")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``TRANSPORT:NAME``; a registry is ``docker://NAME`` or ``registry:NAME``.

        Raises:
            UsageError: *text* is not a reference.
        """
        word, colon, name = text.partition(":")
        if not colon:
            raise UsageError(
                f"The image reference {text!r} has no transport.",
                hint="Write docker://NAME for an image in a registry.",
            )
        if word == "docker":
            if not name.startswith("//"):
                raise UsageError(
                    f"The image reference {text!r} lacks the slashes of docker://NAME."
                )
            return cls(Transport.REGISTRY, name.removeprefix("//"))
        return cls(_transport(word), name)

    def __str__(self) -> str:
        """Return the form that skopeo takes and that the image ref is made of."""
        return self.transport.prefix + self.name

    @property
    def digest(self) -> Digest | None:
        """The digest that the name pins, or None."""
        parsed = DockerReference.parse(self._split_store()[1])
        try:
            return Digest.parse(parsed.digest) if parsed and parsed.digest else None
        except InvalidImageError:  # sha512: no image of ours can have it
            return None

    def canonicalise(self) -> Self:
        """Drop the tag of a registry name that has a digest as well; the digest decides anyway.

        Raises:
            UsageError: the name is not one that a registry can have.
        """
        if self.transport is not Transport.REGISTRY:
            return self
        parsed = DockerReference.parse(self.name)
        if parsed is None:
            raise UsageError(f"{self.name!r} is not the name of an image in a registry.")
        if parsed.tag and parsed.digest:
            return replace(self, name=str(replace(parsed, tag=None)))
        return self

    def with_tag(self, tag: str) -> Self:
        """Return the reference with *tag* instead of its tag and digest.

        A name that a registry could have comes out in full, ``docker.io/library/`` included, as
        bootc writes it.  (Unlike bootc, not for transports whose names are paths.)

        Raises:
            UsageError: *tag* cannot be one.
        """
        if not is_tag(tag):
            raise UsageError(
                f"{tag[:200]!a} is not a tag.",
                hint="Use up to 128 letters, digits, '_', '.' and '-', the last two not first.",
            )
        store, name = self._split_store()
        parsed = None if self.transport.names_a_path else DockerReference.parse(name)
        if parsed is not None:
            return replace(self, name=store + str(replace(parsed, tag=tag, digest=None)))
        name = name.partition("@")[0]
        base, colon, old_tag = name.rpartition(":")
        has_tag = colon and "/" not in old_tag
        return replace(self, name=f"{store}{base if has_tag else name}:{tag}")

    def with_digest(self, digest: Digest) -> Self:
        """Return the reference pinned to *digest*; a tag stays where it is."""
        store, name = self._split_store()
        base, at, _ = name.rpartition("@")
        return replace(self, name=f"{store}{base if at else name}@{digest}")

    def _split_store(self) -> tuple[str, str]:
        """Split what says which store, ``[driver@root+runroot:options]``, from the name in it."""
        if self.transport is Transport.CONTAINERS_STORAGE and self.name.startswith("["):
            store, bracket, name = self.name.partition("]")
            if bracket:
                return store + bracket, name
        return "", self.name


class SignatureKind(StrEnum):
    """Who vouches for an image; the value is the word in a host specification."""

    OSTREE_REMOTE = "ostreeRemote"
    CONTAINER_POLICY = "containerPolicy"
    INSECURE = "insecure"


@dataclass(frozen=True, slots=True)
class SignatureSource:
    """Who vouches for an image.

    Attributes:
        kind: The container policy, which must not be wide open; the policy whatever it allows; or
            an ostree remote.
        remote: The name of that remote, else None.
    """

    kind: SignatureKind
    remote: str | None = None

    @classmethod
    def ostree_remote(cls, name: str) -> Self:
        """Let the ostree remote *name* vouch.

        Raises:
            UsageError: the name is empty, or could be taken for something else in a reference.
        """
        if not name or set(name) & set(":/"):
            raise UsageError(f"{name!r} is not the name of an ostree remote.")
        _check_text(name, "name of an ostree remote")
        return cls(SignatureKind.OSTREE_REMOTE, name)


CONTAINER_POLICY = SignatureSource(SignatureKind.CONTAINER_POLICY)
INSECURE = SignatureSource(SignatureKind.INSECURE)
_FORMS = (
    "ostree-image-signed:IMAGE, ostree-unverified-image:IMAGE, ostree-unverified-registry:NAME, "
    "ostree-remote-image:REMOTE:IMAGE or ostree-remote-registry:REMOTE:NAME"
)


@dataclass(frozen=True, slots=True)
class OstreeImageReference:
    """An image of an operating system: where it is and who vouches for it.

    Attributes:
        signature: Who vouches for it.
        image: Where it is.
    """

    signature: SignatureSource
    image: ImageReference

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one of the five ``ostree-…`` forms.

        Raises:
            UsageError: *text* is none of them, or the reference in it is malformed.
        """
        word, _, rest = text.partition(":")
        match word:
            case "ostree-image-signed":
                return cls(CONTAINER_POLICY, ImageReference.parse(rest))
            case "ostree-unverified-image":
                return cls(INSECURE, ImageReference.parse(rest))
            case "ostree-unverified-registry":
                return cls(INSECURE, ImageReference(Transport.REGISTRY, rest))
            case "ostree-remote-image" | "ostree-remote-registry":
                remote, colon, name = rest.partition(":")
                if not colon:
                    raise UsageError(f"The reference {text!r} names a remote, but no image.")
                signature = SignatureSource.ostree_remote(remote)
                if word == "ostree-remote-registry":
                    return cls(signature, ImageReference(Transport.REGISTRY, name))
                return cls(signature, ImageReference.parse(name))
            case _:
                raise UsageError(
                    f"{text!r} does not say who vouches for the image.", hint=f"Write {_FORMS}."
                )

    def __str__(self) -> str:
        """Return the form that origin files hold."""
        match self.signature.kind:
            case SignatureKind.CONTAINER_POLICY:
                return f"ostree-image-signed:{self.image}"
            case SignatureKind.OSTREE_REMOTE:
                return f"ostree-remote-image:{self.signature.remote}:{self.image}"
            case SignatureKind.INSECURE:
                if self.image.transport is Transport.REGISTRY:
                    return f"ostree-unverified-registry:{self.image.name}"
                return f"ostree-unverified-image:{self.image}"

    @classmethod
    def from_host_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Read the ``image`` object of a bootc host specification.

        Raises:
            UsageError: a field is missing or has a wrong type or value.
        """
        match spec:
            case {"image": str(name), "transport": str(transport)}:
                image = ImageReference(_transport(transport.removesuffix(":")), name)
                return cls(_signature(spec.get("signature")), image)
            case _:
                raise UsageError("The image of a host specification needs image and transport.")

    def to_host_spec(self) -> dict[str, Any]:
        """Return the ``image`` object of a bootc host specification; unverified: no signature."""
        spec: dict[str, Any] = {
            "image": self.image.name,
            "transport": self.image.transport.value,
        }
        if self.signature.kind is SignatureKind.OSTREE_REMOTE:
            spec["signature"] = {self.signature.kind.value: self.signature.remote}
        elif self.signature.kind is SignatureKind.CONTAINER_POLICY:
            spec["signature"] = self.signature.kind.value
        return spec


def _transport(word: str) -> Transport:
    try:
        return Transport(word)
    except ValueError as error:
        known = ", ".join(transport.value for transport in Transport)
        raise UsageError(
            f"{word!r} is not a transport.", hint=f"Write docker:// or one of: {known}."
        ) from error


def _signature(value: Any) -> SignatureSource:  # noqa: ANN401 - a parser's entry
    match value:
        case None | "insecure":
            return INSECURE
        case "containerPolicy":
            return CONTAINER_POLICY
        case {"ostreeRemote": str(name)} if len(value) == 1:
            return SignatureSource.ostree_remote(name)
        case _:
            raise UsageError(f"{value!r} is not a signature source of a host specification.")


def _check_text(text: str, what: str) -> None:
    """Refuse what could end a line in an origin file or steer a terminal."""
    if any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in text):
        raise UsageError(f"The {what} {text!r} has a control character.")
