"""The status of a host as a document, and the part of it that can be edited.

Source: bootc's ``org.containers.bootc/v1``, kind ``BootcHost``.  What is ours alone stands under
keys of its own, which that schema allows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from bootc_orch.model.image.reference import OstreeImageReference
from orch_frame.errors import UsageError

API_VERSION = "org.containers.bootc/v1"
KIND = "BootcHost"


class BootOrder(StrEnum):
    """Which of two deployments boots next."""

    DEFAULT = "default"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class ImageStatus:
    """What is known of one image.

    Attributes:
        image: Its reference.
        digest: The digest of its manifest.
        architecture: As OCI names it.
        version: From its labels, or None.
        timestamp: When it was created, RFC 3339, or None.
    """

    image: OstreeImageReference
    digest: str
    architecture: str
    version: str | None = None
    timestamp: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "image": self.image.to_host_spec(),
            "version": self.version,
            "timestamp": self.timestamp,
            "imageDigest": self.digest,
            "architecture": self.architecture,
        }


@dataclass(frozen=True, slots=True)
class EntryStatus:
    """One deployment.

    Attributes:
        checksum: Its commit.
        serial: Its number among deployments of that commit.
        stateroot: Its stateroot.
        image: The image it follows; None for a plain ostree system.
        cached_update: What the last check found.
        incompatible: Whether it has changes that only rpm-ostree can keep.
        pinned: Whether garbage collection must keep it.
        download_only: Whether it is staged and waits for a release.
        refspec: The ostree branch that a plain ostree system follows.
        bound_images: The app images that it is bound to, as the bound-image record has them.
    """

    checksum: str
    serial: int
    stateroot: str
    image: ImageStatus | None = None
    cached_update: ImageStatus | None = None
    incompatible: bool = False
    pinned: bool = False
    download_only: bool = False
    refspec: str | None = None
    bound_images: tuple[Mapping[str, Any], ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The JSON object; ``refspec`` and ``boundImages`` only where there are any."""
        document: dict[str, Any] = {
            "image": self.image.to_json() if self.image else None,
            "cachedUpdate": self.cached_update.to_json() if self.cached_update else None,
            "incompatible": self.incompatible,
            "pinned": self.pinned,
            "softRebootCapable": False,
            "downloadOnly": self.download_only,
            "store": "ostreeContainer" if self.image else None,
            "ostree": {
                "stateroot": self.stateroot,
                "checksum": self.checksum,
                "deploySerial": self.serial,
            },
            "composefs": None,
        }
        if self.refspec is not None:
            document["refspec"] = self.refspec
        if self.bound_images:
            document["boundImages"] = [dict(image) for image in self.bound_images]
        return document


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What is wanted: the part of a host document that can be edited.

    Attributes:
        image: The image to follow, or None.
        boot_order: Which deployment boots next.
    """

    image: OstreeImageReference | None = None
    boot_order: BootOrder = BootOrder.DEFAULT

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "image": self.image.to_host_spec() if self.image else None,
            "bootOrder": str(self.boot_order),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read the JSON object; an absent boot order is the default one.

        Documents may have more keys than these.  One that is null asks for nothing; any other
        asks for something that would not be done, be it misspelt or of a newer schema.

        Raises:
            UsageError: it is not such an object.
        """
        if not isinstance(value, dict):
            raise UsageError("spec must be an object.")
        asked = {key for key, content in value.items() if content is not None}
        if unknown := sorted(asked - {"image", "bootOrder"}, key=str):
            raise UsageError(
                f"spec has the unknown key {unknown[0]!a}, which asks for what is not known here.",
                hint="Correct it, or leave it out: only image and bootOrder can be edited.",
            )
        image = value.get("image")
        order = value.get("bootOrder") or BootOrder.DEFAULT
        if order not in tuple(BootOrder):
            raise UsageError("spec.bootOrder must be default or rollback.")
        return cls(_image(image) if image is not None else None, BootOrder(order))


def _image(value: object) -> OstreeImageReference:
    """Read ``spec.image``; a transport that is left out is a registry, as in bootc."""
    if not isinstance(value, dict):
        raise UsageError("spec.image must be an object.")
    return OstreeImageReference.from_host_spec({"transport": "registry", **value})


@dataclass(frozen=True, slots=True)
class UsrOverlay:
    """What is mounted over ``/usr``.

    Attributes:
        access_mode: ``readOnly`` or ``readWrite``.
        persistence: ``transient`` or ``persistent``.
    """

    access_mode: str
    persistence: str

    @classmethod
    def of(cls, unlocked: str | None) -> Self | None:
        """What libostree's *unlocked* state amounts to; None where nothing is mounted."""
        match unlocked:
            case "hotfix":
                return cls("readWrite", "persistent")
            case "development":
                return cls("readWrite", "transient")
            case "transient":
                return cls("readOnly", "transient")
            case _:
                return None

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {"accessMode": self.access_mode, "persistence": self.persistence}


@dataclass(frozen=True, slots=True)
class Host:
    """The whole document.

    Attributes:
        spec: What is wanted.
        staged: What is written out at shutdown.
        booted: What is running.
        rollback: What a rollback goes to.
        others: Other deployments, such as pinned ones.
        rollback_queued: Whether the rollback boots next.
        usr_overlay: What is mounted over ``/usr``.
        read_only: Whether the sysroot is on a medium that nothing can be written to.
        next_boot: The name of the deployment that the next boot starts instead of what is running;
            no part of the document.
    """

    spec: HostSpec
    staged: EntryStatus | None = None
    booted: EntryStatus | None = None
    rollback: EntryStatus | None = None
    others: tuple[EntryStatus, ...] = ()
    rollback_queued: bool = False
    usr_overlay: UsrOverlay | None = None
    read_only: bool = False
    next_boot: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON document."""
        status: dict[str, Any] = {
            "staged": self.staged.to_json() if self.staged else None,
            "booted": self.booted.to_json() if self.booted else None,
            "rollback": self.rollback.to_json() if self.rollback else None,
            "rollbackQueued": self.rollback_queued,
            "type": "bootcHost" if self.booted and self.booted.image else None,
            "usrOverlay": self.usr_overlay.to_json() if self.usr_overlay else None,
            "readOnly": self.read_only,
        }
        if self.others:
            status["otherDeployments"] = [entry.to_json() for entry in self.others]
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": "host"},
            "spec": self.spec.to_json(),
            "status": status,
        }


def canonical_json(document: Mapping[str, Any]) -> str:
    """Serialise as bootc does: one line, keys sorted, no blanks."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def parse_edited_host(document: object) -> HostSpec:
    """Read what an administrator made of a host document; only its spec counts.

    Raises:
        UsageError: it is no host document.
    """
    match document:
        case {"apiVersion": "org.containers.bootc/v1", "kind": "BootcHost", "spec": spec}:
            return HostSpec.from_json(spec)
        case _:
            raise UsageError(f"This is not a {KIND} document of {API_VERSION} with a spec.")
