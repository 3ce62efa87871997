"""``rollback``, ``edit``, ``pin``, ``unpin``, ``cleanup``, ``kargs`` and ``usr-overlay``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.host.transactions import (
    reboot_if_asked,
    say_transaction,
)
from bootc_orch.cli.options.general import (
    Json,
    LockTimeout,
    ProgressFd,
    Quiet,
    SysrootOption,
    exclusive,
    lock_timeout,
)
from bootc_orch.cli.options.general import Verbose as VerboseLog
from bootc_orch.cli.options.host import (
    Apply,
    SoftReboot,
    kargs_edit,
    open_sysroot,
    refuse_soft_reboot,
    require_running,
)
from bootc_orch.cli.terminal.progress import reporting
from orch_frame.errors import OrchError
from orch_frame.output import say, say_result

if TYPE_CHECKING:
    from bootc_orch.ops.stored.progress import Progress
    from bootc_orch.tools.ostree.sysroot import Sysroot

app = typer.Typer(add_completion=False)


@app.command()
def rollback(
    *,
    apply: Apply = False,
    discard_staged: Annotated[
        bool, typer.Option("--discard-staged", help="Drop an update that is staged.")
    ] = False,
    soft_reboot: SoftReboot = None,
    sysroot: SysrootOption = Path("/"),
    wait: LockTimeout = None,
    json: Json = False,
    verbose: VerboseLog = False,
) -> None:
    """Let the previous system boot next; the second time, the current one again."""
    refuse_soft_reboot(soft_reboot)
    opened = open_sysroot(sysroot, writing=True)
    require_running(opened, apply=apply)
    with reporting() as progress:
        _roll_back(opened, progress, discard_staged=discard_staged, wait=wait)
    reboot_if_asked(apply, changed=True)


def _roll_back(
    sysroot: Sysroot, progress: Progress, *, discard_staged: bool, wait: float | None
) -> None:
    from bootc_orch.ops.host.rollback import rollback as roll_back

    queued = sysroot.deployments().rollback_queued
    if queued:
        say("notice: Reverting queued rollback state")
    first = roll_back(
        sysroot, progress, discard_staged=discard_staged, lock_timeout=lock_timeout(wait)
    )
    say(f"Next boot: {'current' if queued else 'rollback'} deployment")
    say_result("rollback", {"deployment": first.name, "queued": not queued})


@app.command("usr-overlay")
@app.command("usroverlay", hidden=True)
def usr_overlay(
    *,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Writable only in mount namespaces of one's own."),
    ] = False,
    sysroot: SysrootOption = Path("/"),
    json: Json = False,
    verbose: VerboseLog = False,
) -> None:
    """Mount an overlay over /usr that the next boot forgets."""
    from bootc_orch.ops.host.usr_overlay import mount_usr_overlay

    mount_usr_overlay(open_sysroot(sysroot), read_only=read_only)
    if read_only:
        say("An overlayfs is now mounted on /usr; it is read-only.")
        say("To write there, remount it in a mount namespace of your own, as with: unshare -m")
    else:
        say("A writable overlayfs is now mounted on /usr.")
    say("All changes there will be discarded on reboot.")
    say_result("usr_overlay", {"read_only": read_only})


Which = Annotated[
    str,
    typer.Argument(
        metavar="DEPLOYMENT",
        help="An index, booted, pending, rollback, a name, or the beginning of a checksum.",
    ),
]


@app.command()
def pin(
    deployment: Which,
    *,
    sysroot: SysrootOption = Path("/"),
    wait: LockTimeout = None,
    json: Json = False,
    verbose: VerboseLog = False,
) -> None:
    """Keep a deployment, and the app images it is bound to, from being collected."""
    _set_pinned(sysroot, deployment, pinned=True, wait=wait)


@app.command()
def unpin(
    deployment: Which,
    *,
    sysroot: SysrootOption = Path("/"),
    wait: LockTimeout = None,
    json: Json = False,
    verbose: VerboseLog = False,
) -> None:
    """Allow a deployment to be collected again."""
    _set_pinned(sysroot, deployment, pinned=False, wait=wait)


def _set_pinned(path: Path, which: str, *, pinned: bool, wait: float | None) -> None:
    from bootc_orch.ops.deploying.pin import pin as set_pinned

    opened = open_sysroot(path, writing=True)
    found, changed = set_pinned(opened, which, pinned=pinned, lock_timeout=lock_timeout(wait))
    word = "pinned" if pinned else "not pinned"
    say(f"Deployment {found.name} is {word}{' now' if changed else ' already'}")
    say_result("deployment", {"name": found.name, "pinned": pinned, "changed": changed})


@app.command()
def cleanup(
    *,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Remove the rollback deployment.")
    ] = False,
    pending: Annotated[
        bool, typer.Option("--pending", help="Remove what boots next instead of the current one.")
    ] = False,
    sysroot: SysrootOption = Path("/"),
    wait: LockTimeout = None,
    quiet: Quiet = False,
    json: Json = False,
    verbose: VerboseLog = False,
) -> None:
    """Remove deployments, and all that nothing needs without them."""
    from bootc_orch.ops.deploying.cleanup import collect, find_pending, find_rollback, remove
    from bootc_orch.ops.stored.lock import locked

    exclusive(rollback=rollback, pending=pending)
    opened = open_sysroot(sysroot, writing=True)
    removed = []
    with (
        locked(opened.repo_path, exclusive=True, timeout=lock_timeout(wait)),
        reporting() as progress,
    ):
        if rollback or pending:
            doomed = find_rollback(opened) if rollback else find_pending(opened)
            remove(opened, doomed)
            say(f"Removed deployment {doomed.name}")
            removed.append(doomed.name)
        collect(opened, progress)
    say_result("removed", removed)


@app.command()
def kargs(
    *,
    append: Annotated[
        list[str] | None, typer.Option("--append", metavar="KEY[=VALUE]", help="Add it.")
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option("--replace", metavar="KEY=VALUE", help="Put it in the place of all of KEY."),
    ] = None,
    delete: Annotated[
        list[str] | None,
        typer.Option("--delete", metavar="KEY[=VALUE]", help="Remove it, or all of KEY."),
    ] = None,
    sysroot: SysrootOption = Path("/"),
    wait: LockTimeout = None,
    json: Json = False,
    verbose: VerboseLog = False,
) -> None:
    """Show the kernel arguments of the next boot, or change them by a new deployment."""
    from bootc_orch.ops.host.change_kargs import change_kargs, next_kargs

    edit = kargs_edit(append=append, replace=replace, delete=delete)
    opened = open_sysroot(sysroot, writing=bool(edit))
    deployed = None
    if edit:
        deployed = change_kargs(opened, edit, lock_timeout=lock_timeout(wait))
        if deployed is None:
            say("No changes.")
        else:
            say(f"Queued for next boot: deployment {deployed.name}")
    arguments = next_kargs(opened)
    say(" ".join(arguments))
    name = deployed.name if deployed else None
    say_result("kargs", list(arguments), changed=deployed is not None, deployment=name)


@app.command()
def edit(
    *,
    filename: Annotated[
        Path | None,
        typer.Option("-f", "--filename", metavar="FILE", help="Read the new document from FILE."),
    ] = None,
    discard_staged: Annotated[
        bool, typer.Option("--discard-staged", help="Drop an update that is staged.")
    ] = False,
    sysroot: SysrootOption = Path("/"),
    wait: LockTimeout = None,
    quiet: Quiet = False,
    progress_fd: ProgressFd = None,
    json: Json = False,
    verbose: VerboseLog = False,
) -> None:
    """Change spec.image or spec.bootOrder of the host's document, and carry the change out."""
    from bootc_orch.cli.host.edit import edited_spec
    from bootc_orch.cli.options.fetching import Fetching
    from bootc_orch.cli.options.host import transaction_options
    from bootc_orch.ops.deploying.wanted import Wanted
    from bootc_orch.ops.host.edit import plan_edit
    from bootc_orch.ops.host.status import read_host
    from bootc_orch.ops.host.transaction import run_transaction

    opened = open_sysroot(sysroot, writing=True)
    host = read_host(opened)
    if host.booted is None:
        raise OrchError(
            "Nothing of this system is booted, so there is nothing to edit.",
            hint="Use bootc-orch switch --sysroot.",
        )
    plan = plan_edit(host.spec, edited_spec(host, filename))
    if not plan:
        say("Edit cancelled, no changes made.")
        say_result("transaction", None)
        return
    with reporting(progress_fd) as progress:
        if plan.image is None:
            _roll_back(opened, progress, discard_staged=discard_staged, wait=wait)
            return
        options = transaction_options(Fetching(wait=wait))
        wanted = Wanted(plan.image, plan.image, force=True)
        result = run_transaction(opened, wanted, options, progress)
    say_transaction(result)
