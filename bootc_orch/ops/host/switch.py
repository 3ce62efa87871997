"""Follow another image; from a plain ostree branch this is the migration to images."""

from __future__ import annotations

from bootc_orch.errors import CommandError
from bootc_orch.model.host.deployment import Deployment
from bootc_orch.model.host.kargs import KargsEdit
from bootc_orch.model.host.origin import OriginKind
from bootc_orch.model.image.reference import (
    CONTAINER_POLICY,
    INSECURE,
    ImageReference,
    OstreeImageReference,
    Transport,
)
from bootc_orch.ops.deploying.wanted import Wanted
from bootc_orch.ops.stored.progress import Progress
from bootc_orch.process import run
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import UsageError


def parse_transport(word: str) -> Transport:
    """Read a transport as ``--transport`` takes it, with or without a colon.

    Raises:
        UsageError: there is no such transport.
    """
    try:
        return Transport(word.removesuffix(":"))
    except ValueError as error:
        known = ", ".join(transport.value for transport in Transport)
        raise UsageError(f"{word!a} is not a transport.", hint=f"Known are: {known}.") from error


def plan_switch(
    name: str, *, transport: Transport, enforce_policy: bool, kargs: KargsEdit
) -> Wanted:
    """Decide what to deploy to follow the image *name* from now on.

    Raises:
        UsageError: *name* cannot be a reference.
    """
    signature = CONTAINER_POLICY if enforce_policy else INSECURE
    target = OstreeImageReference(signature, ImageReference(transport, name).canonicalise())
    return Wanted(target, target, kargs=kargs)


def install_references(
    source: str, target: str | None, transport: str, *, enforce_policy: bool
) -> tuple[OstreeImageReference, OstreeImageReference]:
    """Decide where an image is installed from, and what the system follows then.

    A system that was installed from containers/storage follows the registry that the name is of,
    as with bootc.

    Raises:
        UsageError: a reference cannot be understood.
    """
    signature = CONTAINER_POLICY if enforce_policy else INSECURE
    image = ImageReference.parse(source)
    if target is not None:
        followed = ImageReference(parse_transport(transport), target)
    elif image.transport is Transport.CONTAINERS_STORAGE:
        followed = ImageReference(Transport.REGISTRY, image.name)
    else:
        followed = image
    return (
        OstreeImageReference(signature, image),
        OstreeImageReference(signature, followed.canonicalise()),
    )


def is_unchanged(wanted: Wanted, deployment: Deployment) -> bool:
    """Say whether *deployment* follows what is wanted already."""
    return deployment.origin.container == str(wanted.target)


def forget_refspec(sysroot: Sysroot, previous: Deployment, progress: Progress) -> None:
    """Delete the branch that *previous* follows; its deployment stays as the rollback.

    The deployment itself keeps its commit, so only later updates of that branch are lost.
    """
    refspec = previous.origin.refspec
    if previous.origin.kind is not OriginKind.REFSPEC or refspec is None:
        return
    try:
        run(["ostree", "refs", f"--repo={sysroot.repo_path}", "--delete", "--", refspec])
    except CommandError as error:
        progress.warning(f"The branch {refspec} could not be deleted: {error.stderr}")
