"""``upgrade``, ``auto-update`` and ``switch``: bring a new system to the next boot."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bootc_orch.cli.host.transactions import (
    check_update,
    plan_update,
    run_update,
)
from bootc_orch.cli.options.fetching import Fetching
from bootc_orch.cli.options.general import (
    Diff,
    Json,
    LockTimeout,
    Plan,
    ProgressFd,
    Quiet,
    SysrootOption,
    Unchanged77,
    Verbose,
    config,
    exclusive,
    require_plan,
    tell_unchanged,
)
from bootc_orch.cli.options.grouping import grouped
from bootc_orch.cli.options.host import (
    Apply,
    BoundChoice,
    BoundImages,
    Hooks,
    Kargs,
    SoftReboot,
    kargs_edit,
    open_for_update,
    open_sysroot,
    refuse_soft_reboot,
    require_running,
    transaction_options,
)
from orch_frame.output import say, say_result

app = typer.Typer(add_completion=False)


class Policy(StrEnum):
    """The values of ``--policy``."""

    CHECK = "check"
    STAGE = "stage"
    APPLY = "apply"


@app.command()
@app.command("update", hidden=True)
@grouped
def upgrade(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only look for a newer version, and note it.")
    ] = False,
    apply: Apply = False,
    download_only: Annotated[
        bool,
        typer.Option(
            "--download-only",
            help="Fetch everything, but let it boot only after --from-downloaded.",
        ),
    ] = False,
    from_downloaded: Annotated[
        bool,
        typer.Option("--from-downloaded", help="Fetch nothing; release what was downloaded."),
    ] = False,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Follow this tag from now on.")
    ] = None,
    karg: Kargs = None,
    soft_reboot: SoftReboot = None,
    plan: Plan = False,
    diff: Diff = False,
    unchanged_exit_77: Unchanged77 = False,
    bound_images: BoundImages = BoundChoice.PULL,
    hooks: Hooks = None,
    sysroot: SysrootOption = Path("/"),
    fetching: Fetching,
    quiet: Quiet = False,
    progress_fd: ProgressFd = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Bring in the newest version of the image that the system follows, for the next boot."""
    from bootc_orch.ops.host.upgrade import followed, plan_upgrade

    refuse_soft_reboot(soft_reboot)
    require_plan(plan=plan, diff=diff)
    exclusive(check=check, apply=apply)
    exclusive(check=check, plan=plan)
    exclusive(check=check, karg=karg)
    exclusive(check=check, download_only=download_only, from_downloaded=from_downloaded)
    exclusive(download_only=download_only, apply=apply)
    options = transaction_options(fetching, bound=bound_images, hooks=hooks)
    opened = open_for_update(sysroot, plan=plan, diff=diff)
    require_running(opened, apply=apply)
    wanted = plan_upgrade(
        followed(opened, opened.deployments()),
        tag=tag,
        kargs=kargs_edit(append=karg),
        download_only=download_only,
        from_downloaded=from_downloaded,
    )
    if check:
        changed = check_update(opened, wanted, options, progress_fd)
    elif plan:
        changed = plan_update(opened, wanted, options, progress_fd, diff=diff)
    else:
        changed = run_update(opened, wanted, options, progress_fd, apply=apply)
    tell_unchanged(unchanged_exit_77, changed=changed)


@app.command("auto-update")
def auto_update(
    *,
    policy: Annotated[
        Policy | None,
        typer.Option(
            "--policy", help="What to do about a newer version; default: the configuration's."
        ),
    ] = None,
    sysroot: SysrootOption = Path("/"),
    wait: LockTimeout = None,
    quiet: Quiet = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Look for a newer version, stage it, or reboot into it, as the policy says; for timers."""
    from bootc_orch.ops.host.upgrade import followed, plan_upgrade

    chosen = policy or Policy(config().policy or Policy.STAGE)
    options = transaction_options(Fetching(wait=wait))
    opened = open_sysroot(sysroot, writing=True)
    require_running(opened, apply=chosen is Policy.APPLY)
    wanted = plan_upgrade(followed(opened, opened.deployments()))
    if chosen is Policy.CHECK:
        check_update(opened, wanted, options, None)
    else:
        run_update(opened, wanted, options, None, apply=chosen is Policy.APPLY)


@app.command()
@grouped
def switch(
    target: Annotated[str, typer.Argument(metavar="IMAGE", help="The name of the image.")],
    *,
    transport: Annotated[
        str, typer.Option("--transport", metavar="TRANSPORT", help="Where the image is.")
    ] = "registry",
    enforce_container_sigpolicy: Annotated[
        bool,
        typer.Option(
            "--enforce-container-sigpolicy", help="Demand a signature policy that is not open."
        ),
    ] = False,
    retain: Annotated[
        bool, typer.Option("--retain", help="Keep the branch that was followed so far.")
    ] = False,
    apply: Apply = False,
    karg: Kargs = None,
    soft_reboot: SoftReboot = None,
    plan: Plan = False,
    diff: Diff = False,
    unchanged_exit_77: Unchanged77 = False,
    bound_images: BoundImages = BoundChoice.PULL,
    hooks: Hooks = None,
    sysroot: SysrootOption = Path("/"),
    fetching: Fetching,
    quiet: Quiet = False,
    progress_fd: ProgressFd = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Follow another image from now on; a system that follows an ostree branch moves to images."""
    from dataclasses import replace

    from bootc_orch.ops.deploying.wanted import require_current
    from bootc_orch.ops.host.switch import is_unchanged, parse_transport, plan_switch

    refuse_soft_reboot(soft_reboot)
    require_plan(plan=plan, diff=diff)
    options = transaction_options(fetching, bound=bound_images, hooks=hooks)
    opened = open_for_update(sysroot, plan=plan, diff=diff)
    require_running(opened, apply=apply)
    deployments = opened.deployments()
    current = require_current(deployments, opened)
    wanted = plan_switch(
        target,
        transport=parse_transport(transport),
        enforce_policy=enforce_container_sigpolicy,
        kargs=kargs_edit(append=karg),
    )
    if is_unchanged(wanted, deployments.staged or current) and not karg:
        say("Image specification is unchanged.")
        say_result("transaction", None)
        changed = False
    elif plan:
        changed = plan_update(opened, wanted, options, progress_fd, diff=diff)
    else:
        changed = run_update(
            opened,
            replace(wanted, force=True),
            options,
            progress_fd,
            apply=apply,
            leave=None if retain else current,
        )
    tell_unchanged(unchanged_exit_77, changed=changed)
