"""The status of a sysroot, made of its deployments and of what their commits record."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from bootc_orch.model.host.deployment import Deployment, Deployments
from bootc_orch.model.host.document import (
    BootOrder,
    EntryStatus,
    Host,
    HostSpec,
    ImageStatus,
    UsrOverlay,
)
from bootc_orch.model.host.origin import OriginKind
from bootc_orch.model.image.manifest import ImageConfig
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.model.timestamp import parse_rfc3339
from bootc_orch.ops.deploying import bound
from bootc_orch.ops.stored.store import ImageState, commit_state
from bootc_orch.tools.mounts import is_read_only_medium
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.ostree.sysroot import Sysroot, is_booted
from orch_frame.below import Below
from orch_frame.errors import NotFoundError, OrchError, StoreDamagedError

logger = logging.getLogger(__name__)

CREATED_LABEL = "org.opencontainers.image.created"


def read_host(sysroot: Sysroot) -> Host:
    """Describe *sysroot*; where nothing of it is booted, all its deployments are "others".

    What is damaged is left out with a warning: who looks at the status wants to see the rest.
    """
    repo = sysroot.repo()
    deployments = sysroot.deployments(_warn)
    booted = deployments.booted
    if booted is None:
        others = tuple(entry_status(sysroot, repo, one) for one in deployments.all)
        return Host(
            HostSpec(), others=others, read_only=is_read_only_medium(sysroot.path / "ostree")
        )
    return Host(
        _spec(deployments),
        staged=_entry(sysroot, repo, deployments.staged),
        booted=_entry(sysroot, repo, booted),
        rollback=_entry(sysroot, repo, deployments.rollback),
        others=tuple(entry_status(sysroot, repo, one) for one in deployments.others),
        rollback_queued=deployments.rollback_queued,
        usr_overlay=UsrOverlay.of(booted.unlocked),
        read_only=is_read_only_medium(sysroot.path / "ostree"),
        next_boot=deployments.next_boot.name if deployments.next_boot else None,
    )


def unbooted_host(path: Path) -> Host:
    """Describe a root that is no ostree system."""
    return Host(HostSpec(), read_only=is_read_only_medium(path))


def is_ostree_system(path: Path) -> bool:
    """Say whether a sysroot is at *path*, or the running system is one.

    Raises:
        NotFoundError: *path* is no directory.
    """
    if not path.is_dir():
        raise NotFoundError(f"{path} is no directory.", path=str(path))
    return Below(path).is_dir("ostree/repo") or (path == Path("/") and is_booted())


def only_booted(host: Host) -> Host:
    """Leave out every deployment but what is running."""
    return replace(host, staged=None, rollback=None, others=())


def entry_status(sysroot: Sysroot, repo: Repo, deployment: Deployment) -> EntryStatus:
    """Describe one deployment; what its commit does not tell is left out with a warning."""
    origin = deployment.origin
    image = _followed(deployment)
    state = _state(repo, deployment) if image is not None else None
    cached = state.cached_update if state else None
    return EntryStatus(
        checksum=deployment.checksum,
        serial=deployment.serial,
        stateroot=deployment.stateroot,
        image=_image(image, str(state.manifest_digest), state.config) if image and state else None,
        cached_update=_image(image, str(cached.manifest_digest), cached.config)
        if image and cached
        else None,
        incompatible=origin.kind is OriginKind.LAYERED,
        pinned=deployment.pinned,
        download_only=deployment.locked,
        refspec=origin.refspec if origin.kind is not OriginKind.CONTAINER else None,
        bound_images=_bound_images(sysroot, deployment),
    )


def _warn(error: OrchError) -> None:
    where = f" ({error.path})" if error.path and error.path not in error.summary else ""
    logger.warning("%s%s %s", error.summary, where, error.hint or "")


def _followed(deployment: Deployment) -> OstreeImageReference | None:
    try:
        return deployment.image
    except StoreDamagedError as error:
        _warn(error)
        return None


def _entry(sysroot: Sysroot, repo: Repo, deployment: Deployment | None) -> EntryStatus | None:
    return entry_status(sysroot, repo, deployment) if deployment is not None else None


def _spec(deployments: Deployments) -> HostSpec:
    order = BootOrder.ROLLBACK if deployments.rollback_queued else BootOrder.DEFAULT
    wanted = deployments.staged or deployments.booted
    return HostSpec(_followed(wanted) if wanted else None, order)


def _state(repo: Repo, deployment: Deployment) -> ImageState | None:
    try:
        return commit_state(repo, deployment.checksum)
    except OrchError as error:
        logger.warning("Deployment %s: %s", deployment.name, error.summary)
        return None


def _bound_images(sysroot: Sysroot, deployment: Deployment) -> tuple[dict[str, Any], ...]:
    try:
        return bound.recorded(sysroot, deployment)
    except OrchError as error:
        logger.warning("Deployment %s: %s", deployment.name, error.summary)
        return ()


def _image(reference: OstreeImageReference, digest: str, config: ImageConfig) -> ImageStatus:
    return ImageStatus(
        image=reference,
        digest=digest,
        architecture=config.architecture,
        version=config.version,
        timestamp=_timestamp(config),
    )


def _timestamp(config: ImageConfig) -> str | None:
    for text in (config.labels.get(CREATED_LABEL), config.created):
        try:
            if text is not None and parse_rfc3339(text) is not None:
                return text
        except OrchError:
            continue
    return None
