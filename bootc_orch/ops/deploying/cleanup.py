"""Collect what no deployment needs any more; remove the rollback or what is pending."""

from __future__ import annotations

import logging

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.model.image.refs import IMAGE_PREFIX
from bootc_orch.ops.deploying import bound
from bootc_orch.ops.deploying.next_boot import announce_next_boot
from bootc_orch.ops.deploying.pin import require_unpinned
from bootc_orch.ops.stored import prune
from bootc_orch.ops.stored.base_refs import apply_base_refs, plan_base_refs
from bootc_orch.ops.stored.progress import Progress
from bootc_orch.tools.ostree.admin import OstreeAdmin
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import NotFoundError, OrchError

logger = logging.getLogger(__name__)


def collect(sysroot: Sysroot, progress: Progress) -> None:
    """Remove images that no deployment follows, layers and objects that nothing reaches.

    Raises:
        OrchError: something could not be removed, or it cannot be told what is followed.
    """
    deployments = sysroot.deployments().all
    images = [one.image for one in deployments]
    OstreeAdmin(sysroot.path).cleanup()
    repo = sysroot.repo()
    apply_base_refs(plan_base_refs(repo, deployments), repo)
    undeployed = prune.plan_undeployed(repo, [one.image for one in images if one is not None])
    prune.apply_remove(undeployed, repo)
    swept = prune.collect_garbage(repo)
    if undeployed.refs or swept.layers:
        progress.message(
            f"Pruned images: {len(undeployed.refs)} (layers: {len(swept.layers)}, "
            f"objsize: {swept.pruned.freed or '0 bytes'})"
        )
    stored = set(repo.scan_refs(IMAGE_PREFIX).commits.values())
    downloaded = stored - {one.checksum for one in deployments}
    bound.collect(sysroot, progress, downloaded=sorted(downloaded))


def collect_or_warn(sysroot: Sysroot, progress: Progress) -> None:
    """Do the same after something else, whose result does not depend on it; report a failure."""
    try:
        collect(sysroot, progress)
    except OrchError as error:
        details = "".join(f"\n    {line}" for line in (error.details or "").splitlines())
        progress.warning(f"Not everything could be cleaned up: {error.summary}{details}")
        logger.debug("cleanup", exc_info=error)


def find_pending(sysroot: Sysroot) -> Deployment:
    """Return what boots next without being the current system.

    Raises:
        NotFoundError: the current system boots next.
    """
    pending = sysroot.deployments().pending
    if pending is None:
        raise NotFoundError("Nothing is pending.")
    return pending


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
    require_unpinned(deployment)
    OstreeAdmin(sysroot.path).undeploy(deployment.index)
    announce_next_boot(sysroot)
