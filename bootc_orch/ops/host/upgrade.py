"""Follow the image that a system follows already: look for a newer version, or bring it in."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from bootc_orch.model.digest import Digest
from bootc_orch.model.host.deployment import Deployments
from bootc_orch.model.host.kargs import KargsEdit
from bootc_orch.model.host.origin import OriginKind
from bootc_orch.model.image.difference import LayerDifference
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.ops.deploying.wanted import Wanted, require_current
from bootc_orch.ops.importing.pull import plan_pull
from bootc_orch.ops.opening.pull_plan import PullOptions, PullPlan
from bootc_orch.ops.stored.lock import locked
from bootc_orch.ops.stored.notes import write_cached_update
from bootc_orch.ops.stored.progress import Progress
from bootc_orch.ops.stored.store import CachedUpdate, commit_state
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import OrchError, ReadOnlyError, UsageError


@dataclass(frozen=True, slots=True)
class Available:
    """A newer version that was seen but not fetched.

    Attributes:
        reference: The image that is followed.
        digest: The digest of its manifest.
        version: What its labels say, or None.
        difference: How its layers differ from those of the current version.
        plan: What a pull would fetch.
    """

    reference: OstreeImageReference
    digest: Digest
    version: str | None
    difference: LayerDifference
    plan: PullPlan


def followed(sysroot: Sysroot, deployments: Deployments) -> OstreeImageReference:
    """Return the image that the next update comes from: that of what is staged, else the current.

    Raises:
        NotFoundError: the sysroot has no deployment.
        OrchError: the system follows no image, or none that can be understood.
    """
    current = require_current(deployments, sysroot)
    wanted = deployments.staged or current
    image = wanted.image
    if image is None:
        what = (
            f"the ostree branch {wanted.origin.refspec}"
            if wanted.origin.kind is OriginKind.REFSPEC
            else "nothing"
        )
        raise OrchError(
            f"Deployment {wanted.name} follows {what}, not an image.",
            hint="Move it to an image with: bootc-orch switch IMAGE",
        )
    return image


def plan_upgrade(
    reference: OstreeImageReference,
    *,
    tag: str | None = None,
    kargs: KargsEdit | None = None,
    download_only: bool = False,
    from_downloaded: bool = False,
) -> Wanted:
    """Decide what to deploy for a system that follows *reference*; *tag* chooses another tag."""
    image = reference.image.with_tag(tag) if tag is not None else reference.image
    target = replace(reference, image=image)
    return Wanted(
        target,
        target,
        kargs=kargs or KargsEdit(),
        download_only=download_only,
        from_downloaded=from_downloaded,
    )


def check(
    sysroot: Sysroot, wanted: Wanted, options: PullOptions, progress: Progress
) -> Available | None:
    """Look for a newer version and note it on the current one; None if there is none.

    Who may not write there is told of it all the same, and that it is not noted.

    Raises:
        UsageError: nothing may be fetched, so nothing can be found.
        OrchError: the image cannot be opened.
    """
    if options.transfer.offline:
        raise UsageError(
            f"Whether {wanted.source.image} has a newer version cannot be told without asking "
            "its source.",
            hint="Leave out --offline.",
        )
    deployments = sysroot.deployments()
    current = require_current(deployments, sysroot)
    found = plan_pull(sysroot.repo_path, wanted.source, options, progress)
    if found is None:
        return None
    image = found.image
    repo = sysroot.repo()
    state = commit_state(repo, (deployments.staged or current).checksum)
    update = CachedUpdate(image.digest, image.manifest, image.config)
    try:
        with locked(sysroot.repo_path, exclusive=True, timeout=options.transfer.lock_timeout):
            write_cached_update(repo, current.checksum, update)
    except ReadOnlyError:
        if os.geteuid() == 0:
            raise
        progress.warning("The update is not noted for status, which only root can do.")
    return Available(
        reference=wanted.target,
        digest=image.digest,
        version=image.config.version,
        difference=LayerDifference.between(state.manifest, image.manifest),
        plan=found,
    )
