"""What a long operation tells about itself while it runs: the `Progress` protocol.

Operations call it, the command line implements it; nothing here prints.  Workers call from their
own threads, so an implementation must be thread-safe, and `layer_advanced` must be cheap: it is
called for every block of every layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bootc_orch.model.digest import Digest
    from bootc_orch.model.image.difference import LayerDifference
    from bootc_orch.model.image.layout import LayerKind


class Step(StrEnum):
    """A part of an operation that has no byte count; starting one completes the one before."""

    OPENING = "opening"
    IMPORTING = "importing"
    MERGING = "merging"
    PUBLISHING = "publishing"
    BOUND_IMAGES = "bound_images"
    DEPLOYING = "deploying"
    CLEANUP = "cleanup"


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a pull is going to transfer, known before the first byte.

    Attributes:
        manifest_digest: The image, by the digest of its manifest.
        present: How many layers are in the repository already, by digest or by diff_id.
        present_bytes: Their compressed size.
        needed: How many layers will be fetched.
        needed_bytes: Their compressed size.
        difference: How it differs from the version that is stored under the same name, or None.
    """

    manifest_digest: Digest
    present: int
    present_bytes: int
    needed: int
    needed_bytes: int
    difference: LayerDifference | None = None


class Progress(Protocol):
    """Receiver of the events of one operation, in the order in which they happen."""

    def planned(self, transfer: Transfer) -> None:
        """The layers to fetch are known; called once, before any layer starts."""

    def layer_started(self, digest: Digest, *, kind: LayerKind, size: int) -> None:
        """A layer of *size* compressed bytes starts; again for each retry, from zero."""

    def layer_advanced(self, digest: Digest, count: int) -> None:
        """*count* more compressed bytes of the layer have arrived."""

    def layer_done(self, digest: Digest) -> None:
        """The layer is verified and written; never lost, unlike `layer_advanced`."""

    def step(self, step: Step) -> None:
        """*step* starts, and the step before it is complete."""

    def message(self, text: str) -> None:
        """*text* is a line of the result, for standard output."""

    def warning(self, text: str) -> None:
        """*text* tells of something survived, for standard error."""


class NullProgress:
    """Ignores every event."""

    def planned(self, transfer: Transfer) -> None:
        """Ignore it."""

    def layer_started(self, digest: Digest, *, kind: LayerKind, size: int) -> None:
        """Ignore it."""

    def layer_advanced(self, digest: Digest, count: int) -> None:
        """Ignore it."""

    def layer_done(self, digest: Digest) -> None:
        """Ignore it."""

    def step(self, step: Step) -> None:
        """Ignore it."""

    def message(self, text: str) -> None:
        """Ignore it."""

    def warning(self, text: str) -> None:
        """Ignore it."""
