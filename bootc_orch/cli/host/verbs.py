"""``rollback``, ``edit``, ``pin``, ``unpin``, ``cleanup``, ``kargs`` and ``usr-overlay``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.host.transactions import carry_out, reboot_if_asked
from bootc_orch.cli.options.general import ProgressFd, exclusive
from bootc_orch.cli.options.host import (
    Booting,
    Host,
    SysrootOption,
    kargs_edit,
    open_sysroot,
    require_running,
)
from bootc_orch.cli.terminal.progress import reporting
from orch_frame.errors import OrchError
from orch_frame.options.printing import with_output
from orch_frame.output import say, say_result

if TYPE_CHECKING:
    from bootc_orch.model.image.reference import OstreeImageReference
    from bootc_orch.ops.stored.progress import Progress
    from bootc_orch.tools.ostree.sysroot import Sysroot

app = typer.Typer(add_completion=False)


@app.command()
@with_output
def rollback(
    *,
    booting: Booting,
    discard_staged: Annotated[
        bool, typer.Option("--discard-staged", help="Drop an update that is staged.")
    ] = False,
    host: Host,
) -> None:
    """Let the previous system boot next; the second time, the current one again."""
    opened = host.open_sysroot()
    require_running(opened, apply=booting.apply)
    with reporting() as progress:
        _roll_back(opened, host, progress, discard_staged=discard_staged)
    reboot_if_asked(booting.apply, changed=True)


def _roll_back(sysroot: Sysroot, host: Host, progress: Progress, *, discard_staged: bool) -> None:
    from bootc_orch.ops.host.rollback import rollback as roll_back

    queued = sysroot.deployments().rollback_queued
    if queued:
        say("notice: Reverting queued rollback state")
    first = roll_back(
        sysroot, progress, discard_staged=discard_staged, lock_timeout=host.lock_timeout
    )
    say(f"Next boot: {'current' if queued else 'rollback'} deployment")
    say_result("rollback", {"deployment": first.name, "queued": not queued})


@app.command("usr-overlay")
@app.command("usroverlay", hidden=True)
@with_output
def usr_overlay(
    *,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Writable only in mount namespaces of one's own."),
    ] = False,
    sysroot: SysrootOption = Path("/"),
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
@with_output
def pin(
    deployment: Which,
    *,
    host: Host,
) -> None:
    """Keep a deployment, and the app images it is bound to, from being collected."""
    _set_pinned(host, deployment, pinned=True)


@app.command()
@with_output
def unpin(
    deployment: Which,
    *,
    host: Host,
) -> None:
    """Allow a deployment to be collected again."""
    _set_pinned(host, deployment, pinned=False)


def _set_pinned(host: Host, which: str, *, pinned: bool) -> None:
    from bootc_orch.ops.deploying.pin import pin as set_pinned

    opened = host.open_sysroot()
    found, changed = set_pinned(opened, which, pinned=pinned, lock_timeout=host.lock_timeout)
    word = "pinned" if pinned else "not pinned"
    say(f"Deployment {found.name} is {word}{' now' if changed else ' already'}")
    say_result("deployment", {"name": found.name, "pinned": pinned, "changed": changed})


@app.command()
@with_output
def cleanup(
    *,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Remove the rollback deployment.")
    ] = False,
    pending: Annotated[
        bool, typer.Option("--pending", help="Remove what boots next instead of the current one.")
    ] = False,
    host: Host,
) -> None:
    """Remove deployments, and all that nothing needs without them."""
    from bootc_orch.ops.deploying.cleanup import collect, find_pending, find_rollback, remove
    from bootc_orch.ops.stored.lock import locked

    exclusive(rollback=rollback, pending=pending)
    opened = host.open_sysroot()
    removed = []
    with (
        locked(opened.repo_path, exclusive=True, timeout=host.lock_timeout),
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
@with_output
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
    host: Host,
) -> None:
    """Show the kernel arguments of the next boot, or change them by a new deployment."""
    from bootc_orch.ops.host.change_kargs import change_kargs, next_kargs

    edit = kargs_edit(append=append, replace=replace, delete=delete)
    opened = host.open_sysroot(writing=bool(edit))
    deployed = None
    if edit:
        deployed = change_kargs(opened, edit, lock_timeout=host.lock_timeout)
        if deployed is None:
            say("No changes.")
        else:
            say(f"Queued for next boot: deployment {deployed.name}")
    arguments = next_kargs(opened)
    say(" ".join(arguments))
    name = deployed.name if deployed else None
    say_result("kargs", list(arguments), changed=deployed is not None, deployment=name)


@app.command()
@with_output
def edit(
    *,
    filename: Annotated[
        Path | None,
        typer.Option("-f", "--filename", metavar="FILE", help="Read the new document from FILE."),
    ] = None,
    discard_staged: Annotated[
        bool, typer.Option("--discard-staged", help="Drop an update that is staged.")
    ] = False,
    host: Host,
    progress_fd: ProgressFd = None,
) -> None:
    """Change spec.image or spec.bootOrder of the host's document, and carry the change out."""
    from bootc_orch.cli.host.edit import edited_spec
    from bootc_orch.ops.host.edit import plan_edit
    from bootc_orch.ops.host.status import read_host

    opened = host.open_sysroot()
    document = read_host(opened)
    if document.booted is None:
        raise OrchError(
            "Nothing of this system is booted, so there is nothing to edit.",
            hint="Use bootc-orch switch --sysroot.",
        )
    plan = plan_edit(document.spec, edited_spec(document, filename))
    if not plan:
        say("Edit cancelled, no changes made.")
        say_result("transaction", None)
    elif plan.image is not None:
        _follow(plan.image, opened, host, progress_fd)
    else:
        with reporting(progress_fd) as progress:
            _roll_back(opened, host, progress, discard_staged=discard_staged)


def _follow(
    image: OstreeImageReference, sysroot: Sysroot, host: Host, progress_fd: int | None
) -> None:
    from bootc_orch.cli.options.host import transaction_options
    from bootc_orch.ops.deploying.wanted import Wanted
    from orch_frame.options.fetching import Fetching

    options = transaction_options(Fetching(lock_timeout=host.wait))
    carry_out(sysroot, Wanted(image, image, force=True), options, progress_fd)
