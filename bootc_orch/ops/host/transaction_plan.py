"""What a transaction would do: layers, app images, bytes, space; on request what it would change.

A plan changes nothing.  A preview brings in what the transaction needs of the OS image, because
only the merged tree tells which packages and files differ; it deploys nothing and moves no image's
ref.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.ops.deploying import bound
from bootc_orch.ops.deploying.wanted import Wanted, base_deployment, plan_deployment
from bootc_orch.ops.difference.root_difference import RootDifference, compare_roots
from bootc_orch.ops.host.transaction import TransactionOptions, bound_options, fetch, needs_stored
from bootc_orch.ops.importing.pull import plan_pull
from bootc_orch.ops.opening.pull_plan import PullPlan, PullResult
from bootc_orch.ops.stored.boot_files import boot_bytes_needed, find_boot_files
from bootc_orch.ops.stored.lock import locked
from bootc_orch.ops.stored.new_root import CommitTree, checked_out
from bootc_orch.ops.stored.progress import Progress
from bootc_orch.ops.stored.store import image_state
from bootc_orch.tools.ostree.sysroot import Sysroot


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
        host: What is still to be pulled of the OS image; None if all of it is there.
        apps: What is done about app images; None where only the pulled OS image can tell.
        root: The space of the root filesystem.
        boot: The space of ``/boot``.
        deployed: Whether the image boots next already, so that there is nothing to do.
        fetched: What a preview has pulled of the OS image; None if it was there.
        difference: What a preview found to change; None in a mere plan.
    """

    wanted: Wanted
    host: PullPlan | None
    apps: tuple[bound.PlannedApp, ...] | None
    root: Space
    boot: Space
    deployed: bool = False
    fetched: PullPlan | None = None
    difference: RootDifference | None = None


def plan_transaction(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress: Progress
) -> TransactionPlan:
    """Find out what `run_transaction` would do.

    Raises:
        OrchError: the image cannot be opened, or an app image cannot be resolved.
    """
    if needs_stored(wanted, options):
        commit = fetch(sysroot, wanted, options, progress).commit
    else:
        pull = replace(options.pull, require_bootable=True, target=wanted.target.image)
        host = plan_pull(sysroot.repo_path, wanted.source, pull, progress)
        stored = image_state(sysroot.repo(), wanted.target.image)
        if host is not None or stored is None:
            return _plan_unfetched(sysroot, wanted, host)
        commit = stored.merge_commit
    with locked(sysroot.repo_path, exclusive=False, timeout=options.transfer.lock_timeout):
        base = base_deployment(sysroot.deployments(), sysroot, wanted)
        with _new_root(sysroot, commit) as root:
            return _plan_stored(sysroot, wanted, base, root, options)


def preview_transaction(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress: Progress
) -> TransactionPlan:
    """Bring in what `run_transaction` would of the OS image, and find out what it would change.

    What was brought in stays until garbage is collected, so the transaction finds it.

    Raises:
        OrchError: the image cannot be had or deployed, or an app image cannot be resolved.
    """
    with locked(sysroot.repo_path, exclusive=False, timeout=options.transfer.lock_timeout):
        deployments = sysroot.deployments()
        base = base_deployment(deployments, sysroot, wanted)
        unnamed = replace(options, pull=replace(options.pull, named=False))
        pulled = fetch(sysroot, wanted, unnamed, progress)
        request = plan_deployment(sysroot.repo(), deployments, base, wanted, pulled.commit)
        return preview(sysroot, wanted, pulled, base, request.options.kargs or (), options)


def preview(
    sysroot: Sysroot,
    wanted: Wanted,
    pulled: PullResult,
    base: Deployment | None,
    kargs: Sequence[str],
    options: TransactionOptions,
) -> TransactionPlan:
    """Find out what deploying *pulled* in the place of *base*, with *kargs*, would change.

    The caller holds the lock of the repository.

    Raises:
        OrchError: the image cannot be deployed, or an app image cannot be resolved.
    """
    repo = sysroot.repo()
    with ExitStack() as stack:
        # No ref keeps the merge commit, and other programs prune as they like.
        with repo.pruning_held_off(timeout=options.transfer.lock_timeout):
            difference = compare_roots(repo, base, pulled.commit, kargs)
            root = stack.enter_context(_new_root(sysroot, pulled.commit))
        plan = _plan_stored(sysroot, wanted, base, root, options)
    return replace(plan, fetched=pulled.plan, difference=difference)


def _plan_unfetched(sysroot: Sysroot, wanted: Wanted, host: PullPlan | None) -> TransactionPlan:
    needed = host.transfer.needed_bytes if host else 0
    return TransactionPlan(
        wanted=wanted,
        host=host,
        apps=None,
        root=Space(needed, free_space(sysroot.path / "ostree")),
        boot=Space(None, free_space(sysroot.path / "boot")),
    )


@dataclass(frozen=True, slots=True)
class _NewRoot:
    """A root all of which is stored.

    Attributes:
        commit: Its commit.
        boot_bytes: What its kernel and initramfs need of ``/boot``.
        path: Where it is checked out; None if it binds no app images, which is why anyone looks.
    """

    commit: str
    boot_bytes: int
    path: Path | None


@contextmanager
def _new_root(sysroot: Sysroot, commit: str) -> Iterator[_NewRoot]:
    repo = sysroot.repo()
    tree = CommitTree(repo, commit)
    boot = boot_bytes_needed(sysroot, repo, find_boot_files(repo, tree))
    if not bound.is_bound(tree):
        yield _NewRoot(commit, boot, None)
        return
    with checked_out(repo, commit) as path:
        yield _NewRoot(commit, boot, path)


def _plan_stored(
    sysroot: Sysroot,
    wanted: Wanted,
    base: Deployment | None,
    root: _NewRoot,
    options: TransactionOptions,
) -> TransactionPlan:
    """Plan with an image all of which is there."""
    apps: tuple[bound.PlannedApp, ...] = ()
    if root.path is not None:
        stateroot = wanted.stateroot or (base.stateroot if base else "default")
        name = bound.next_name(sysroot, stateroot, root.commit)
        apps = bound.plan(root.path, sysroot, name, bound_options(wanted, options))
    first = next(iter(sysroot.deployments().all), None)
    return TransactionPlan(
        wanted=wanted,
        host=None,
        apps=apps,
        root=Space(sum(app.size for app in apps), free_space(sysroot.path / "ostree")),
        boot=Space(root.boot_bytes, free_space(sysroot.path / "boot")),
        deployed=first is not None
        and first.checksum == root.commit
        and first.origin.container == str(wanted.target),
    )


def free_space(path: os.PathLike[str]) -> int:
    """Return how many bytes are free on the filesystem of *path*."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
