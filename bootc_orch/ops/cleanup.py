"""Collect what no deployment needs any more; remove the rollback or what is pending."""

from __future__ import annotations

import logging

from bootc_orch.errors import NotFoundError, OrchError
from bootc_orch.model.deployment import Deployment
from bootc_orch.model.origin import OriginKind
from bootc_orch.model.reference import OstreeImageReference
from bootc_orch.ops import bound, prune
from bootc_orch.ops.progress import Progress
from bootc_orch.tools.ostree_admin import OstreeAdmin
from bootc_orch.tools.sysroot import Sysroot

logger = logging.getLogger(__name__)


def collect(sysroot: Sysroot, progress: Progress) -> None:
    """Remove images that no deployment follows, layers and objects that nothing reaches.

    What cannot be collected is reported and left: the system that boots does not depend on it.
    """
    try:
        OstreeAdmin(sysroot.path).cleanup()
        repo = sysroot.repo()
        followed = [
            OstreeImageReference.parse(one.origin.container).image
            for one in sysroot.deployments().all
            if one.origin.kind is OriginKind.CONTAINER and one.origin.container
        ]
        undeployed = prune.plan_undeployed(repo, followed)
        prune.apply_remove(undeployed, repo)
        swept = prune.collect_garbage(repo)
        if undeployed.refs or swept.layers:
            progress.message(
                f"Pruned images: {len(undeployed.refs)} (layers: {len(swept.layers)}, "
                f"objsize: {swept.pruned.freed or '0 bytes'})"
            )
        bound.collect(sysroot, progress)
    except OrchError as error:
        progress.warning(f"Not everything could be cleaned up: {error.summary}")
        logger.debug("cleanup", exc_info=error)


def find_pending(sysroot: Sysroot) -> Deployment:
    """Return what boots next without being the current system.

    Raises:
        NotFoundError: the current system boots next.
    """
    deployments = sysroot.deployments()
    first = next(iter(deployments.all), None)
    if first is None or first is deployments.booted or deployments.booted is None:
        raise NotFoundError("Nothing is pending.")
    return first


def find_rollback(sysroot: Sysroot) -> Deployment:
    """Return what a rollback would go to.

    Raises:
        NotFoundError: there is nothing to go to.
    """
    rollback = sysroot.deployments().rollback
    if rollback is None:
        raise NotFoundError("There is no rollback deployment.")
    return rollback


def remove(sysroot: Sysroot, deployment: Deployment) -> None:
    """Remove *deployment*, unless it is pinned.

    Raises:
        OrchError: it is pinned.
    """
    if deployment.pinned:
        raise OrchError(
            f"Deployment {deployment.name} is pinned.",
            hint=f"Unpin it with: bootc-orch unpin {deployment.index}",
        )
    OstreeAdmin(sysroot.path).undeploy(deployment.index)
