"""Deploy a commit: write the origin, run ``ostree admin deploy``, and prove what came out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bootc_orch.errors import CommandError
from bootc_orch.model.host.deployment import Deployment
from bootc_orch.model.host.origin import Origin
from bootc_orch.ops.stored.workspace import workspace
from bootc_orch.tools.ostree.admin import DeployOptions, OstreeAdmin
from bootc_orch.tools.ostree.repo import sync_filesystem
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import ReadOnlyError, SpaceError, StoreDamagedError


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """A commit to deploy.

    Attributes:
        commit: Its checksum.
        origin: What the new deployment follows.
        options: How ``ostree admin`` is to act.
    """

    commit: str
    origin: Origin
    options: DeployOptions = field(default_factory=lambda: DeployOptions("default"))


def deploy(sysroot: Sysroot, request: DeployRequest) -> Deployment:
    """Deploy, and return the new deployment once all of it is on the disk.

    Raises:
        SpaceError: there is no space for it; the boot list is as it was.
        StoreDamagedError: ostree reported success, but something else boots next.
    """
    before = {one.path for one in sysroot.deployments().all}
    with _origin_file(sysroot, request.origin) as origin:
        try:
            OstreeAdmin(sysroot.path).deploy(request.commit, origin, request.options)
        except CommandError as error:
            raise _explain(error, sysroot) from error
    synchronise(sysroot)
    found = sysroot.deployments().all
    if not request.options.default:
        found = tuple(one for one in found if one.path not in before)
    first = next(iter(found), None)
    if first is None or first.checksum != request.commit:
        raise StoreDamagedError(
            f"Commit {request.commit} was deployed, but {first.name if first else 'nothing'} "
            "boots next.",
            path=str(sysroot.path),
        )
    return first


def synchronise(sysroot: Sysroot) -> None:
    """Flush the filesystems of the root and of ``/boot`` to their disks."""
    sync_filesystem(sysroot.path / "ostree")
    sync_filesystem(sysroot.path / "boot")


@contextmanager
def _origin_file(sysroot: Sysroot, origin: Origin) -> Iterator[Path]:
    with workspace(sysroot.repo(), "origin") as directory:
        path = directory / "origin"
        path.write_text(str(origin))
        yield path


def _explain(error: CommandError, sysroot: Sysroot) -> Exception:
    """Give the failures that an administrator can do something about their own class."""
    if "No space left on device" in error.stderr:
        return SpaceError(
            f"There is no space left to deploy in {sysroot.path}.",
            details=error.details,
            hint="Free space on / or /boot, for instance with: bootc-orch cleanup --rollback",
            path=str(sysroot.path),
        )
    if "Read-only file system" in error.stderr:
        return ReadOnlyError(
            f"{sysroot.path} cannot be written.", details=error.details, path=str(sysroot.path)
        )
    return error
