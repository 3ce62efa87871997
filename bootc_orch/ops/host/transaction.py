"""One transaction over the OS image and its bound app images.

fetch → app images of the new root → checks → stage → record.  Nothing before "stage" changes what
boots, and "stage" is one step of ``ostree admin``; a failure leaves the running system, its app
images and what was staged before as they were, and the next try finds what was fetched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bootc_orch.model.host.deployment import Deployment, Deployments
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.ops.deploying import bound
from bootc_orch.ops.deploying.cleanup import collect_or_warn
from bootc_orch.ops.deploying.composefs import require_composefs
from bootc_orch.ops.deploying.deploy import deploy
from bootc_orch.ops.deploying.hooks import DIRECTORIES, find_hooks, run_hooks
from bootc_orch.ops.deploying.next_boot import announce_next_boot
from bootc_orch.ops.deploying.wanted import (
    Outcome,
    Wanted,
    base_deployment,
    compare,
    plan_deployment,
)
from bootc_orch.ops.importing.pull import judge_stored, pull
from bootc_orch.ops.opening.open_image import require_bootable
from bootc_orch.ops.opening.pull_plan import PullOptions, PullRequest, PullResult
from bootc_orch.ops.stored.boot_files import find_boot_files, require_boot_space
from bootc_orch.ops.stored.lock import locked
from bootc_orch.ops.stored.new_root import CommitTree, checked_out
from bootc_orch.ops.stored.progress import Progress, Step
from bootc_orch.ops.stored.store import ImageState, commit_state, image_state
from bootc_orch.tools import systemd
from bootc_orch.tools.ostree.admin import LOCKING_SINCE, OstreeAdmin, has
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import NotFoundError
from orch_frame.transfer import TransferOptions


@dataclass(frozen=True, slots=True)
class TransactionOptions:
    """How a transaction is carried out.

    Attributes:
        pull: How the OS image is pulled.
        bound_mode: Where app images come from, if they are to come at all; they are fetched as the
            OS image is.
        bound_host_files: Whether bound units may name credentials and certificates of this machine.
        hooks: Where hooks are looked for.
    """

    pull: PullOptions
    bound_mode: bound.BoundMode = bound.BoundMode.PULL
    bound_host_files: bool = False
    hooks: tuple[Path, ...] = DIRECTORIES

    @property
    def transfer(self) -> TransferOptions:
        """How images are fetched, that of the OS and those of the apps."""
        return self.pull.transfer

    @property
    def bound(self) -> bound.BoundOptions:
        """How app images are brought in."""
        return bound.BoundOptions(self.bound_mode, self.transfer, host_files=self.bound_host_files)


@dataclass(frozen=True, slots=True)
class Result:
    """What a transaction did.

    Attributes:
        outcome: How it ended.
        reference: The image that is followed now.
        image: What its commit records.
        deployment: What boots next because of it; None if nothing was deployed.
    """

    outcome: Outcome
    reference: OstreeImageReference
    image: ImageState
    deployment: Deployment | None = None


def run_transaction(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress: Progress
) -> Result:
    """Bring *wanted* to the point where the next boot starts it.

    Raises:
        OrchError: anything failed; what boots is as it was before.
    """
    with locked(sysroot.repo_path, exclusive=True, timeout=options.transfer.lock_timeout):
        deployments = sysroot.deployments()
        base = base_deployment(deployments, sysroot, wanted)
        pulled = fetch(sysroot, wanted, options, progress)
        repo = sysroot.repo()
        image = commit_state(repo, pulled.commit)
        outcome = compare(deployments, base, wanted, pulled.commit)
        if outcome is Outcome.UNCHANGED:
            return Result(outcome, wanted.target, image)
        if outcome is Outcome.ALREADY_STAGED:
            _release_or_hold(sysroot, deployments, wanted, progress)
            return Result(outcome, wanted.target, image, deployments.staged)
        request = plan_deployment(repo, deployments, base, wanted, pulled.commit)
        with _new_root(repo, pulled.commit, options) as root:
            if root is not None:
                progress.step(Step.BOUND_IMAGES)
            name = bound.next_name(sysroot, request.options.stateroot, pulled.commit)
            apps = bound.prepare(root, sysroot, name, bound_options(wanted, options), progress)
            _check(sysroot, repo, pulled, wanted, options, root)
        if wanted.download_only and not request.options.locked:
            return Result(Outcome.DOWNLOADED, wanted.target, image)
        progress.step(Step.DEPLOYING)
        deployed = deploy(sysroot, request)
        _record(sysroot, deployed, image, apps)
        progress.step(Step.CLEANUP)
        collect_or_warn(sysroot, progress)
    return Result(Outcome.QUEUED, wanted.target, image, deployed)


def fetch(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress: Progress
) -> PullResult:
    """Have the OS image in the repository: pull it, unless only what is stored will do.

    Raises:
        OrchError: it could not be had.
    """
    if needs_stored(wanted, options):
        return _take_stored(
            PullRequest(sysroot.repo(), wanted.source, options.pull, progress), wanted
        )
    pull_options = replace(
        options.pull, gc=False, require_bootable=True, target=wanted.target.image
    )
    return pull(sysroot.repo_path, wanted.source, pull_options, progress)


def needs_stored(wanted: Wanted, options: TransactionOptions) -> bool:
    """Say whether nothing may be fetched: what is stored is taken, whatever its source has."""
    return wanted.from_downloaded or options.transfer.offline


def bound_options(wanted: Wanted, options: TransactionOptions) -> bound.BoundOptions:
    """Return how app images are brought in: anew, or those of when the OS image was downloaded."""
    transfer = replace(options.transfer, offline=needs_stored(wanted, options))
    return replace(options.bound, transfer=transfer)


def _take_stored(request: PullRequest, wanted: Wanted) -> PullResult:
    """Take what is stored under the name that is followed, whatever its source has by now.

    Raises:
        NotFoundError: nothing is.
        PolicyError: who must vouch for it does not, or was never asked.
    """
    state = image_state(request.repo, wanted.target.image)
    if state is None:
        raise NotFoundError(
            f"{wanted.target.image} is not stored.",
            hint="Fetch it first, for instance with: bootc-orch upgrade --download-only",
            image=str(wanted.target.image),
        )
    judge_stored(request, state)
    require_bootable(state.config)
    return PullResult(state.merge_commit, state.manifest_digest, changed=False)


def _release_or_hold(
    sysroot: Sysroot, deployments: Deployments, wanted: Wanted, progress: Progress
) -> None:
    staged = deployments.staged
    if staged is None or staged.locked == wanted.download_only:
        return
    if wanted.download_only and not has(LOCKING_SINCE):
        progress.warning(
            "This version of ostree cannot hold back what is staged already: it boots next. "
            "bootc-orch cleanup --pending removes it, and leaves what was downloaded."
        )
        return
    OstreeAdmin(sysroot.path).lock_finalization(locked=wanted.download_only)
    announce_next_boot(sysroot)
    what = "is held back" if wanted.download_only else "boots next"
    progress.message(f"The staged update {what} from now on.")


@contextlib.contextmanager
def _new_root(repo: Repo, commit: str, options: TransactionOptions) -> Iterator[Path | None]:
    """Check the new root out, if anyone is going to look at it."""
    tree = CommitTree(repo, commit)
    if not find_hooks(options.hooks) and not bound.is_bound(tree):
        yield None
        return
    with checked_out(repo, commit) as root:
        yield root


def _check(
    sysroot: Sysroot,
    repo: Repo,
    pulled: PullResult,
    wanted: Wanted,
    options: TransactionOptions,
    root: Path | None,
) -> None:
    """Find what would make the new system unbootable, or unwanted, before it is staged."""
    tree = CommitTree(repo, pulled.commit)
    require_composefs(tree)
    require_boot_space(sysroot, repo, find_boot_files(repo, tree))
    if root is not None:
        facts = {
            "BOOTC_ORCH_IMAGE": str(wanted.target),
            "BOOTC_ORCH_DIGEST": str(pulled.manifest_digest),
            "BOOTC_ORCH_COMMIT": pulled.commit,
        }
        run_hooks(find_hooks(options.hooks), root, facts)


def _record(
    sysroot: Sysroot, deployed: Deployment, image: ImageState, apps: bound.Prepared | None
) -> None:
    """Leave word of what was deployed; failing to is no reason to undo it."""
    bound.record(apps, sysroot, deployed)
    if not deployed.staged:
        return
    announce_next_boot(sysroot)
    systemd.journal(
        f"Staged {deployed.origin.container} ({image.manifest_digest})",
        message_id=systemd.MESSAGE_STAGED,
        BOOTC_ORCH_CHECKSUM=deployed.checksum,
        BOOTC_ORCH_DIGEST=str(image.manifest_digest),
    )
