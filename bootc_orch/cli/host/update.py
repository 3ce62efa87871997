"""``upgrade``, ``auto-update`` and ``switch``: bring a new system to the next boot."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bootc_orch.cli.host.transactions import (
    check_update,
    plan_update,
    run_update,
)
from bootc_orch.cli.options.configured import config
from bootc_orch.cli.options.general import (
    ProgressFd,
    Unchanged77,
    exclusive,
    tell_unchanged,
)
from bootc_orch.cli.options.host import (
    Booting,
    Deploying,
    EnforcePolicy,
    Host,
    Kargs,
    Planning,
    kargs_edit,
    require_running,
    transaction_options,
)
from orch_frame.options.fetching import Fetching
from orch_frame.options.printing import with_output
from orch_frame.output import say, say_result

app = typer.Typer(add_completion=False)

Check = Annotated[bool, typer.Option("--check", help="Only look for a newer version, and note it.")]
DownloadOnly = Annotated[
    bool,
    typer.Option(
        "--download-only", help="Fetch everything, but let it boot only after --from-downloaded."
    ),
]
FromDownloaded = Annotated[
    bool, typer.Option("--from-downloaded", help="Fetch nothing; release what was downloaded.")
]
Tag = Annotated[
    str | None, typer.Option("--tag", metavar="TAG", help="Follow this tag from now on.")
]


class Policy(StrEnum):
    """The values of ``--policy``."""

    CHECK = "check"
    STAGE = "stage"
    APPLY = "apply"


@app.command()
@app.command("update", hidden=True)
@with_output
def upgrade(
    *,
    check: Check = False,
    booting: Booting,
    download_only: DownloadOnly = False,
    from_downloaded: FromDownloaded = False,
    tag: Tag = None,
    karg: Kargs = None,
    planning: Planning,
    unchanged_exit_77: Unchanged77 = False,
    deploying: Deploying,
    fetching: Fetching,
    progress_fd: ProgressFd = None,
) -> None:
    """Bring in the newest version of the image that the system follows, for the next boot."""
    from bootc_orch.ops.host.upgrade import followed, plan_upgrade

    exclusive(check=check, apply=booting.apply)
    exclusive(check=check, plan=planning.plan)
    exclusive(check=check, karg=karg)
    exclusive(check=check, download_only=download_only, from_downloaded=from_downloaded)
    exclusive(download_only=download_only, apply=booting.apply)
    options = deploying.transaction_options(fetching)
    opened = deploying.open_sysroot(planning)
    require_running(opened, apply=booting.apply)
    wanted = plan_upgrade(
        followed(opened, opened.deployments()),
        tag=tag,
        kargs=kargs_edit(append=karg),
        download_only=download_only,
        from_downloaded=from_downloaded,
    )
    if check:
        changed = check_update(opened, wanted, options, progress_fd)
    elif planning.plan:
        changed = plan_update(opened, wanted, options, progress_fd, diff=planning.diff)
    else:
        changed = run_update(opened, wanted, options, progress_fd, apply=booting.apply)
    tell_unchanged(unchanged_exit_77, changed=changed)


@app.command("auto-update")
@with_output
def auto_update(
    *,
    policy: Annotated[
        Policy | None,
        typer.Option(
            "--policy", help="What to do about a newer version; default: the configuration's."
        ),
    ] = None,
    host: Host,
) -> None:
    """Look for a newer version, stage it, or reboot into it, as the policy says; for timers."""
    from bootc_orch.ops.host.upgrade import followed, plan_upgrade

    chosen = policy or Policy(config().policy or Policy.STAGE)
    options = transaction_options(Fetching(lock_timeout=host.wait))
    opened = host.open_sysroot()
    require_running(opened, apply=chosen is Policy.APPLY)
    wanted = plan_upgrade(followed(opened, opened.deployments()))
    if chosen is Policy.CHECK:
        check_update(opened, wanted, options, None)
    else:
        run_update(opened, wanted, options, None, apply=chosen is Policy.APPLY)


@app.command()
@with_output
def switch(
    target: Annotated[str, typer.Argument(metavar="IMAGE", help="The name of the image.")],
    *,
    transport: Annotated[
        str, typer.Option("--transport", metavar="TRANSPORT", help="Where the image is.")
    ] = "registry",
    enforce_container_sigpolicy: EnforcePolicy = False,
    retain: Annotated[
        bool, typer.Option("--retain", help="Keep the branch that was followed so far.")
    ] = False,
    booting: Booting,
    karg: Kargs = None,
    planning: Planning,
    unchanged_exit_77: Unchanged77 = False,
    deploying: Deploying,
    fetching: Fetching,
    progress_fd: ProgressFd = None,
) -> None:
    """Follow another image from now on; a system that follows an ostree branch moves to images."""
    from dataclasses import replace

    from bootc_orch.ops.deploying.wanted import require_current
    from bootc_orch.ops.host.switch import is_unchanged, parse_transport, plan_switch

    options = deploying.transaction_options(fetching)
    opened = deploying.open_sysroot(planning)
    require_running(opened, apply=booting.apply)
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
    elif planning.plan:
        changed = plan_update(opened, wanted, options, progress_fd, diff=planning.diff)
    else:
        forced, leave = replace(wanted, force=True), None if retain else current
        changed = run_update(opened, forced, options, progress_fd, apply=booting.apply, leave=leave)
    tell_unchanged(unchanged_exit_77, changed=changed)
