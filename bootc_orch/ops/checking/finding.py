"""What a check found wrong, and the one thing to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"


class Remedy(StrEnum):
    """What to do about a finding."""

    REPAIR = "bootc-orch repair"
    PULL = "bootc-orch image pull"
    PULL_AND_REPAIR = "bootc-orch image pull of the image it was made of, then bootc-orch repair"
    CLEANUP = "bootc-orch cleanup"
    REDEPLOY = "bootc-orch switch to the image again, then reboot"
    SYNC = "bound-images sync"
    REMOVE_REF = "ostree refs --delete"
    VERITY = "ostree admin post-copy"
    REWRITE_ORIGIN = "write the origin file anew"
    BY_HAND = "put it right by hand"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: What is wrong, a word for programs.
        subject: With what: a ref, an object, a deployment, a path.
        detail: A sentence for people.
        remedy: What to do.
        severity: Whether anything is broken, or may only be in the way later.
        images: The images that it touches.
        objects: The objects that must be had again, ``CHECKSUM.TYPE``.
        paths: The files that are wrong, from the root of the deployment that *subject* names.
        advice: What to do in this very case; empty where *remedy* says it all.
    """

    kind: str
    subject: str
    detail: str
    remedy: Remedy
    severity: Severity = Severity.ERROR
    images: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    advice: str = ""

    @property
    def instruction(self) -> str:
        """What to do, for people."""
        return self.advice or str(self.remedy)

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "kind": self.kind,
            "severity": str(self.severity),
            "subject": self.subject,
            "detail": self.detail,
            "remedy": self.instruction,
            "images": list(self.images),
            "objects": list(self.objects),
            "paths": list(self.paths),
        }
