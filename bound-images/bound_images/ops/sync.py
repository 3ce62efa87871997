"""``sync``: plan, space check, pull, verify, record, in this order and never in another."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bound_images.events import Progress, silent
from bound_images.ops.fetch import Fetcher
from bound_images.ops.plan import Action, PlannedImage, SyncPlan
from bound_images.ops.planner import Planner
from bound_images.ops.repair import apply_checks, recover
from bound_images.ops.session import open_session
from bound_images.parallel import Failures, for_each
from bound_images.programs import Runner
from bound_images.rootfs import Root
from bound_images.settings import SyncOptions
from bound_images.storage import record as records
from bound_images.storage import verified
from bound_images.storage.labels import label_store
from bound_images.storage.record import LockedImage, Record
from bound_images.storage.store import ImageStore
from bound_images.storage.unfinished import unfinished
from bound_images.units.options import PullOptions
from bound_images.units.quadlet import UnitType
from bound_images.units.scan import BoundImage, scan
from bound_images.where import state_directory
from orch_frame.errors import NotFoundError, OrchError

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
    errors: tuple[OrchError, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything in the store is different now."""
        return any(image.action is not Action.KEEP for image in self.plan.images)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where images go.

    Attributes:
        store: The store.
        lock: The lock file in which they are recorded.
    """

    store: Path
    lock: Path


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
        OrchError: as `sync`, but for what only a pull finds out.
    """
    options = options or SyncOptions()
    failures = Failures(keep_going=options.keep_going)
    pinned = records.read(lock) if options.pinned else None
    with open_session(root, store, options, runner or Runner(), create=False) as session:
        planner = Planner(session, options, progress, failures)
        todo = planner.plan(bound_images_of(root, failures), pinned)
    return replace(todo, errors=failures.errors)


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
        OrchError: a definition cannot be read, or an image cannot be resolved or fetched;
            a `SeveralError` where more than one did.
    """
    options = options or SyncOptions()
    job = _Job(root, Destination(store, lock), options, progress, runner or Runner())
    pinned = records.read(lock) if options.pinned else None
    return job.run(bound_images_of(root, job.failures), pinned)


def import_images(
    record: Record,
    root: Root | None,
    destination: Destination,
    options: SyncOptions,
    *,
    progress: Progress = silent,
    runner: Runner | None = None,
) -> SyncResult:
    """Bring every image of *record* to *destination* as it says.

    *root* is the root whose SELinux policy labels the store, None for no labels.

    Raises:
        OrchError: as `sync`.
    """
    job = _Job(root, destination, options, progress, runner or Runner())
    return job.run(tuple(map(bound_image_of, record.images)), record)


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
        OrchError: a definition cannot be read, or an image cannot be resolved.
    """
    options = options or SyncOptions()
    failures = Failures(keep_going=False)
    with open_session(root, store, options, runner or Runner(), create=False) as session:
        todo = Planner(session, options, progress, failures).plan(
            bound_images_of(root, failures), None
        )
    new = Record(tuple(map(record_image, todo.images)))
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


class _Job:
    """One run of `sync`, from the definitions to the lock file."""

    def __init__(
        self,
        root: Root | None,
        destination: Destination,
        options: SyncOptions,
        progress: Progress,
        runner: Runner,
    ) -> None:
        self._root = root
        self._store = destination.store
        self._lock = destination.lock
        self._options = options
        self._progress = progress
        self._runner = runner
        self.failures = Failures(keep_going=options.keep_going)

    def run(self, bound: Sequence[BoundImage], pinned: Record | None) -> SyncResult:
        with open_session(
            self._root, self._store, self._options, self._runner, create=True
        ) as session:
            images = session.store
            assert images is not None
            recover(images, jobs=self._options.jobs, failures=self.failures)
            planner = Planner(session, self._options, self._progress, self.failures)
            todo = planner.plan(bound, pinned)
            images.wait()
            todo.check_space(shutil.disk_usage(self._store).free, where=str(self._store))
            done = self._bring(todo, images)
            new = Record(tuple(map(record_image, done)))
            _check_names(new, images)
            verified.add(state_directory(self._store), new.image_ids)
            records.write(self._lock, new)
        return SyncResult(todo, new, self.failures.errors)

    def _bring(self, todo: SyncPlan, images: ImageStore) -> list[PlannedImage]:
        """Have all images of *todo* whole in the store and on the disk; return those that are."""
        images.share = min(self._options.jobs, max(1, len(todo.images)))
        changes = any(image.action is not Action.KEEP for image in todo.images)
        with unfinished(state_directory(self._store)) if changes else nullcontext():
            done = self._fetch(self._check(todo, images), images)
            label_store(self._store, self._root)
            if changes:
                images.flush()
        return done

    def _check(self, todo: SyncPlan, images: ImageStore) -> SyncPlan:
        jobs = self._options.jobs
        return apply_checks(todo, images, self._progress, jobs=jobs, failures=self.failures)

    def _fetch(self, todo: SyncPlan, images: ImageStore) -> list[PlannedImage]:
        fetcher = Fetcher(images, self._root, self._progress, self._options)

        def apply(image: PlannedImage) -> PlannedImage:
            fetcher.apply(image)
            return image

        done = for_each(
            apply,
            # The largest first, so that none is left for the end with nothing to go beside it.
            sorted(todo.images, key=lambda image: -image.bytes),
            jobs=self._options.jobs,
            failures=self.failures,
            needs=_large_layers,
        )
        self.failures.stop("Some images could not be fetched.")
        return [image for image in todo.images if image in done]


def bound_images_of(root: Root, failures: Failures) -> tuple[BoundImage, ...]:
    """Return what *root* is bound to; entries that cannot be read go to *failures*.

    Raises:
        OrchError: an entry cannot be read, and that is not to be survived.
    """
    found = scan(root)
    failures.add(*found.errors)
    failures.stop("Some definitions cannot be read.")
    return found.images


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


def record_image(planned: PlannedImage) -> LockedImage:
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
