"""What lint reports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # the image cannot be bound, or the app will not start
    WARNING = "warning"  # it works now, and will surprise somebody
    NOTE = "note"  # worth knowing

    @property
    def rank(self) -> int:
        """Larger is worse."""
        return {Severity.ERROR: 3, Severity.WARNING: 2, Severity.NOTE: 1}[self]


# Every rule: how bad it is, and what it is about.
RULES: dict[str, tuple[Severity, str]] = {
    "definition": (Severity.ERROR, "An entry of the bound directory cannot be read."),
    "dangling-link": (
        Severity.ERROR,
        "A link among the quadlets leads nowhere; podman's generator then drops its directory.",
    ),
    "byte-order-mark": (
        Severity.ERROR,
        "A file begins with a byte order mark; podman's generator then drops its directory.",
    ),
    "unreadable-file": (
        Severity.ERROR,
        "A file is no unit file; podman's generator then drops its directory.",
    ),
    "no-additional-store": (
        Severity.ERROR,
        "A bound container does not look for its image in the store of bound images.",
    ),
    "artifact": (Severity.ERROR, "No additional store can hold an OCI artifact."),
    "generator-refuses": (Severity.ERROR, "podman's generator drops the unit."),
    "generator-differs": (Severity.ERROR, "podman's generator names another image."),
    "no-store-link": (Severity.WARNING, "The root has no /usr/lib/bootc/storage."),
    "pull-at-start": (Severity.WARNING, "A bound unit asks its registry whenever it starts."),
    "auto-update": (Severity.WARNING, "Automatic updates would pull into another store."),
    "floating-tag": (Severity.WARNING, "The name may stand for another image tomorrow."),
    "movable-tag": (Severity.NOTE, "The image is named by a tag and not by a digest."),
    "short-name": (Severity.WARNING, "The registry is left to the configuration of the host."),
    "false-boolean": (Severity.WARNING, "podman takes a word that it does not know for false."),
    "shadowed": (Severity.WARNING, "Another file of the same name is run instead."),
    "never-fetched": (Severity.WARNING, "Policy=never forbids sync to fetch the image."),
    "password-in-unit": (Severity.WARNING, "Everybody who has the image has the password."),
    "store-for-all": (
        Severity.NOTE,
        "All containers use the store of bound images; layers that they borrow may be pruned.",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that lint found.

    Attributes:
        rule: The key in `RULES`.
        message: What is wrong here.
        path: The file in the root.
        line: The line in it, 0 where it is about the whole file.
    """

    rule: str
    message: str
    path: str
    line: int = 0

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return RULES[self.rule][0]

    def to_json(self) -> dict[str, object]:
        """Return the finding as a JSON object."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "message": self.message,
            "path": self.path,
            "line": self.line or None,
        }
