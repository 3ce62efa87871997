"""Decide what is to be done about an image that shall boot next, and how it is deployed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from bootc_orch.model.host.deployment import Deployment, Deployments
from bootc_orch.model.host.kargs import KargsEdit, edit_kargs, key_of, root_arguments
from bootc_orch.model.host.origin import Origin, OriginKind
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.model.safe_text import safe_stateroot
from bootc_orch.ops.deploying.deploy import DeployRequest
from bootc_orch.ops.deploying.kargs import image_kargs, upgraded_kargs
from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.tools.ostree.admin import LOCKING_SINCE, DeployOptions, has
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import NotFoundError, OrchError


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


def base_deployment(
    deployments: Deployments, sysroot: Sysroot, wanted: Wanted
) -> Deployment | None:
    """Return the deployment whose /etc and kernel arguments are carried over.

    Raises:
        NotFoundError: there is none, and no stateroot was named to start afresh in.
    """
    if wanted.stateroot is None:
        return require_current(deployments, sysroot)
    if not sysroot.below.is_dir(f"ostree/deploy/{safe_stateroot(wanted.stateroot)}"):
        raise NotFoundError(
            f"{sysroot.path} has no stateroot {wanted.stateroot}.",
            hint=f"Create it with: ostree admin os-init {wanted.stateroot}",
        )
    current = deployments.current
    own = [one for one in deployments.all if one.stateroot == wanted.stateroot and not one.staged]
    return current if current in own else next(iter(own), None)


def compare(
    deployments: Deployments, base: Deployment | None, wanted: Wanted, commit: str
) -> Outcome:
    """Say what is left to do about the commit that was pulled."""
    staged = deployments.staged
    if wanted.force or wanted.kargs:
        return Outcome.QUEUED
    if staged is not None:
        same = _is(staged, commit, wanted)
        return Outcome.ALREADY_STAGED if same else Outcome.QUEUED
    same = base is not None and base is deployments.all[0] and _is(base, commit, wanted)
    return Outcome.UNCHANGED if same else Outcome.QUEUED


def _is(deployment: Deployment, commit: str, wanted: Wanted) -> bool:
    return deployment.checksum == commit and deployment.origin.container == str(wanted.target)


def plan_deployment(
    repo: Repo, deployments: Deployments, base: Deployment | None, wanted: Wanted, commit: str
) -> DeployRequest:
    """Decide how to deploy *commit*: the kernel arguments are those of what boots next now.

    What starts afresh in its stateroot takes over how the root is found, unless that is given.
    """
    tree = CommitTree(repo, commit)
    replaced = deployments.staged if base and base.booted and deployments.staged else base
    kargs = (
        upgraded_kargs(repo, tree, replaced)
        if replaced is not None
        else (*_root_kargs(deployments.current, wanted.kargs), *(image_kargs(tree) or ()))
    )
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


def _root_kargs(current: Deployment | None, edit: KargsEdit) -> tuple[str, ...]:
    if current is None or "root" in map(key_of, edit.append):
        return ()
    return root_arguments(current.kargs)
