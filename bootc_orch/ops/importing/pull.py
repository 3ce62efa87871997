"""Pull an OS image into an ostree repository.

`_bring` is the whole of it, a call for each step.  Nothing has a ref before it was verified, and
the image's ref is the last thing that is written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.model.image.reference import ImageReference, OstreeImageReference, Transport
from bootc_orch.ops.importing.assemble import (
    commit_image,
    describe,
    merge_layers,
    prepare_publication,
)
from bootc_orch.ops.importing.fetch import FetchOptions, fetch_layers, require_space
from bootc_orch.ops.importing.layer import BaseTree, ImportedLayer
from bootc_orch.ops.importing.open_image import open_image, with_policy
from bootc_orch.ops.importing.publish import LayersVanishedError, publish
from bootc_orch.ops.importing.pull_plan import (
    LayerAction,
    OpenedImage,
    PullOptions,
    PullPlan,
    PullResult,
    VarContent,
    plan_image,
)
from bootc_orch.ops.importing.recover import keep_finished_layers, recover
from bootc_orch.ops.importing.signature import (
    commit_verifier,
    nothing_to_vouch_for,
    require_vouched,
    stored_commit,
)
from bootc_orch.ops.importing.source import Source
from bootc_orch.ops.importing.staging import Staging, object_mode, open_staging, writable_mode
from bootc_orch.ops.stored.lock import locked
from bootc_orch.ops.stored.notes import write_cached_update
from bootc_orch.ops.stored.progress import Progress, Step
from bootc_orch.ops.stored.store import (
    CachedUpdate,
    ImageState,
    created_at,
    image_state,
    refuse_collision,
)
from bootc_orch.stream.trees import Trees
from bootc_orch.tools.ostree.repo import Repo, ostree_version
from orch_frame.errors import (
    LockedError,
    NotFoundError,
    OrchError,
    StoreDamagedError,
    TransientError,
)
from orch_frame.os_errors import from_os_error

logger = logging.getLogger(__name__)

# From this version on ostree fills a deployment's empty /var from the commit's.
KEEP_VAR_FROM = (2024, 3)


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
    options = with_policy(options, reference)
    with locked(repo.path, exclusive=False, timeout=options.lock_timeout):
        recover(repo)
        try:
            result = _pull(repo, reference, options, progress)
        except LayersVanishedError as error:
            progress.warning(f"{error.summary} Pulling again.")
            result = _pull(repo, reference, options, progress)
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
    options = with_policy(options, reference)
    with (
        locked(repo.path, exclusive=False, timeout=options.lock_timeout),
        Source(reference.image, options.proxy) as source,
    ):
        state = _stored(repo, reference.image, options, progress)
        image = _find(source, reference, state, options, progress)
        return None if image is None else plan_image(repo, image, state.manifest if state else None)


def _pull(
    repo: Repo, reference: OstreeImageReference, options: PullOptions, progress: Progress
) -> PullResult:
    progress.step(Step.OPENING)
    state = _stored(repo, reference.image, options, progress)
    with Source(reference.image, options.proxy) as source:
        image = _find(source, reference, state, options, progress)
        if image is None and state is not None:
            require_vouched(repo, reference, state)
            return PullResult(state.merge_commit, state.manifest_digest, changed=False)
        if image is None:
            raise AssertionError("an image that is not stored cannot be unchanged")
        refuse_collision(repo, options.target or reference.image)
        if state is not None and options.named:
            update = CachedUpdate(image.digest, image.manifest, image.config)
            write_cached_update(repo, state.merge_commit, update)
        try:
            plan = plan_image(repo, image, state.manifest if state else None)
            with open_staging(repo) as staging, _kept_if_cut_off(staging, repo):
                return _bring(plan, source, staging, repo, reference, options, progress)
        except OrchError as error:
            raise error.locate(image=str(reference.image)) from error
        except OSError as error:
            problem = from_os_error(error, place=repo.path)
            raise problem.locate(image=str(reference.image)) from error


@contextmanager
def _kept_if_cut_off(staging: Staging, repo: Repo) -> Iterator[None]:
    """Keep the layers that are finished when the source fails or the user has had enough.

    Of an image that is bad nothing is kept.
    """
    try:
        yield
    except (TransientError, KeyboardInterrupt):
        keep_finished_layers(staging, repo)
        raise


def _bring(
    plan: PullPlan,
    source: Source,
    staging: Staging,
    repo: Repo,
    reference: OstreeImageReference,
    options: PullOptions,
    progress: Progress,
) -> PullResult:
    """Fetch what is missing of an opened image, and make the whole of it visible."""
    progress.planned(plan.transfer)
    require_space(repo.path, plan.transfer.needed_bytes)
    imported = _fetch(plan, source, staging, repo, reference, options, progress)
    source.reset()
    progress.step(Step.MERGING)
    trees = Trees(staging.store)
    flat = merge_layers(plan, imported, trees, staging, repo)
    commit = commit_image(flat, options.importer_version, trees)
    progress.step(Step.PUBLISHING)
    name = (options.target or reference.image) if options.named else None
    publication = prepare_publication(plan, flat, commit, name=name, staging=staging, repo=repo)
    publish(publication, trees, staging, repo)
    warnings = describe(imported, flat)
    for text in warnings:
        progress.warning(text)
    return PullResult(commit, plan.image.digest, changed=True, plan=plan, warnings=warnings)


def _stored(
    repo: Repo, image: ImageReference, options: PullOptions, progress: Progress
) -> ImageState | None:
    """Return what is stored under the name that the image is to have."""
    try:
        return image_state(repo, options.target or image)
    except StoreDamagedError as error:
        progress.warning(f"{error.summary} It is pulled anew.")
        return None


def _find(
    source: Source,
    reference: OstreeImageReference,
    state: ImageState | None,
    options: PullOptions,
    progress: Progress,
) -> OpenedImage | None:
    """Open the image; None if it is the one that is stored, for which a digest needs no network.

    What is stored is all that there is where nothing may be fetched.
    """
    pinned = reference.image.digest
    if state is not None and (pinned == state.manifest_digest or (options.offline and not pinned)):
        return None
    if options.offline:
        raise NotFoundError(
            f"{reference.image} is not stored, and fetching is switched off.",
            image=str(reference.image),
        )
    image = open_image(source, reference, state, options, progress)
    if image is not None and state is not None and _is_older(image, state):
        progress.warning(f"{reference.image} is older than the version of it that is stored.")
    return image


def _is_older(image: OpenedImage, state: ImageState) -> bool:
    """Say whether an image was made before the stored one: an old version may hold old faults."""
    stored, found = state.created, created_at(image.manifest, image.config)
    return stored is not None and found is not None and found < stored


def _fetch(
    plan: PullPlan,
    source: Source,
    staging: Staging,
    repo: Repo,
    reference: OstreeImageReference,
    options: PullOptions,
    progress: Progress,
) -> dict[Digest, ImportedLayer]:
    wanted = [entry.layer for entry in plan.chosen(LayerAction.FETCH)]
    first = plan.layers[0]
    has_base = first.layer.kind is LayerKind.COMMIT
    base = BaseTree(
        Trees(staging.store),
        missing=sum(layer.kind is not LayerKind.DERIVED for layer in wanted),
        directory=staging.path,
        keep_var=partial(_keeps_var, options.var_content),
        has_base=has_base,
        commit=first.commit if has_base else None,
    )
    how = FetchOptions(
        proxy=options.proxy,
        jobs=options.jobs,
        retries=options.retries,
        retry_delay=options.retry_delay,
        importer=options.importer_version,
        allow_ima=options.allow_ima,
    )
    verify = commit_verifier(repo, reference.signature, staging.path)
    if verify is not None and not has_base:
        raise nothing_to_vouch_for(reference)
    if verify is not None and base.commit is not None:
        verify(*stored_commit(repo, base.commit))
    return fetch_layers(
        wanted,
        source,
        staging,
        base,
        how,
        progress,
        pinned=_pinned(reference.image, plan.image.digest),
        verify_commit=verify,
    )


def _pinned(image: ImageReference, digest: Digest) -> ImageReference:
    """Return the reference that further proxies open: a tag may move meanwhile."""
    if image.transport is not Transport.REGISTRY:
        return image
    return image.with_digest(digest).canonicalise()


def _keeps_var(choice: VarContent) -> bool:
    if choice is VarContent.AUTO:
        return ostree_version() >= KEEP_VAR_FROM
    return choice is VarContent.KEEP


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
