"""Read back images that nobody vouches for, and make room for whole ones where they are damaged."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from bound_images.events import Event, Progress, State
from bound_images.ops.plan import Action, PlannedImage, SyncPlan
from bound_images.parallel import Failures, for_each
from bound_images.storage import verified
from bound_images.storage.store import ImageStore
from bound_images.storage.storelists import forget, image_ids
from bound_images.storage.unfinished import clear, was_cut_off
from bound_images.where import state_directory
from orch_frame.errors import StoreDamagedError

logger = logging.getLogger(__name__)


def apply_checks(
    plan: SyncPlan, store: ImageStore, progress: Progress, *, jobs: int, failures: Failures
) -> SyncPlan:
    """Carry out every `Action.CHECK` of *plan*; return the plan of what is left to do.

    What is whole only needs its name.  What is damaged is removed, and every other image with it
    that a damaged layer belongs to: podman would otherwise find that layer and use it again.
    """

    def answer(image: PlannedImage) -> tuple[str, bool]:
        progress(Event(image.resolved.canonical, State.CHECKING))
        return image.resolved.image_id, _is_whole(image.resolved.image_id, store)

    todo = [image for image in plan.images if image.action is Action.CHECK]
    whole = dict(for_each(answer, todo, jobs=jobs, failures=failures))
    failures.stop("Some images could not be read back.")
    if damaged := {image_id for image_id, is_whole in whole.items() if not is_whole}:
        _remove(damaged, store)
    return SyncPlan(tuple(_next(plan, whole)))


def recover(store: ImageStore, *, jobs: int, failures: Failures) -> None:
    """Remove what a power cut left half done; the caller alone uses the store.

    Every image that nobody vouches for is read back, and stays if it is whole.

    Raises:
        OrchError: something cannot be removed, or the lists of the store are no lists.
    """
    state = state_directory(store.path)
    if not was_cut_off(state):
        return
    logger.warning("The machine went down while %s was changed; looking for damage.", store.path)
    known = verified.read(state)
    doubtful = [image_id for image_id in image_ids(store.path) if image_id not in known]
    whole = for_each(
        lambda image_id: (image_id, _is_whole(image_id, store)),
        doubtful,
        jobs=jobs,
        failures=failures,
    )
    failures.stop("Some images could not be read back.")
    damaged = {image_id for image_id, is_whole in whole if not is_whole}
    for image_id in sorted(damaged):
        logger.warning("The image %s is damaged, and removed.", image_id)
    forget(store.path, damaged)
    store.flush()
    verified.add(state, [image_id for image_id, is_whole in whole if is_whole])
    clear(state)


def _next(plan: SyncPlan, whole: Mapping[str, bool]) -> Iterator[PlannedImage]:
    """Yield what is left to do; an image that could not be read back is left out."""
    for image in plan.images:
        is_whole = whole.get(image.resolved.image_id)
        if image.action is not Action.CHECK:
            yield image
        elif is_whole is not None:
            fetch = () if is_whole else image.resolved.layers
            yield replace(image, action=Action.NAME if is_whole else Action.FETCH, fetch=fetch)


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
