"""The app images that an OS image is bound to: the only module that imports `bound_images`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bootc_orch.errors import OrchError
from bootc_orch.model.deployment import Deployment
from bootc_orch.ops.new_root import CommitTree
from bootc_orch.ops.progress import Progress
from bootc_orch.tools.sysroot import Sysroot

BOUND_DIRECTORY = "usr/lib/bootc/bound-images.d"


@dataclass(frozen=True, slots=True)
class BoundOptions:
    """How app images are pulled."""

    skip: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """App images that are in the store."""


def is_bound(tree: CommitTree) -> bool:
    """Say whether the image of *tree* binds app images."""
    folder = tree.directory(BOUND_DIRECTORY)
    return folder is not None and bool(folder.files)


def prepare(
    root: Path | None, sysroot: Sysroot, options: BoundOptions, progress: Progress
) -> Prepared | None:
    """Pull."""
    if root is not None and (root / BOUND_DIRECTORY).is_dir():
        raise OrchError("bound images")
    return None


def record(prepared: Prepared | None, sysroot: Sysroot, deployment: Deployment) -> None:
    """Record."""


def collect(sysroot: Sysroot, options: BoundOptions, progress: Progress) -> None:
    """Collect."""
