"""One transaction over the OS image and its bound app images.

fetch → app images of the new root → checks → stage → record.  Nothing before "stage" changes what
boots, and "stage" is one step of ``ostree admin``; a failure leaves the running system, its app
images and what was staged before as they were, and the next try finds what was fetched.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from bootc_orch.errors import NotFoundError, OrchError
from bootc_orch.model.deployment import Deployment, Deployments
from bootc_orch.model.kargs import KargsEdit, edit_kargs
from bootc_orch.model.origin import Origin, OriginKind
from bootc_orch.model.reference import OstreeImageReference
from bootc_orch.model.safe_text import safe_stateroot
from bootc_orch.ops import bound
from bootc_orch.ops.boot_files import find_boot_files, require_boot_space
from bootc_orch.ops.cleanup import collect
from bootc_orch.ops.deploy import DeployRequest, deploy
from bootc_orch.ops.hooks import DIRECTORIES, find_hooks, run_hooks
from bootc_orch.ops.kargs import image_kargs, upgraded_kargs
from bootc_orch.ops.lock import locked
from bootc_orch.ops.new_root import CommitTree, checked_out
from bootc_orch.ops.progress import Progress, Step
from bootc_orch.ops.pull import pull
from bootc_orch.ops.pull_plan import PullOptions, PullResult
from bootc_orch.ops.store import ImageState, commit_state
from bootc_orch.tools import systemd
from bootc_orch.tools.ostree import Repo
from bootc_orch.tools.ostree_admin import LOCKING_SINCE, DeployOptions, OstreeAdmin, has
from bootc_orch.tools.sysroot import Sysroot

logger = logging.getLogger(__name__)

REBOOT_REQUIRED = Path("/run/reboot-required")


class Outcome(StrEnum):
    """How a transaction ended."""

    UNCHANGED = "unchanged"
    ALREADY_STAGED = "already staged"
    DOWNLOADED = "downloaded"
    QUEUED = "queued"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be deployed, and how.

    Attributes:
        source: Where the image is pulled from.
        target: What the new deployment will follow.
        kargs: Changes to the kernel arguments.
        download_only: Fetch all, but let it boot only when it is released.
        from_downloaded: Fetch nothing; release or stage what was downloaded.
        force: Deploy even if the same image is deployed already.
        stateroot: Where to deploy; None for the stateroot of the current deployment.
        retain: Keep deployments that would be dropped otherwise.
    """

    source: OstreeImageReference
    target: OstreeImageReference
    kargs: KargsEdit = field(default_factory=KargsEdit)
    download_only: bool = False
    from_downloaded: bool = False
    force: bool = False
    stateroot: str | None = None
    retain: bool = False


@dataclass(frozen=True, slots=True)
class TransactionOptions:
    """How a transaction is carried out.

    Attributes:
        pull: How the OS image is pulled.
        bound: How app images are pulled.
        hooks: Where hooks are looked for.
    """

    pull: PullOptions
    bound: bound.BoundOptions
    hooks: tuple[Path, ...] = DIRECTORIES


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
    deployments = sysroot.deployments()
    base = _base(deployments, sysroot, wanted)
    with locked(sysroot.repo_path, exclusive=True, timeout=options.pull.lock_timeout):
        pulled = _fetch(sysroot, wanted, options, progress)
        repo = sysroot.repo()
        image = commit_state(repo, pulled.commit)
        outcome = _compare(deployments, base, wanted, pulled)
        if outcome is Outcome.UNCHANGED:
            return Result(outcome, wanted.target, image)
        if outcome is Outcome.ALREADY_STAGED:
            _release_or_hold(deployments, wanted)
            return Result(outcome, wanted.target, image, deployments.staged)
        request = _request(repo, deployments, base, wanted, pulled.commit)
        with _new_root(repo, pulled.commit, options) as root:
            progress.step(Step.BOUND_IMAGES)
            name = bound.next_name(sysroot, request.options.stateroot, pulled.commit)
            apps = bound.prepare(root, sysroot, name, options.bound, progress)
            _check(sysroot, repo, pulled, wanted, options, root)
        if wanted.download_only and not has(LOCKING_SINCE):
            return Result(Outcome.DOWNLOADED, wanted.target, image)
        progress.step(Step.DEPLOYING)
        deployed = deploy(sysroot, request)
        _record(sysroot, deployed, image, apps)
        progress.step(Step.CLEANUP)
        collect(sysroot, progress)
    return Result(Outcome.QUEUED, wanted.target, image, deployed)


def require_current(deployments: Deployments, sysroot: Sysroot) -> Deployment:
    """Return what an update starts from.

    Raises:
        NotFoundError: the sysroot has no deployment.
        OrchError: the system has changes that only rpm-ostree can carry over.
    """
    current = deployments.current
    if current is None:
        raise NotFoundError(
            f"{sysroot.path} has no deployment.",
            hint="Install one with: bootc-orch install to-filesystem",
        )
    if current.origin.kind is OriginKind.LAYERED:
        groups = ", ".join(current.origin.layered_groups)
        raise OrchError(
            f"Deployment {current.name} has packages or overrides of rpm-ostree ({groups}), which "
            "would be lost.",
            hint="Remove them with rpm-ostree reset, reboot, then try again.",
        )
    return current


def _base(deployments: Deployments, sysroot: Sysroot, wanted: Wanted) -> Deployment | None:
    """Return the deployment whose /etc and kernel arguments are carried over.

    Raises:
        NotFoundError: there is none, and no stateroot was named to start afresh in.
    """
    if wanted.stateroot is None:
        return require_current(deployments, sysroot)
    if not (sysroot.path / "ostree/deploy" / safe_stateroot(wanted.stateroot)).is_dir():
        raise NotFoundError(
            f"{sysroot.path} has no stateroot {wanted.stateroot}.",
            hint=f"Create it with: ostree admin os-init {wanted.stateroot}",
        )
    current = deployments.current
    own = [one for one in deployments.all if one.stateroot == wanted.stateroot and not one.staged]
    return current if current in own else next(iter(own), None)


def _fetch(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress: Progress
) -> PullResult:
    pull_options = replace(
        options.pull,
        gc=False,
        require_bootable=True,
        target=wanted.target.image,
        offline=options.pull.offline or wanted.from_downloaded,
    )
    return pull(sysroot.repo_path, wanted.source, pull_options, progress)


def _compare(
    deployments: Deployments, base: Deployment | None, wanted: Wanted, pulled: PullResult
) -> Outcome:
    """Say what is left to do about the commit that was pulled."""
    staged = deployments.staged
    if wanted.force or wanted.kargs:
        return Outcome.QUEUED
    if staged is not None:
        same = _is(staged, pulled.commit, wanted)
        return Outcome.ALREADY_STAGED if same else Outcome.QUEUED
    same = base is not None and base is deployments.all[0] and _is(base, pulled.commit, wanted)
    return Outcome.UNCHANGED if same else Outcome.QUEUED


def _is(deployment: Deployment, commit: str, wanted: Wanted) -> bool:
    return deployment.checksum == commit and deployment.origin.container == str(wanted.target)


def _release_or_hold(deployments: Deployments, wanted: Wanted) -> None:

    staged = deployments.staged
    if staged is None or staged.locked == wanted.download_only or not has(LOCKING_SINCE):
        return
    OstreeAdmin(Path("/")).lock_finalization(locked=wanted.download_only)


def _request(
    repo: Repo, deployments: Deployments, base: Deployment | None, wanted: Wanted, commit: str
) -> DeployRequest:
    """Decide how to deploy *commit*: the kernel arguments are those of what boots next now."""
    tree = CommitTree(repo, commit)
    replaced = deployments.staged if base and base.booted and deployments.staged else base
    kargs = image_kargs(tree) or () if replaced is None else upgraded_kargs(repo, tree, replaced)
    stage = deployments.booted is not None
    return DeployRequest(
        commit,
        Origin.for_container(str(wanted.target)),
        DeployOptions(
            stateroot=wanted.stateroot or (base.stateroot if base else "default"),
            kargs=edit_kargs(kargs, wanted.kargs),
            stage=stage,
            locked=stage and wanted.download_only and has(LOCKING_SINCE),
            retain=wanted.retain,
        ),
    )


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
    require_boot_space(sysroot, repo, find_boot_files(repo, CommitTree(repo, pulled.commit)))
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
    note_reboot(str(image.manifest_digest))
    systemd.journal(
        f"Staged {deployed.origin.container} ({image.manifest_digest})",
        message_id=systemd.MESSAGE_STAGED,
        BOOTC_ORCH_CHECKSUM=deployed.checksum,
        BOOTC_ORCH_DIGEST=str(image.manifest_digest),
    )


def note_reboot(digest: str) -> None:
    """Tell the tools that watch for it that a reboot is due."""
    try:
        REBOOT_REQUIRED.write_text(f"bootc: Reboot required for image: {digest}\n")
    except OSError as error:
        logger.warning("%s cannot be written: %s", REBOOT_REQUIRED, error.strerror)
