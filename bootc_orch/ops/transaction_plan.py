"""What a transaction would do: layers, app images, bytes and space; nothing is changed."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from bootc_orch.ops import bound
from bootc_orch.ops.boot_files import boot_bytes_needed, find_boot_files
from bootc_orch.ops.lock import locked
from bootc_orch.ops.new_root import CommitTree, checked_out
from bootc_orch.ops.progress import Progress
from bootc_orch.ops.pull import plan_pull
from bootc_orch.ops.pull_plan import PullPlan
from bootc_orch.ops.store import image_state
from bootc_orch.ops.transaction import TransactionOptions
from bootc_orch.ops.wanted import Wanted
from bootc_orch.tools.sysroot import Sysroot


@dataclass(frozen=True, slots=True)
class Space:
    """The space of one filesystem, in bytes.

    Attributes:
        needed: What the transaction needs of it; None where only a pull can tell.
        free: What is free.
    """

    needed: int | None
    free: int


@dataclass(frozen=True, slots=True)
class TransactionPlan:
    """What a transaction would do.

    Attributes:
        wanted: What is to be deployed.
        host: What is pulled of the OS image; None if it is stored already.
        apps: What is done about app images; None where only the pulled OS image can tell.
        root: The space of the root filesystem.
        boot: The space of ``/boot``.
        deployed: Whether the image boots next already, so that there is nothing to do.
    """

    wanted: Wanted
    host: PullPlan | None
    apps: tuple[bound.PlannedApp, ...] | None
    root: Space
    boot: Space
    deployed: bool


def plan_transaction(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress: Progress
) -> TransactionPlan:
    """Find out what `run_transaction` would do.

    Raises:
        OrchError: the image cannot be opened, or an app image cannot be resolved.
    """
    host = plan_pull(
        sysroot.repo_path, wanted.source, replace(options.pull, require_bootable=True), progress
    )
    needed = host.transfer.needed_bytes if host else 0
    stored = None if host else image_state(sysroot.repo(), wanted.source.image)
    apps, boot, deployed = None, None, False
    if stored is not None:
        apps, boot = _plan_stored(sysroot, stored.merge_commit, options)
        first = next(iter(sysroot.deployments().all), None)
        deployed = (
            first is not None
            and first.checksum == stored.merge_commit
            and first.origin.container == str(wanted.target)
        )
    return TransactionPlan(
        wanted=wanted,
        host=host,
        apps=apps,
        root=Space(needed + sum(app.size for app in apps or ()), _free(sysroot, "ostree")),
        boot=Space(boot, _free(sysroot, "boot")),
        deployed=deployed,
    )


def _plan_stored(
    sysroot: Sysroot, commit: str, options: TransactionOptions
) -> tuple[tuple[bound.PlannedApp, ...], int]:
    repo = sysroot.repo()
    tree = CommitTree(repo, commit)
    boot = boot_bytes_needed(sysroot, repo, find_boot_files(repo, tree))
    if not bound.is_bound(tree):
        return (), boot
    current = sysroot.deployments().current
    stateroot = current.stateroot if current else "default"
    with (
        locked(sysroot.repo_path, exclusive=False, timeout=options.pull.lock_timeout),
        checked_out(repo, commit) as root,
    ):
        name = bound.next_name(sysroot, stateroot, commit)
        return bound.plan(root, sysroot, name, options.bound), boot


def _free(sysroot: Sysroot, name: str) -> int:
    found = os.statvfs(sysroot.path / name)
    return found.f_bavail * found.f_frsize
