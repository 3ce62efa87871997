"""What an installation would do, and what the installed system would be made of."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bootc_orch.ops.deploying.wanted import Wanted
from bootc_orch.ops.host.transaction import TransactionOptions
from bootc_orch.ops.host.transaction_plan import Space, TransactionPlan, free_space, preview
from bootc_orch.ops.importing.pull import plan_pull, pull
from bootc_orch.ops.installing.install import (
    InstallRequest,
    all_kargs,
    check_root,
    host_kargs,
    prepare_root,
    require_installable,
)
from bootc_orch.ops.stored.lock import locked
from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.ops.stored.progress import Progress
from bootc_orch.tools.ostree.objects import RepoMode
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.below import Below


def plan_install(
    request: InstallRequest, options: TransactionOptions, progress: Progress
) -> TransactionPlan:
    """Find out what `install` would do; nothing is written to the root.

    Raises:
        UsageError: the root is not empty, or an argument cannot be used.
        OrchError: the image cannot be opened.
    """
    require_installable(request)
    host_kargs(request)
    check_root(request)
    wanted = _wanted(request)
    how = replace(options.pull, require_bootable=True, target=request.target.image)
    with _repository(request.root) as repo:
        host = plan_pull(repo, request.source, how, progress)
    boot = "boot" if Below(request.root).is_dir("boot") else ""
    return TransactionPlan(
        wanted=wanted,
        host=host,
        apps=None,
        root=Space(host.transfer.needed_bytes if host else 0, free_space(request.root)),
        boot=Space(None, free_space(request.root / boot)),
    )


def preview_install(
    request: InstallRequest, options: TransactionOptions, progress: Progress
) -> TransactionPlan:
    """Bring the OS image into the root as `install` would, deploy nothing, and describe it.

    It leaves the root as an unfinished installation does, so `install` finds what was fetched.

    Raises:
        UsageError: the root is not empty, or an argument cannot be used.
        OrchError: the image cannot be had or installed, or an app image cannot be resolved.
    """
    require_installable(request)
    mounts = host_kargs(request)
    check_root(request)
    sysroot = prepare_root(request)
    wanted = _wanted(request)
    how = replace(
        options.pull, gc=False, named=False, require_bootable=True, target=request.target.image
    )
    with locked(sysroot.repo_path, exclusive=False, timeout=options.transfer.lock_timeout):
        pulled = pull(sysroot.repo_path, request.source, how, progress)
        kargs = all_kargs(request, mounts, CommitTree(sysroot.repo(), pulled.commit))
        return preview(sysroot, wanted, pulled, None, kargs, options)


def _wanted(request: InstallRequest) -> Wanted:
    return Wanted(request.source, request.target, force=True, stateroot=request.stateroot)


@contextmanager
def _repository(root: Path) -> Iterator[Path]:
    """Yield the repository of an unfinished installation, else an empty one somewhere else."""
    if Below(root).is_dir("ostree/repo"):
        yield root / "ostree/repo"
        return
    with tempfile.TemporaryDirectory(prefix="bootc-orch-plan-") as directory:
        path = Path(directory) / "repo"
        Repo.init(path, RepoMode.BARE)
        yield path
