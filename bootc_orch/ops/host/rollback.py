"""Let the previous deployment boot next, or the current one again."""

from __future__ import annotations

from bootc_orch.model.host.deployment import Deployment, Deployments
from bootc_orch.ops.deploying import bound
from bootc_orch.ops.deploying.deploy import DeployRequest, deploy, synchronise
from bootc_orch.ops.deploying.next_boot import announce_next_boot
from bootc_orch.ops.deploying.pin import require_unpinned
from bootc_orch.ops.stored.lock import locked
from bootc_orch.ops.stored.progress import Progress
from bootc_orch.tools import systemd
from bootc_orch.tools.ostree.admin import SET_DEFAULT_SINCE, DeployOptions, OstreeAdmin, has
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import NotFoundError, OrchError, StoreDamagedError


def choose_target(sysroot: Sysroot, *, discard_staged: bool) -> Deployment:
    """Return what shall boot next.

    Raises:
        NotFoundError: there is nothing to go back to.
        OrchError: an update is staged, and may not be discarded.
    """
    deployments = sysroot.deployments()
    if deployments.staged is not None and not discard_staged:
        raise OrchError(
            f"The update {deployments.staged.name} is staged, and a rollback would discard it.",
            hint="Discard it with --discard-staged, or reboot into it first.",
        )
    target = deployments.booted if deployments.rollback_queued else deployments.rollback
    if target is None:
        raise NotFoundError("There is no rollback deployment.")
    return target


def rollback(
    sysroot: Sysroot, progress: Progress, *, discard_staged: bool, lock_timeout: float
) -> Deployment:
    """Make the previous deployment the default; a second time swaps them back.

    Without ``ostree admin set-default`` (before 2023.6) its commit is deployed once more, with its
    origin and kernel arguments, and ``/etc`` carried over from the current system.

    Raises:
        NotFoundError: there is nothing to go back to.
        OrchError: an update is staged, and *discard_staged* does not allow to drop it.
    """
    with locked(sysroot.repo_path, exclusive=True, timeout=lock_timeout):
        target = choose_target(sysroot, discard_staged=discard_staged)
        admin = OstreeAdmin(sysroot.path)
        staged = sysroot.deployments().staged
        if staged is not None:
            admin.undeploy(staged.index)
            target = _find_again(sysroot, target)
        if has(SET_DEFAULT_SINCE):
            admin.set_default(target.index)
            synchronise(sysroot)
        elif target.booted:
            _withdraw_pending(sysroot)
        else:
            progress.warning(
                "This version of ostree cannot reorder deployments: the previous system is "
                "deployed once more, with /etc as it is now."
            )
            _deploy_again(sysroot, target)
        first = sysroot.deployments().all[0]
        if first.checksum != target.checksum:
            raise StoreDamagedError(f"{target.name} was to boot next, but {first.name} does.")
        announce_next_boot(sysroot)
    systemd.journal(
        f"Rollback to {target.origin.container or target.checksum} queued",
        message_id=systemd.MESSAGE_ROLLBACK,
        BOOTC_ORCH_CHECKSUM=target.checksum,
    )
    return first


def _find_again(sysroot: Sysroot, wanted: Deployment) -> Deployment:
    """Find a deployment by its name, after indexes have changed."""
    for deployment in sysroot.deployments().all:
        if deployment.name == wanted.name and deployment.stateroot == wanted.stateroot:
            return deployment
    raise NotFoundError(f"Deployment {wanted.name} has gone.")


def _deploy_again(sysroot: Sysroot, target: Deployment, *, default: bool = True) -> None:
    """Deploy what *target* is; on the running system *target* stays, to be gone back to."""
    options = DeployOptions(
        target.stateroot,
        kargs=target.kargs,
        retain=sysroot.deployments().booted is not None,
        default=default,
    )
    request = DeployRequest(target.checksum, target.origin.without_transient(), options)
    bound.carry_over(sysroot, target, deploy(sysroot, request))


def _withdraw_pending(sysroot: Sysroot) -> None:
    """Take what stands before the running system off the boot order; it stays as the rollback.

    Raises:
        OrchError: it is pinned to its place.
    """
    while (pending := sysroot.deployments().pending) is not None:
        require_unpinned(pending)
        if not _has_equal(sysroot.deployments(), pending):
            _deploy_again(sysroot, pending, default=False)
        OstreeAdmin(sysroot.path).undeploy(pending.index)
        synchronise(sysroot)


def _has_equal(deployments: Deployments, wanted: Deployment) -> bool:
    """Say whether another deployment of the same commit and origin comes after what is running."""
    booted = deployments.booted
    return any(
        one.checksum == wanted.checksum
        and one.stateroot == wanted.stateroot
        and one.origin.without_transient() == wanted.origin.without_transient()
        for one in deployments.all[booted.index + 1 if booted else 0 :]
    )
