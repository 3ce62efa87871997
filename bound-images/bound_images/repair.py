"""Read back images that nobody vouches for, and make room for whole ones where they are damaged."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace

from bound_images import verified
from bound_images.errors import StoreDamagedError
from bound_images.events import Event, Progress, State
from bound_images.parallel import Failures, for_each
from bound_images.plan import Action, PlannedImage, SyncPlan
from bound_images.store import ImageStore
from bound_images.where import state_directory

logger = logging.getLogger(__name__)


def checked(
    plan: SyncPlan, store: ImageStore, progress: Progress, *, jobs: int, failures: Failures
) -> SyncPlan:
    """Carry out every `Action.CHECK` of *plan*; return the plan of what is left to do.

    What is whole only needs its name.  What is damaged is removed, and every other image with it
    that a damaged layer belongs to: podman would otherwise find that layer and use it again.
    """

    def is_whole(image: PlannedImage) -> bool:
        progress(Event(image.resolved.canonical, State.CHECKING))
        return _is_whole(image.resolved.image_id, store)

    todo = [image for image in plan.images if image.action is Action.CHECK]
    answers = for_each(is_whole, todo, jobs=jobs, failures=failures)
    failures.stop("Some images could not be read back.")
    whole = dict(zip((image.resolved.image_id for image in todo), answers, strict=False))
    damaged = {image_id for image_id, answer in whole.items() if not answer}
    if damaged:
        _remove(damaged, store)
    return SyncPlan(tuple(_next(image, damaged) for image in plan.images))


def _next(image: PlannedImage, damaged: Collection[str]) -> PlannedImage:
    if image.resolved.image_id in damaged:
        return replace(image, action=Action.FETCH, fetch=image.resolved.layers)
    return replace(image, action=Action.NAME) if image.action is Action.CHECK else image


def _remove(damaged: Collection[str], store: ImageStore) -> None:
    """Remove *damaged*, and what is damaged among the images that share a layer with them."""
    layers = store.layers([image.image_id for image in store.images()])
    suspect = {diff_id for image_id in damaged for diff_id in layers.get(image_id, ())}
    relatives = {i for i, own in layers.items() if i not in damaged and suspect.intersection(own)}
    gone = {*damaged, *(i for i in relatives if not _is_whole(i, store))}
    verified.remove(state_directory(store.path), gone)
    for image_id in sorted(gone):
        logger.warning("The image %s is damaged, and removed.", image_id)
        store.remove(image_id)


def _is_whole(image_id: str, store: ImageStore) -> bool:
    try:
        store.read_back(image_id)
    except StoreDamagedError as error:
        logger.debug("%s: %s", error.summary, error.details)
        return False
    return True
