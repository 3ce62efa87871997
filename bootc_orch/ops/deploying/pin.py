"""Keep a deployment from being collected."""

from __future__ import annotations

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.ops.deploying.deploy import synchronise
from bootc_orch.ops.stored.lock import locked
from bootc_orch.tools.ostree.admin import OstreeAdmin
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import NotFoundError, OrchError


def find_deployment(sysroot: Sysroot, which: str) -> Deployment:
    """Return one deployment by its index, its part, its name, or the beginning of its checksum.

    Raises:
        NotFoundError: there is none, or the beginning fits several.
    """
    deployments = sysroot.deployments()
    named = {
        "booted": deployments.booted,
        "pending": deployments.pending,
        "rollback": deployments.rollback,
    }
    if which in named:
        found = [one for one in (named[which],) if one is not None]
    elif which.isdecimal() and which.isascii() and len(which) < 6:
        found = [one for one in deployments.all if one.index == int(which)]
    else:
        checksum, _, serial = which.partition(".")
        found = [
            one
            for one in deployments.all
            if one.checksum.startswith(checksum) and serial in ("", str(one.serial))
        ]
    if len(found) != 1:
        count = "no deployment" if not found else f"{len(found)} deployments"
        raise NotFoundError(
            f"{which!a} names {count}.", hint="List them with: bootc-orch status -v"
        )
    return found[0]


def pin(
    sysroot: Sysroot, which: str, *, pinned: bool, lock_timeout: float
) -> tuple[Deployment, bool]:
    """Pin or unpin a deployment, named as in `find_deployment`.

    Returns:
        The deployment as it was, and whether that changed anything.

    Raises:
        NotFoundError: there is none.
        OrchError: it is only staged, so there is nothing yet to keep.
    """
    with locked(sysroot.repo_path, exclusive=True, timeout=lock_timeout):
        deployment = find_deployment(sysroot, which)
        if deployment.pinned == pinned:
            return deployment, False
        if deployment.staged:
            raise OrchError(
                "A staged deployment cannot be pinned before it is written out.",
                hint="Pin it after the reboot.",
            )
        OstreeAdmin(sysroot.path).pin(deployment.index, pinned=pinned)
        synchronise(sysroot)
    return deployment, True


def require_unpinned(deployment: Deployment) -> None:
    """Make sure that *deployment* may be removed.

    Raises:
        OrchError: it is pinned.
    """
    if deployment.pinned:
        raise OrchError(
            f"Deployment {deployment.name} is pinned.",
            hint=f"Unpin it with: bootc-orch unpin {deployment.index}",
        )
