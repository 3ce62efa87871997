"""Keep a deployment from being collected."""

from __future__ import annotations

from bootc_orch.errors import NotFoundError, OrchError
from bootc_orch.model.deployment import Deployment
from bootc_orch.ops.deploy import synchronise
from bootc_orch.tools.ostree_admin import OstreeAdmin
from bootc_orch.tools.sysroot import Sysroot

NAMES = ("booted", "pending", "rollback")


def find_deployment(sysroot: Sysroot, which: str) -> Deployment:
    """Return one deployment by its index, its part, or the beginning of its checksum.

    Raises:
        NotFoundError: there is none, or the beginning fits several.
    """
    deployments = sysroot.deployments()
    named = {
        "booted": deployments.booted,
        "pending": next((one for one in deployments.all if one is not deployments.current), None),
        "rollback": deployments.rollback,
    }
    if which in named:
        found = [one for one in (named[which],) if one is not None]
    elif which.isdecimal() and which.isascii() and len(which) < 6:
        found = [one for one in deployments.all if one.index == int(which)]
    else:
        found = [one for one in deployments.all if one.checksum.startswith(which)]
    if len(found) != 1:
        count = "no deployment" if not found else f"{len(found)} deployments"
        raise NotFoundError(
            f"{which!a} names {count}.", hint="List them with: bootc-orch status -v"
        )
    return found[0]


def pin(sysroot: Sysroot, deployment: Deployment, *, pinned: bool) -> bool:
    """Pin or unpin *deployment*; return whether that changed anything.

    Raises:
        OrchError: it is only staged, so there is nothing yet to keep.
    """
    if deployment.pinned == pinned:
        return False
    if deployment.staged:
        raise OrchError("A staged deployment cannot be pinned before it is written out.")
    OstreeAdmin(sysroot.path).pin(deployment.index, pinned=pinned)
    synchronise(sysroot)
    return True
