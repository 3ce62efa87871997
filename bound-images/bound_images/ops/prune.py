"""``prune``: remove from the store what no kept root is bound to, by the ids of the images."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bound_images.locking import locked
from bound_images.programs import Runner
from bound_images.rootfs import Root
from bound_images.storage import record as records
from bound_images.storage import verified
from bound_images.storage.store import ImageStore, open_store, sweep_spool
from bound_images.storage.storeimages import StoredImage
from bound_images.storage.unfinished import unfinished
from bound_images.units.scan import BoundImage, scan
from bound_images.where import (
    check_store,
    default_lock,
    private_directory,
    root_id,
    state_directory,
)
from orch_frame.errors import NotFoundError, OrchError, StoreDamagedError, UsageError
from orch_frame.lock import DEFAULT_TIMEOUT
from orch_frame.several import describe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """What has to stay.

    Attributes:
        image_ids: The ids in the lock files of kept roots.
        images: What the definitions of kept roots name, recorded or not.
        locks: The lock files that stay.
    """

    image_ids: frozenset[str]
    images: tuple[BoundImage, ...]
    locks: frozenset[Path]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune does.

    Attributes:
        remove: The images that go.
        keep: The images that stay.
        locks: Lock files of roots that are not kept, which go as well.
    """

    remove: tuple[StoredImage, ...]
    keep: tuple[StoredImage, ...]
    locks: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """The size of what goes; layers that it shares with what stays are counted all the same."""
        return sum(image.size for image in self.remove)


def plan_prune(stored: Iterable[StoredImage], kept: Kept, locks: Iterable[Path]) -> PrunePlan:
    """Choose from *stored* and *locks* what nothing in *kept* needs."""
    images = tuple(stored)
    needed = {i.image_id for i in images if i.image_id in kept.image_ids or _named(i, kept.images)}
    return PrunePlan(
        remove=tuple(image for image in images if image.image_id not in needed),
        keep=tuple(image for image in images if image.image_id in needed),
        locks=tuple(sorted(path for path in locks if path not in kept.locks)),
    )


def prune(
    store: Path,
    *,
    keep_roots: Sequence[Path],
    keep_locks: Sequence[Path] = (),
    apply: bool = True,
    lock_timeout: float = DEFAULT_TIMEOUT,
    runner: Runner | None = None,
) -> PrunePlan:
    """Remove from *store* every image that no kept root or lock file needs.

    Args:
        store: The store.
        keep_roots: Every root that may still be started.
        keep_locks: Further lock files whose images stay.
        apply: Whether to carry the plan out.
        lock_timeout: Seconds to wait for another process that uses the store.
        runner: Starts the programs.

    Raises:
        UsageError: no root is to be kept.
        NotFoundError: there is no store, or a root or lock file is missing.
        OrchError: a root or lock file cannot be read; nothing was removed then.
    """
    require_roots(keep_roots)
    check_store(store)
    if not store.is_dir():
        raise NotFoundError(f"There is no store at {store}.", path=str(store))
    store = store.absolute()
    state = state_directory(store)
    with private_directory() as work, locked(state, timeout=lock_timeout):
        kept = _kept(store, keep_roots, keep_locks)
        sweep_spool(state)
        with open_store(store, work=work, runner=runner or Runner()) as images:
            plan = plan_prune(images.images(), kept, state.glob("*.json"))
            if apply:
                apply_prune(plan, images)
    return plan


def require_roots(roots: Sequence[Path]) -> None:
    """Make sure that it was said which roots stay; without any, everything would go.

    Raises:
        UsageError: it was not.
    """
    if not roots:
        raise UsageError(
            "prune needs to know which roots to keep.", hint="Give --keep-root for each of them."
        )


def apply_prune(plan: PrunePlan, images: ImageStore) -> None:
    """Remove what *plan* names; what has already gone is no error.

    Raises:
        StoreDamagedError: an image is still there afterwards.
    """
    gone = {image.image_id for image in plan.remove}
    state = state_directory(images.path)
    verified.remove(state, gone)
    if gone:
        with unfinished(state):
            for image in plan.remove:
                logger.info("Removing %s.", ", ".join(image.names) or image.image_id)
                images.remove(image.image_id)
            images.flush()
    if left := gone & {image.image_id for image in images.images()}:
        raise StoreDamagedError(f"podman did not remove {len(left)} images.", details=str(left))
    for path in plan.locks:
        path.unlink(missing_ok=True)


def _kept(store: Path, roots: Sequence[Path], locks: Sequence[Path]) -> Kept:
    """Read everything that is kept; whatever cannot be read stops the prune."""
    found: list[BoundImage] = []
    files = {path.absolute() for path in locks}
    for path in roots:
        root = Root(path)
        if not root.is_dir("/usr"):
            # The mount point of a root that is not mounted would be bound to nothing.
            raise NotFoundError(
                f"{path} has no usr, so it is no root, and nothing is removed.",
                hint="Mount the root, or do not keep it.",
                path=str(path),
            )
        result = scan(root)
        if result.errors:
            raise _unreadable(path, result.errors)
        found.extend(result.images)
        own = default_lock(store, root_id(root))
        if own.exists():
            files.add(own)
    ids = {image_id for file in sorted(files) for image_id in records.read(file).image_ids}
    return Kept(frozenset(ids), tuple(found), frozenset(files))


def _named(image: StoredImage, wanted: Collection[BoundImage]) -> bool:
    return any(_is_name_of(name, bound) for name in image.names for bound in wanted)


def _is_name_of(name: str, bound: BoundImage) -> bool:
    if name == bound.key:
        return True
    repository = bound.key.rpartition(":")[0]
    return bool(bound.options.all_tags) and name.startswith(f"{repository}:")


def _unreadable(path: Path, causes: Sequence[OrchError]) -> OrchError:
    return type(causes[0])(
        f"{path} cannot be read, so nothing is removed.",
        details="\n".join(line for cause in causes for line in describe(cause)),
        hint="Repair the root, or do not keep it.",
        path=causes[0].path,
    )
