"""Mount an overlay over ``/usr`` of the running system, until the next boot."""

from __future__ import annotations

from bootc_orch.tools.ostree.admin import OstreeAdmin
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import NotFoundError, OrchError


def mount_usr_overlay(sysroot: Sysroot, *, read_only: bool) -> None:
    """Mount it; with *read_only* it is writable only inside a mount namespace of one's own.

    Raises:
        NotFoundError: the system is not booted from a deployment.
        OrchError: an overlay is mounted already.
    """
    booted = sysroot.deployments().booted
    if booted is None:
        raise NotFoundError("This system is not booted from a deployment.")
    if booted.unlocked is not None:
        raise OrchError(f"/usr has an overlay already ({booted.unlocked}).")
    OstreeAdmin(sysroot.path).unlock(transient=read_only)
