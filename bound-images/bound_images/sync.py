"""``sync``: plan, space check, pull, verify, record, in this order and never in another."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bound_images import record as records
from bound_images import verified
from bound_images.access import AccessBroker
from bound_images.errors import BoundImagesError, NotFoundError
from bound_images.events import Progress, silent
from bound_images.fetch import Fetcher
from bound_images.locking import locked
from bound_images.parallel import Failures, for_each
from bound_images.plan import Action, PlannedImage, SyncPlan
from bound_images.planner import Planner
from bound_images.programs import Runner
from bound_images.record import LockedImage, Record
from bound_images.resolve import Resolver
from bound_images.rootfs import Root
from bound_images.settings import SyncOptions
from bound_images.source import RegistrySource, open_source
from bound_images.store import ImageStore, open_store, sweep_spool
from bound_images.where import private_directory, state_directory


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
    with _opened(root, store, options, runner or Runner(), create=False) as (images, resolver):
        failures = Failures(keep_going=options.keep_going)
        return Planner(root, images, lock, options, resolver, progress, failures).plan()


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
    with _opened(root, store, options, runner or Runner(), create=True) as (images, resolver):
        assert images is not None
        failures = Failures(keep_going=options.keep_going)
        todo = Planner(root, images, lock, options, resolver, progress, failures).plan()
        todo.check_space(shutil.disk_usage(store).free, where=str(store))
        done = _fetched(todo, Fetcher(images, root, progress, options), options, failures)
        new = Record(tuple(map(_locked_image, done)))
        _check_names(new, images)
        images.flush()
        verified.add(state_directory(store), new.image_ids)
        records.write(lock, new)
        return SyncResult(todo, new, failures.errors)


def _fetched(
    todo: SyncPlan, fetcher: Fetcher, options: SyncOptions, failures: Failures
) -> list[PlannedImage]:
    def apply(image: PlannedImage) -> PlannedImage:
        fetcher.apply(image)
        return image

    done = for_each(apply, todo.images, jobs=options.jobs, failures=failures)
    failures.stop("Some images could not be fetched.")
    return done


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


def _locked_image(planned: PlannedImage) -> LockedImage:
    found = planned.resolved
    return LockedImage(
        reference=found.image.reference,
        canonical=found.canonical,
        digest=found.digest,
        image_id=found.image_id,
        options=found.image.options.as_keys(),
        sources=found.image.sources,
    )


@contextmanager
def _opened(
    root: Root, store: Path, options: SyncOptions, runner: Runner, *, create: bool
) -> Iterator[tuple[ImageStore | None, Resolver]]:
    """Lock and open the store, unless it is missing and not to be made, and the source."""
    with ExitStack() as stack:
        work = stack.enter_context(private_directory())
        images, spool = None, work
        if create or store.is_dir():
            state = state_directory(store)
            stack.enter_context(locked(state, shared=not create, timeout=options.lock_timeout))
            if create:
                sweep_spool(state)
            images = stack.enter_context(open_store(store, work=work, runner=runner, create=create))
            spool = images.spool
        source = stack.enter_context(open_source(options.source, spool=spool, runner=runner))
        if isinstance(source, RegistrySource):
            source = replace(
                source, allow_transports=options.allow_transports, offline=options.offline
            )
        broker = AccessBroker(
            work, root, auth_file=options.auth_file, tls_verify=options.tls_verify
        )
        yield images, Resolver(runner, broker, source, options)
