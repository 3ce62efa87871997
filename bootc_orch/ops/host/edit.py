"""Change what a host follows, or what it boots, by editing its document."""

from __future__ import annotations

from dataclasses import dataclass

from bootc_orch.model.host.document import HostSpec
from bootc_orch.model.image.reference import OstreeImageReference
from orch_frame.errors import UsageError


@dataclass(frozen=True, slots=True)
class EditPlan:
    """What an edit asks for; at most one of both.

    Attributes:
        image: The image to follow from now on, or None.
        swap: Whether the other of the two deployments shall boot next.
    """

    image: OstreeImageReference | None = None
    swap: bool = False

    def __bool__(self) -> bool:
        """Say whether anything is to be done."""
        return self.swap or self.image is not None


def plan_edit(old: HostSpec, new: HostSpec) -> EditPlan:
    """Compare two specifications.

    Raises:
        UsageError: both the image and the boot order were changed, or the image was removed.
    """
    swap = old.boot_order != new.boot_order
    changed = old.image != new.image
    if changed and new.image is None:
        raise UsageError("spec.image cannot be removed.", hint="Leave it as status prints it.")
    if changed and swap:
        raise UsageError("Either spec.image or spec.bootOrder may be changed, not both at once.")
    return EditPlan(new.image if changed else None, swap)
