"""Decide what a ``sync`` has to do; touches nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from bound_images.sources.manifest import Blob
from bound_images.sources.resolve import ResolvedImage
from bound_images.storage.storeimages import StoredImage
from orch_frame.errors import OrchError, SpaceError

# A blob lies in the spool while its content is unpacked: at the least both take room at once.
SPACE_FACTOR = 2


class Action(StrEnum):
    """What has to be done for one image."""

    KEEP = "keep"  # it is there, it is right, and a record vouches for its content
    NAME = "name"  # the same, but its name is missing or stands for another image
    CHECK = "check"  # it is there, but no record vouches for its content
    FETCH = "fetch"  # it is not there, or not any more what the name stands for


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """What a sync does for one image.

    Attributes:
        resolved: The image.
        action: What to do.
        fetch: The layers to transfer.
        replaces: The id of the image that its name stands for until now, None if for none.
    """

    resolved: ResolvedImage
    action: Action
    fetch: tuple[Blob, ...] = ()
    replaces: str | None = None

    @property
    def bytes(self) -> int:
        """Compressed bytes to transfer for this image alone."""
        return sum(blob.size for blob in self.fetch)


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a sync does, image by image.

    Attributes:
        images: The images.
        errors: What could not be planned; empty unless failures were to be survived.
    """

    images: tuple[PlannedImage, ...]
    errors: tuple[OrchError, ...] = ()

    @property
    def bytes(self) -> int:
        """Compressed bytes to transfer, a layer that several images share counted once."""
        return sum({blob.digest: blob.size for i in self.images for blob in i.fetch}.values())

    @property
    def bytes_needed(self) -> int:
        """The least number of free bytes with which the fetch can succeed."""
        return self.bytes * SPACE_FACTOR

    def check_space(self, free: int, *, where: str) -> None:
        """Refuse what cannot fit.

        Raises:
            SpaceError: fewer than `bytes_needed` bytes are free.
        """
        if free < self.bytes_needed:
            raise SpaceError(
                f"At least {self.bytes_needed} bytes are needed at {where}, and {free} are free.",
                hint="Free some space, for example with prune.",
                path=where,
            )


def plan_sync(
    resolved: Iterable[ResolvedImage],
    stored: Collection[StoredImage],
    *,
    trusted: Collection[str],
    present_layers: Collection[str],
) -> SyncPlan:
    """Decide for each image what to do.

    Args:
        resolved: The images and what their names stand for now.
        stored: What the store holds.
        trusted: The ids of images whose content was verified and recorded.
        present_layers: The diff_ids of all layers in the store.
    """
    owners = {name: image.image_id for image in stored for name in image.names}
    ids = {image.image_id for image in stored}

    def planned(image: ResolvedImage) -> PlannedImage:
        owner = owners.get(image.canonical)
        old = owner if owner != image.image_id else None
        if image.image_id not in ids:
            return PlannedImage(image, Action.FETCH, _missing(image, present_layers), old)
        if image.image_id not in trusted:
            return PlannedImage(image, Action.CHECK, replaces=old)
        action = Action.KEEP if owner == image.image_id else Action.NAME
        return PlannedImage(image, action, replaces=old)

    return SyncPlan(tuple(map(planned, resolved)))


def _missing(image: ResolvedImage, present: Collection[str]) -> tuple[Blob, ...]:
    if len(image.layers) != len(image.diff_ids):
        return image.layers
    pairs = zip(image.layers, image.diff_ids, strict=True)
    return tuple(blob for blob, diff_id in pairs if diff_id not in present)
