"""Run transactions for commands, and print what they find, would do, or did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootc_orch.cli.terminal.names import long_name, short_name
from bootc_orch.cli.terminal.progress import difference_lines, reporting
from bootc_orch.cli.terminal.transaction_plan import say_transaction_plan
from orch_frame.output import say, say_result

if TYPE_CHECKING:
    from bootc_orch.model.host.deployment import Deployment
    from bootc_orch.ops.deploying.wanted import Wanted
    from bootc_orch.ops.host.transaction import Result, TransactionOptions
    from bootc_orch.ops.host.upgrade import Available
    from bootc_orch.tools.ostree.sysroot import Sysroot


def check_update(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress_fd: int | None
) -> bool:
    """Look for a newer version, print what was found, and say whether there is one."""
    from bootc_orch.ops.host.upgrade import check

    with reporting(progress_fd) as progress:
        found = check(sysroot, wanted, options.pull, progress)
    if found is None:
        say(f"No changes in: {long_name(wanted.target)}")
        say_result("update", None)
        return False
    _say_available(found)
    return True


def _say_available(found: Available) -> None:
    say(f"Update available for: {long_name(found.reference)}")
    if found.version:
        say(f"  Version: {found.version}")
    say(f"  Digest: {found.digest}")
    for line in difference_lines(found.difference):
        say(line)
    say_result(
        "update",
        {
            "reference": str(found.reference),
            "manifest_digest": str(found.digest),
            "version": found.version,
            "bytes": found.plan.transfer.needed_bytes,
        },
    )


def plan_update(
    sysroot: Sysroot,
    wanted: Wanted,
    options: TransactionOptions,
    progress_fd: int | None,
    *,
    diff: bool,
) -> bool:
    """Print what a transaction would do, and say whether that is anything.

    With *diff* the image is fetched, to print what it would change as well.
    """
    from bootc_orch.ops.host.transaction_plan import plan_transaction, preview_transaction

    find_out = preview_transaction if diff else plan_transaction
    with reporting(progress_fd) as progress:
        found = find_out(sysroot, wanted, options, progress)
    say_transaction_plan(found)
    return not found.deployed


def run_update(
    sysroot: Sysroot,
    wanted: Wanted,
    options: TransactionOptions,
    progress_fd: int | None,
    *,
    apply: bool,
    leave: Deployment | None = None,
) -> bool:
    """Carry the transaction out, and say whether the next boot starts something else for it.

    The branch that *leave* follows, if it does, is forgotten.
    """
    from bootc_orch.ops.deploying.wanted import Outcome
    from bootc_orch.ops.host.switch import forget_refspec

    result = carry_out(sysroot, wanted, options, progress_fd)
    if leave is not None:
        with reporting() as progress:
            forget_refspec(sysroot, leave, progress)
    bootable = result.outcome in (Outcome.QUEUED, Outcome.ALREADY_STAGED)
    reboot_if_asked(apply, changed=bootable)
    return result.outcome in (Outcome.QUEUED, Outcome.DOWNLOADED)


def carry_out(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress_fd: int | None
) -> Result:
    """Carry a transaction out, and print what it did."""
    from bootc_orch.ops.host.transaction import run_transaction

    with reporting(progress_fd) as progress:
        result = run_transaction(sysroot, wanted, options, progress)
    say_transaction(result)
    return result


def say_transaction(result: Result) -> None:
    """Print what a transaction did, in bootc's words."""
    from bootc_orch.ops.deploying.wanted import Outcome

    image = result.image
    match result.outcome:
        case Outcome.UNCHANGED:
            say(f"No changes in {long_name(result.reference)} => {image.manifest_digest}")
            say("No update available.")
        case Outcome.ALREADY_STAGED:
            say("Staged update present, not changed")
        case Outcome.DOWNLOADED:
            say(f"Downloaded, not staged: {short_name(result.reference)}")
        case Outcome.QUEUED:
            say(f"Queued for next boot: {short_name(result.reference)}")
    if result.outcome in (Outcome.QUEUED, Outcome.DOWNLOADED):
        if image.config.version:
            say(f"  Version: {image.config.version}")
        say(f"  Digest: {image.manifest_digest}")
    say_result("transaction", transaction_json(result))


def transaction_json(result: Result) -> dict[str, Any]:
    """Describe for programs what a transaction did."""
    deployment = result.deployment
    return {
        "outcome": str(result.outcome).replace(" ", "_"),
        "reference": str(result.reference),
        "commit": result.image.merge_commit,
        "manifest_digest": str(result.image.manifest_digest),
        "version": result.image.config.version,
        "deployment": deployment.name if deployment else None,
        "staged": deployment.staged if deployment else False,
    }


def reboot_if_asked(apply: bool, *, changed: bool) -> None:  # noqa: FBT001 - the option itself
    """Reboot where ``--apply`` asks for it and there is something to boot into."""
    if apply and changed:
        from bootc_orch.tools.systemd import reboot

        say("Rebooting system")
        reboot()
