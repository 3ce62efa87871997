"""``sync``: plan, space check, pull, verify, record, in this order and never in another."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bound_images import record as records
from bound_images import verified
from bound_images.errors import BoundImagesError, NotFoundError
from bound_images.events import Progress, silent
from bound_images.fetch import Fetcher
from bound_images.labels import label_store
from bound_images.options import PullOptions
from bound_images.parallel import Failures, for_each
from bound_images.plan import Action, PlannedImage, SyncPlan
from bound_images.planner import Planner
from bound_images.programs import Runner
from bound_images.quadlet import UnitType
from bound_images.record import LockedImage, Record
from bound_images.repair import checked
from bound_images.rootfs import Root
from bound_images.scan import BoundImage, scan
from bound_images.session import opened
from bound_images.settings import SyncOptions
from bound_images.store import ImageStore
from bound_images.where import state_directory

# Bytes from which on fetching a layer twice costs more than waiting for it.
LARGE_LAYER = 4 << 20


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a sync did.

    Attributes:
        plan: What it planned.
        record: What it wrote to the lock file.
        errors: What failed; empty unless failures were to be survived.
    """

    plan: SyncPlan
    record: Record
    errors: tuple[BoundImagesError, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything in the store is different now."""
        return any(image.action is not Action.KEEP for image in self.plan.images)


def plan(
    root: Root,
    store: Path,
    lock: Path,
    options: SyncOptions | None = None,
    *,
    progress: Progress = silent,
    runner: Runner | None = None,
) -> SyncPlan:
    """Return what `sync` would do; the store and the lock file stay as they are.

    Raises:
        BoundImagesError: as `sync`, but for what only a pull finds out.
    """
    options = options or SyncOptions()
    failures = Failures(keep_going=options.keep_going)
    pinned = records.read(lock) if options.pinned else None
    with opened(root, store, options, runner or Runner(), create=False) as session:
        return Planner(session, options, progress, failures).plan(
            bound_images_of(root, failures), pinned
        )


def sync(
    root: Root,
    store: Path,
    lock: Path,
    options: SyncOptions | None = None,
    *,
    progress: Progress = silent,
    runner: Runner | None = None,
) -> SyncResult:
    """Bring every image that *root* is bound to into *store*, and record them in *lock*.

    What was fetched before a failure stays in the store for the next run; the lock file is
    written only when all is there and flushed.

    Raises:
        BoundImagesError: a definition cannot be read, or an image cannot be resolved or fetched;
            a `SeveralError` where more than one did.
    """
    options = options or SyncOptions()
    failures = Failures(keep_going=options.keep_going)
    pinned = records.read(lock) if options.pinned else None
    return _synced(
        bound_images_of(root, failures),
        pinned,
        root,
        store,
        lock,
        options,
        progress,
        runner,
        failures,
    )


def import_images(
    record: Record,
    root: Root | None,
    store: Path,
    lock: Path,
    options: SyncOptions,
    *,
    progress: Progress = silent,
    runner: Runner | None = None,
) -> SyncResult:
    """Bring every image of *record* into *store* as it says, and record them in *lock*.

    *root* is the root whose SELinux policy labels the store, None for no labels.

    Raises:
        BoundImagesError: as `sync`.
    """
    failures = Failures(keep_going=options.keep_going)
    images = tuple(map(bound_image_of, record.images))
    return _synced(images, record, root, store, lock, options, progress, runner, failures)


def lock_images(
    root: Root,
    store: Path | None,
    lock: Path,
    options: SyncOptions | None = None,
    *,
    progress: Progress = silent,
    runner: Runner | None = None,
) -> Record:
    """Record in *lock* what the images of *root* stand for now, without fetching any.

    Raises:
        BoundImagesError: a definition cannot be read, or an image cannot be resolved.
    """
    options = options or SyncOptions()
    failures = Failures(keep_going=False)
    with opened(root, store, options, runner or Runner(), create=False) as session:
        todo = Planner(session, options, progress, failures).plan(
            bound_images_of(root, failures), None
        )
    new = Record(tuple(map(locked_image, todo.images)))
    records.write(lock, new)
    return new


def bound_image_of(image: LockedImage) -> BoundImage:
    """Return a bound image that is as good as the one that *image* was recorded for.

    What was secret in its options is gone: it can be found locally, not in its registry.
    """
    options = PullOptions.from_keys(image.options)
    name = PurePosixPath(image.sources[0]).name if image.sources else ""
    return BoundImage(
        name, UnitType.IMAGE, image.reference, image.canonical, options, image.sources or ("",)
    )


def _synced(
    bound: Sequence[BoundImage],
    pinned: Record | None,
    root: Root | None,
    store: Path,
    lock: Path,
    options: SyncOptions,
    progress: Progress,
    runner: Runner | None,
    failures: Failures,
) -> SyncResult:
    with opened(root, store, options, runner or Runner(), create=True) as session:
        images = session.store
        assert images is not None
        todo = Planner(session, options, progress, failures).plan(bound, pinned)
        images.wait()
        todo.check_space(shutil.disk_usage(store).free, where=str(store))
        images.share = min(options.jobs, max(1, len(todo.images)))
        left = checked(todo, images, progress, jobs=options.jobs, failures=failures)
        fetcher = Fetcher(images, root, progress, options)
        fetches = any(image.action is Action.FETCH for image in left.images)
        state = state_directory(store)
        with (
            verified.unfinished(state)
            if fetches
            else nullcontext(enter_result=False) as was_cut_off
        ):
            done = _fetched(left, fetcher, options, failures)
            if was_cut_off:
                again = checked(
                    _in_doubt(done), images, progress, jobs=options.jobs, failures=failures
                )
                _fetched(again, fetcher, options, failures)
            label_store(store, root)
            if any(image.action is not Action.KEEP for image in todo.images):
                images.flush()
        new = Record(tuple(map(locked_image, done)))
        _check_names(new, images)
        verified.add(state, new.image_ids)
        records.write(lock, new)
    return SyncResult(todo, new, failures.errors)


def bound_images_of(root: Root, failures: Failures) -> tuple[BoundImage, ...]:
    """Return what *root* is bound to; entries that cannot be read go to *failures*.

    Raises:
        BoundImagesError: an entry cannot be read, and that is not to be survived.
    """
    found = scan(root)
    failures.add(*found.errors)
    failures.stop("Some definitions cannot be read.")
    return found.images


def _in_doubt(done: Sequence[PlannedImage]) -> SyncPlan:
    """Return the plan to read back what was fetched on top of what a power cut may have left.

    podman takes a layer that is listed for whole, and does not fetch it again.
    """
    fetched = [image for image in done if image.action is Action.FETCH]
    return SyncPlan(tuple(replace(image, action=Action.CHECK) for image in fetched))


def _fetched(
    todo: SyncPlan, fetcher: Fetcher, options: SyncOptions, failures: Failures
) -> list[PlannedImage]:
    def apply(image: PlannedImage) -> PlannedImage:
        fetcher.apply(image)
        return image

    # The largest first, so that none of them is left for the end with nothing to go beside it.
    order = sorted(todo.images, key=lambda image: -image.bytes)
    done = for_each(apply, order, jobs=options.jobs, failures=failures, needs=_large_layers)
    failures.stop("Some images could not be fetched.")
    return [image for image in todo.images if image in done]


def _large_layers(image: PlannedImage) -> set[str]:
    """Return the layers that two transfers must not fetch at the same time.

    The second finds them in the store after the first; programs side by side do not see them.
    """
    return {blob.digest for blob in image.fetch if blob.size >= LARGE_LAYER}


def _check_names(new: Record, images: ImageStore) -> None:
    """Make sure that the store has every image of *new* under its name.

    Raises:
        NotFoundError: something else has changed the store meanwhile.
    """
    owners = {name: image.image_id for image in images.images() for name in image.names}
    for image in new.images:
        if owners.get(image.canonical) != image.image_id:
            raise NotFoundError(
                f"{image.canonical} has gone from the store while this was running.",
                image=image.reference,
            )


def locked_image(planned: PlannedImage) -> LockedImage:
    """Return what the lock file says of an image."""
    found = planned.resolved
    return LockedImage(
        reference=found.image.reference,
        canonical=found.canonical,
        digest=found.digest,
        image_id=found.image_id,
        options=found.image.options.as_keys(),
        sources=found.image.sources,
    )
