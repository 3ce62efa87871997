"""Pull an OS image into an ostree repository.

`pull_image` is the whole of it, a call for each step.  Nothing has a ref before it was verified,
and the image's ref is the last thing that is written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.ops.importing.assemble import commit_image, describe, merge_layers
from bootc_orch.ops.importing.fetch import fetch_layers
from bootc_orch.ops.importing.publish import LayersVanishedError, publish_image
from bootc_orch.ops.importing.recover import keep_finished_layers, recover
from bootc_orch.ops.importing.staging import Staging, object_mode, open_staging, writable_mode
from bootc_orch.ops.opening.open_image import open_image, with_policy
from bootc_orch.ops.opening.pull_plan import (
    OpenedImage,
    PullOptions,
    PullPlan,
    PullRequest,
    PullResult,
    Unchanged,
    plan_image,
)
from bootc_orch.ops.opening.signature import RemoteVerifier, remote_verifier
from bootc_orch.ops.opening.source import Source
from bootc_orch.ops.opening.vouching import find_policy, note_vouched, require_vouched
from bootc_orch.ops.stored.lock import locked
from bootc_orch.ops.stored.notes import write_cached_update
from bootc_orch.ops.stored.progress import Progress, Step
from bootc_orch.ops.stored.store import CachedUpdate, ImageState, refuse_collision
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import (
    LockedError,
    OrchError,
    StoreDamagedError,
    TransientError,
)
from orch_frame.os_errors import from_os_error

logger = logging.getLogger(__name__)


def pull(
    path: Path, reference: OstreeImageReference, options: PullOptions, progress: Progress
) -> PullResult:
    """Pull an image into the repository at *path*.

    Args:
        path: The repository; ``bare``, ``bare-user`` or ``archive``.
        reference: The image and who vouches for it.
        options: How to pull.
        progress: Told of what happens; warnings go there as well as into the result.

    Raises:
        OrchError: the image could not be had; no ref names anything that is not whole and verified.
    """
    repo = Repo(path)
    writable_mode(repo)
    request = PullRequest(repo, reference, with_policy(options, reference), progress)
    with locked(repo.path, exclusive=False, timeout=options.transfer.lock_timeout):
        recover(repo)
        try:
            result = pull_image(request)
        except LayersVanishedError as error:
            progress.warning(f"{error.summary} Pulling again.")
            result = pull_image(request)
    if options.gc and result.changed:
        progress.step(Step.CLEANUP)
        _collect(repo, progress)
    return result


def plan_pull(
    path: Path, reference: OstreeImageReference, options: PullOptions, progress: Progress
) -> PullPlan | None:
    """Say what `pull` would do, and change nothing; None if the image is there already.

    Raises:
        OrchError: the image cannot be opened, or is not one.
    """
    repo = Repo(path)
    object_mode(repo)
    request = PullRequest(repo, reference, with_policy(options, reference), progress)
    with (
        locked(repo.path, exclusive=False, timeout=options.transfer.lock_timeout),
        Source(request.image, request.options.proxy) as source,
    ):
        image = open_image(request, source)
        return None if isinstance(image, Unchanged) else plan_image(repo, image)


def judge_stored(request: PullRequest, state: ImageState) -> None:
    """Make sure that a stored image may be used as the one of *request*, without a network.

    Raises:
        PolicyError: who must vouch for it does not, or was never asked.
        NotFoundError: there is no such ostree remote.
    """
    policy = find_policy(request.reference, request.options.policy)
    require_vouched(request.repo, request.reference, state.manifest_digest, policy)
    if verifier := remote_verifier(request):
        verifier.verify_stored(state)


def pull_image(request: PullRequest) -> PullResult:
    """Open, plan, fetch, merge, commit, publish: the whole of a pull.

    Raises:
        LayersVanishedError: another program removed what was being used; it may be tried again.
        OrchError: the image could not be had.
    """
    repo, progress = request.repo, request.progress
    with _naming_image(request), Source(request.image, request.options.proxy) as source:
        progress.step(Step.OPENING)
        verifier = remote_verifier(request)
        image = open_image(request, source)
        if isinstance(image, Unchanged):
            return _keep_stored(request, image, verifier)
        refuse_collision(repo, request.name)
        _note_update(request, image)
        plan = plan_image(repo, image)
        with open_staging(repo) as staging, _keeping_finished_layers(staging):
            imported = fetch_layers(request, plan, source, staging, verifier)
            progress.step(Step.MERGING)
            flat = merge_layers(plan, imported, staging)
            commit = commit_image(flat, request.options.importer_version)
            progress.step(Step.PUBLISHING)
            publish_image(request, plan, flat, commit, staging)
            note_vouched(repo, request.reference, image.digest, image.policy)
            warnings = describe(imported, flat)
    for text in warnings:
        progress.warning(text)
    return PullResult(commit, image.digest, changed=True, plan=plan, warnings=warnings)


@contextmanager
def _naming_image(request: PullRequest) -> Iterator[None]:
    """Let errors say which image they are about."""
    try:
        yield
    except OrchError as error:
        error.locate(image=str(request.image))
        raise
    except OSError as error:
        problem = from_os_error(error, place=request.repo.path)
        raise problem.locate(image=str(request.image)) from error


@contextmanager
def _keeping_finished_layers(staging: Staging) -> Iterator[None]:
    """Keep the layers that are finished when the source fails or the user has had enough.

    Of an image that is bad nothing is kept.
    """
    try:
        yield
    except (TransientError, KeyboardInterrupt):
        keep_finished_layers(staging)
        raise


def _keep_stored(
    request: PullRequest, image: Unchanged, verifier: RemoteVerifier | None
) -> PullResult:
    """Leave an image that has not changed as it is, if it still may be there."""
    state = image.stored
    if verifier is not None:
        verifier.verify_stored(state)
    note_vouched(request.repo, request.reference, state.manifest_digest, image.policy)
    return PullResult(state.merge_commit, state.manifest_digest, changed=False)


def _note_update(request: PullRequest, image: OpenedImage) -> None:
    """Note beside the version that is stored which newer one was seen."""
    if image.stored is not None and request.options.named:
        update = CachedUpdate(image.digest, image.manifest, image.config)
        write_cached_update(request.repo, image.stored.merge_commit, update)


def _collect(repo: Repo, progress: Progress) -> None:
    """Remove refs of layers that no image needs; their objects go when garbage is collected.

    Where other processes use the repository, the last of them does it.  What is damaged, which may
    be another image, is no fault of the one that was pulled.
    """
    from bootc_orch.ops.stored.prune import delete_layers, unused_layers

    try:
        with locked(repo.path, exclusive=True, timeout=0):
            delete_layers(repo, unused_layers(repo))
    except LockedError:
        logger.info("Other processes use the repository; unused layers are removed later.")
    except StoreDamagedError as error:
        progress.warning(f"Unused layers are not removed. {error.summary} {error.hint or ''}")
