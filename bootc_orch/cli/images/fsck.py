"""``fsck`` and ``repair``: find what is wrong, and have what is bad or missing again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.options.configured import lock_timeout
from bootc_orch.cli.options.fetching import pull_options
from bootc_orch.cli.options.general import (
    Plan,
    RepoOption,
    open_repo,
)
from bootc_orch.cli.options.host import SysrootOption, open_sysroot
from bootc_orch.cli.terminal.progress import reporting
from orch_frame.errors import StoreDamagedError
from orch_frame.options.fetching import Fetching, LockTimeout
from orch_frame.options.printing import with_output
from orch_frame.output import say, say_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bootc_orch.ops.checking.finding import Finding
    from bootc_orch.ops.checking.fsck import Report
    from bootc_orch.ops.checking.repair import Repaired, RepairPlan

app = typer.Typer(add_completion=False)


@app.command()
@with_output
def fsck(
    *,
    repo: RepoOption = None,
    sysroot: SysrootOption = Path("/"),
    fast: Annotated[
        bool, typer.Option("--fast", help="See that files are there, but do not read them.")
    ] = False,
    wait: LockTimeout = None,
) -> None:
    """Check refs, images, layers, objects, deployments, boot entries and app images."""
    from bootc_orch.ops.stored.lock import locked

    if repo is None and os.geteuid() == 0:  # the store of app images is locked while it is read
        open_sysroot(sysroot, writing=True)
    path = repo if repo is not None else open_repo(None, sysroot=sysroot).path
    with locked(path, exclusive=False, timeout=lock_timeout(wait)):
        report = _check(repo, sysroot, fast=fast)
    _say_findings(report.findings)
    say(
        f"Checked {report.objects} objects, {report.images} images, "
        f"{report.deployments} deployments: {len(report.errors)} errors, "
        f"{len(report.findings) - len(report.errors)} warnings"
    )
    say_result(
        "fsck",
        {
            "objects": report.objects,
            "images": report.images,
            "deployments": report.deployments,
            "findings": [finding.to_json() for finding in report.findings],
        },
    )
    if report.errors:
        raise typer.Exit(StoreDamagedError.exit_code)


def _check(repo: Path | None, sysroot: Path, *, fast: bool) -> Report:
    from bootc_orch.ops.checking.fsck import check_repository
    from bootc_orch.ops.checking.fsck_sysroot import check_sysroot

    if repo is not None:
        return check_repository(open_repo(repo), contents=not fast)
    return check_sysroot(open_sysroot(sysroot), contents=not fast)


@app.command()
@with_output
def repair(
    *,
    repo: RepoOption = None,
    sysroot: SysrootOption = Path("/"),
    plan: Plan = False,
    fetching: Fetching,
) -> None:
    """Fetch bad and missing layers again, and rebuild the images that are made of them."""
    from bootc_orch.ops.checking.fsck_sysroot import deployed_signatures
    from bootc_orch.ops.checking.repair import apply_repair, plan_repair
    from bootc_orch.ops.stored.lock import locked

    options = pull_options(fetching)
    system = open_sysroot(sysroot, writing=_may_write(plan=plan)) if repo is None else None
    opened = system.repo() if system else open_repo(repo)
    with locked(opened.path, exclusive=False, timeout=options.transfer.lock_timeout):
        planned = plan_repair(opened, _check(repo, sysroot, fast=False).findings)
    if plan:
        _say_plan(planned)
        return
    _say_repairs(planned, word="Repairing")
    signatures = deployed_signatures(sysroot) if repo is None else {}
    with reporting() as progress:
        done = apply_repair(
            planned, opened, options, progress, signatures=signatures, sysroot=system
        )
    _say_repaired(done, planned.unrepairable)


def _say_plan(plan: RepairPlan) -> None:
    _say_repairs(plan, word="Would repair")
    _say_findings(plan.unrepairable)
    say_result(
        "plan",
        {
            "images": [str(image.reference) for image in plan.images],
            "deployments": list(plan.deployments),
            "unrepairable": [finding.to_json() for finding in plan.unrepairable],
        },
    )
    _fail_for_errors(plan.unrepairable)


def _say_repaired(done: Repaired, unrepairable: Sequence[Finding]) -> None:
    _say_findings(done.left)
    for name, count in done.files.items():
        say(f"Repaired files of deployment {name}: {count}")
    say(f"Repaired images: {len(done.images)}; still wrong: {len(done.left)}")
    say_result(
        "repaired",
        {
            "images": [str(image) for image in done.images],
            "failed": [{"image": str(image), "reason": why} for image, why in done.failed],
            "files": dict(done.files),
            "unrepairable": [finding.to_json() for finding in unrepairable],
            "findings": [finding.to_json() for finding in done.left],
        },
    )
    if done.failed:
        raise typer.Exit(StoreDamagedError.exit_code)
    _fail_for_errors(done.left)


def _fail_for_errors(findings: Sequence[Finding]) -> None:
    """Exit with the status of a damaged store if any of *findings* is more than a warning."""
    from bootc_orch.ops.checking.finding import Severity

    if any(finding.severity is Severity.ERROR for finding in findings):
        raise typer.Exit(StoreDamagedError.exit_code)


def _may_write(*, plan: bool) -> bool:
    """Even a plan has to write where it can: the store of app images is locked while it is read."""
    return not plan or os.geteuid() == 0


def _say_repairs(plan: RepairPlan, *, word: str) -> None:
    for image in plan.images:
        say(f"{word}: {image.reference}")
    for name in plan.deployments:
        say(f"{word} files of deployment {name}")


def _say_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        say(f"{finding.severity}: {finding.kind}: {finding.detail}")
        say(f"  remedy: {finding.instruction}")
