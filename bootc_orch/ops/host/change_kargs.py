"""Change the kernel arguments of what boots next, by deploying it once more."""

from __future__ import annotations

import logging

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.model.host.kargs import KargsEdit, edit_kargs, without_match
from bootc_orch.ops.deploying import bound
from bootc_orch.ops.deploying.deploy import DeployRequest, deploy
from bootc_orch.ops.deploying.next_boot import announce_next_boot
from bootc_orch.ops.deploying.wanted import require_current
from bootc_orch.ops.stored.lock import locked
from bootc_orch.tools.ostree.admin import DeployOptions
from bootc_orch.tools.ostree.sysroot import Sysroot

logger = logging.getLogger(__name__)


def next_kargs(sysroot: Sysroot) -> tuple[str, ...]:
    """Return the kernel arguments of what boots next.

    Raises:
        NotFoundError: nothing does.
    """
    deployments = sysroot.deployments()
    require_current(deployments, sysroot)
    return deployments.all[0].kargs


def change_kargs(sysroot: Sysroot, edit: KargsEdit, *, lock_timeout: float) -> Deployment | None:
    """Deploy what boots next with *edit* applied; None if that changes nothing.

    Raises:
        NotFoundError: there is no deployment.
    """
    with locked(sysroot.repo_path, exclusive=True, timeout=lock_timeout):
        deployments = sysroot.deployments()
        require_current(deployments, sysroot)
        first = deployments.all[0]
        for pattern in without_match(first.kargs, edit):
            logger.warning("%s is not among the kernel arguments.", pattern)
        kargs = edit_kargs(first.kargs, edit)
        if kargs == first.kargs:
            return None
        stage = deployments.booted is not None
        options = DeployOptions(
            first.stateroot, kargs=kargs, stage=stage, locked=stage and first.locked
        )
        request = DeployRequest(first.checksum, first.origin.without_transient(), options)
        deployed = deploy(sysroot, request)
        bound.carry_over(sysroot, first, deployed)
        announce_next_boot(sysroot)
        return deployed
