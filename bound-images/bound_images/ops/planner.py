"""From the definitions of a root to the plan of a ``sync``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from bound_images.events import Event, Progress, State
from bound_images.ops.plan import SyncPlan, plan_sync
from bound_images.ops.session import Session
from bound_images.parallel import Failures, for_each
from bound_images.settings import SyncOptions
from bound_images.sources.resolve import ResolvedImage
from bound_images.storage import verified
from bound_images.storage.record import Record
from bound_images.storage.storeimages import StoredImage
from bound_images.units.options import Policy
from bound_images.units.scan import ARTIFACT, ARTIFACT_REMEDY, BoundImage
from bound_images.where import state_directory
from orch_frame.errors import NotFoundError, OrchError, ToolError


class Planner:
    """Finds out what images stand for, and what the store lacks.

    Args:
        session: The store and the resolver.
        options: How to go about it.
        progress: Told of every image.
        failures: Told of what cannot be resolved.
    """

    def __init__(
        self, session: Session, options: SyncOptions, progress: Progress, failures: Failures
    ) -> None:
        self._store = session.store
        self._resolver = session.resolver
        self._options = options
        self._progress = progress
        self._failures = failures
        store = session.store
        self._stored = store.images() if store and store.creation is None else ()
        # Without a store nothing is compared, and an export wants all documents.
        self._ids = {i.image_id for i in self._stored} if session.store else None

    def plan(self, bound: Iterable[BoundImage], pinned: Record | None) -> SyncPlan:
        """Resolve and compare.

        Args:
            bound: The images that are wanted.
            pinned: What they are to be, None for what their names stand for now.

        Raises:
            OrchError: something cannot be resolved, and that is not to be survived.
        """
        images = [each for image in bound for each in self._expand(image)]
        resolved = for_each(
            lambda image: self._resolve_one(image, pinned),
            images,
            jobs=self._options.jobs,
            failures=self._failures,
        )
        self._failures.stop("Some images could not be resolved.")
        return plan_sync(
            resolved,
            self._stored,
            trusted=self._trusted(),
            present_layers=self._present_layers(),
        )

    def _present_layers(self) -> set[str]:
        if self._store is None:
            return set()
        layers = self._store.layers([image.image_id for image in self._stored])
        return {diff_id for image in layers.values() for diff_id in image}

    def _expand(self, image: BoundImage) -> tuple[BoundImage, ...]:
        try:
            return self._resolver.expand(image)
        except OrchError as error:
            self._failures.add(error.locate(image=image.reference, path=image.sources[0]))
            return ()

    def _resolve_one(self, image: BoundImage, pinned: Record | None) -> ResolvedImage:
        self._progress(Event(image.key, State.RESOLVING))
        try:
            if image.artifact:
                raise ToolError(f"{image.reference} is {ARTIFACT}", hint=ARTIFACT_REMEDY)
            if pinned is None:
                found = self._by_policy(image) or self._not_newer(
                    self._resolver.resolve(image, stored=self._ids)
                )
            else:
                found = self._pinned(image, pinned)
        except OrchError as error:
            error.locate(image=image.reference, path=image.sources[0])
            self._progress(Event(image.key, State.FAILED, detail=error.summary))
            raise
        self._progress(Event(image.key, State.RESOLVED, detail=found.digest))
        return found

    def _pinned(self, image: BoundImage, pinned: Record) -> ResolvedImage:
        """Return what the lock file says, from the store where it has that."""
        entry = pinned.find(image.key)
        if entry is None:
            raise NotFoundError(
                f"The lock file does not say what {image.key} is.",
                hint="Run sync or lock without --locked.",
            )
        for stored in self._stored:
            if stored.image_id == entry.image_id:
                return self._resolver.in_store(image, stored.image_id, entry.digest)
        return self._resolver.resolve(image, digest=entry.digest, stored=self._ids)

    def _by_policy(self, image: BoundImage) -> ResolvedImage | None:
        """Return what is in the store where ``Policy=missing`` or ``never`` is content with it."""
        policy = self._policy(image)
        if policy not in (Policy.MISSING, Policy.NEVER):
            return None
        if stored := self._find_named(image.key):
            return self._resolver.in_store(image, stored.image_id, stored.digest)
        if policy is Policy.NEVER:
            raise NotFoundError(
                f"{image.key} is not in the store, and Policy=never forbids to fetch it."
            )
        return None

    def _not_newer(self, found: ResolvedImage) -> ResolvedImage:
        """Return what is in the store where ``Policy=newer`` finds nothing newer, else *found*."""
        stored = self._find_named(found.canonical)
        if self._policy(found.image) is not Policy.NEWER or stored is None:
            return found
        if _seconds(found.created) > stored.created:
            return found
        return self._resolver.in_store(found.image, stored.image_id, stored.digest)

    def _policy(self, image: BoundImage) -> Policy:
        if self._options.transfer.offline:
            return Policy.MISSING
        return Policy.ALWAYS if self._options.refresh else image.options.wanted_policy

    def _find_named(self, name: str) -> StoredImage | None:
        return next((image for image in self._stored if name in image.names), None)

    def _trusted(self) -> frozenset[str]:
        """Return the ids of the images that were whole, and flushed."""
        if self._options.verify or self._store is None:
            return frozenset()
        return verified.read(state_directory(self._store.path))


def _seconds(created: str) -> float:
    """Return RFC 3339 *created* in seconds since 1970, 0 where it is none."""
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return 0.0
