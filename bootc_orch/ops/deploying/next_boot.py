"""Tell the rest of the machine what the next boot starts, whenever that has changed."""

from __future__ import annotations

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.ops.stored.store import commit_state
from bootc_orch.tools import systemd
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import OrchError


def announce_next_boot(sysroot: Sysroot) -> None:
    """Note that a reboot is due, or no longer; a sysroot that is not running says nothing."""
    deployments = sysroot.deployments()
    if deployments.booted is None:
        return
    if deployments.next_boot is None:
        systemd.forget_reboot()
    else:
        systemd.note_reboot(_image_of(sysroot, deployments.next_boot))


def _image_of(sysroot: Sysroot, deployment: Deployment) -> str:
    """Return the digest of its image; a plain ostree system is named by its commit."""
    try:
        return str(commit_state(sysroot.repo(), deployment.checksum).manifest_digest)
    except OrchError:
        return deployment.checksum
