"""``upgrade``, ``switch`` and ``deploy``: bring a new system to the next boot."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.host_options import (
    Apply,
    BoundChoice,
    BoundImages,
    Hooks,
    Kargs,
    SoftReboot,
    kargs_edit,
    long_name,
    open_sysroot,
    reboot_if_asked,
    refuse_soft_reboot,
    say_transaction,
    transaction_options,
)
from bootc_orch.cli.options import (
    AuthAnonymous,
    Authfile,
    CertDir,
    InsecureSkipTlsVerification,
    Jobs,
    Json,
    LockTimeout,
    Offline,
    Plan,
    ProgressFd,
    Quiet,
    Retries,
    RetryDelay,
    SysrootOption,
    Verbose,
    config,
    exclusive,
)
from bootc_orch.cli.output import say, say_result
from bootc_orch.cli.progress import difference_lines, reporting
from bootc_orch.errors import NothingToDo, UsageError

if TYPE_CHECKING:
    from bootc_orch.ops.transaction import Result, TransactionOptions
    from bootc_orch.ops.upgrade import Available
    from bootc_orch.ops.wanted import Wanted
    from bootc_orch.tools.sysroot import Sysroot

app = typer.Typer(add_completion=False)


class Policy(StrEnum):
    """The values of ``--policy``."""

    CHECK = "check"
    STAGE = "stage"
    APPLY = "apply"


Unchanged77 = Annotated[
    bool, typer.Option("--unchanged-exit-77", help="Exit with 77 if there is nothing new.")
]


@app.command()
@app.command("update", hidden=True)
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
    unchanged_exit_77: Unchanged77 = False,
    bound_images: BoundImages = BoundChoice.PULL,
    hooks: Hooks = None,
    sysroot: SysrootOption = Path("/"),
    jobs: Jobs = None,
    retries: Retries = None,
    retry_delay: RetryDelay = None,
    authfile: Authfile = None,
    auth_anonymous: AuthAnonymous = False,
    cert_dir: CertDir = None,
    insecure_skip_tls_verification: InsecureSkipTlsVerification = False,
    offline: Offline = False,
    wait: LockTimeout = None,
    quiet: Quiet = False,
    progress_fd: ProgressFd = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Bring in the newest version of the image that the system follows, for the next boot."""
    from bootc_orch.ops.upgrade import followed, plan_upgrade

    refuse_soft_reboot(soft_reboot)
    exclusive(check=check, apply=apply)
    exclusive(check=check, download_only=download_only, from_downloaded=from_downloaded)
    exclusive(download_only=download_only, apply=apply)
    options = transaction_options(
        authfile=authfile,
        anonymous=auth_anonymous,
        cert_dir=cert_dir,
        insecure=insecure_skip_tls_verification,
        jobs=jobs,
        retries=retries,
        retry_delay=retry_delay,
        offline=offline,
        wait=wait,
        bound=bound_images,
        hooks=hooks,
    )
    opened = open_sysroot(sysroot, writing=not plan)
    wanted = plan_upgrade(
        followed(opened, opened.deployments()),
        tag=tag,
        kargs=kargs_edit(append=karg),
        download_only=download_only,
        from_downloaded=from_downloaded,
    )
    if check:
        changed = _check(opened, wanted, options, progress_fd)
    elif plan:
        changed = _plan(opened, wanted, options, progress_fd)
    else:
        changed = _run(opened, wanted, options, progress_fd, apply=apply)
    if unchanged_exit_77 and not changed:
        raise typer.Exit(NothingToDo.exit_code)


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
    from bootc_orch.ops.upgrade import followed, plan_upgrade

    chosen = policy or Policy(config().policy or Policy.STAGE)
    options = transaction_options(wait=wait)
    opened = open_sysroot(sysroot, writing=True)
    wanted = plan_upgrade(followed(opened, opened.deployments()))
    if chosen is Policy.CHECK:
        _check(opened, wanted, options, None)
    else:
        _run(opened, wanted, options, None, apply=chosen is Policy.APPLY)


@app.command()
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
    unchanged_exit_77: Unchanged77 = False,
    bound_images: BoundImages = BoundChoice.PULL,
    hooks: Hooks = None,
    sysroot: SysrootOption = Path("/"),
    jobs: Jobs = None,
    retries: Retries = None,
    retry_delay: RetryDelay = None,
    authfile: Authfile = None,
    auth_anonymous: AuthAnonymous = False,
    cert_dir: CertDir = None,
    insecure_skip_tls_verification: InsecureSkipTlsVerification = False,
    offline: Offline = False,
    wait: LockTimeout = None,
    quiet: Quiet = False,
    progress_fd: ProgressFd = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Follow another image from now on; a system that follows an ostree branch moves to images."""
    from dataclasses import replace

    from bootc_orch.ops.switch import forget_refspec, is_unchanged, parse_transport, plan_switch
    from bootc_orch.ops.wanted import require_current

    refuse_soft_reboot(soft_reboot)
    options = transaction_options(
        authfile=authfile,
        anonymous=auth_anonymous,
        cert_dir=cert_dir,
        insecure=insecure_skip_tls_verification,
        jobs=jobs,
        retries=retries,
        retry_delay=retry_delay,
        offline=offline,
        wait=wait,
        bound=bound_images,
        hooks=hooks,
    )
    opened = open_sysroot(sysroot, writing=not plan)
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
        changed = _plan(opened, wanted, options, progress_fd)
    else:
        changed = _run(opened, replace(wanted, force=True), options, progress_fd, apply=apply)
        if not retain:
            with reporting() as progress:
                forget_refspec(opened, current, progress)
    if unchanged_exit_77 and not changed:
        raise typer.Exit(NothingToDo.exit_code)


@app.command()
def deploy(
    *,
    imgref: Annotated[
        str | None,
        typer.Option("--imgref", metavar="OREF", help="The image and who vouches for it."),
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="NAME", help="The name of the image.")
    ] = None,
    transport: Annotated[
        str, typer.Option("--transport", metavar="TRANSPORT", help="Where --image is.")
    ] = "registry",
    enforce_container_sigpolicy: Annotated[
        bool,
        typer.Option(
            "--enforce-container-sigpolicy", help="Demand a signature policy that is not open."
        ),
    ] = False,
    target_imgref: Annotated[
        str | None,
        typer.Option("--target-imgref", metavar="OREF", help="What the system shall follow."),
    ] = None,
    stateroot: Annotated[
        str | None, typer.Option("--stateroot", metavar="NAME", help="Where to deploy.")
    ] = None,
    karg: Kargs = None,
    retain: Annotated[bool, typer.Option("--retain", help="Keep all other deployments.")] = False,
    write_commitid_to: Annotated[
        Path | None,
        typer.Option("--write-commitid-to", metavar="FILE", help="Write the commit there."),
    ] = None,
    plan: Plan = False,
    bound_images: BoundImages = BoundChoice.PULL,
    hooks: Hooks = None,
    sysroot: SysrootOption = Path("/"),
    jobs: Jobs = None,
    retries: Retries = None,
    retry_delay: RetryDelay = None,
    authfile: Authfile = None,
    auth_anonymous: AuthAnonymous = False,
    cert_dir: CertDir = None,
    insecure_skip_tls_verification: InsecureSkipTlsVerification = False,
    offline: Offline = False,
    wait: LockTimeout = None,
    quiet: Quiet = False,
    progress_fd: ProgressFd = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Deploy an image in any stateroot of any sysroot; one without a deployment starts afresh."""
    from dataclasses import replace

    from bootc_orch.model.reference import OstreeImageReference
    from bootc_orch.ops.switch import parse_transport, plan_switch
    from bootc_orch.ops.wanted import Wanted

    exclusive(imgref=imgref, image=image)
    edit = kargs_edit(append=karg)
    if imgref is not None:
        source = OstreeImageReference.parse(imgref)
        wanted = Wanted(source, source, kargs=edit)
    elif image is not None:
        wanted = plan_switch(
            image,
            transport=parse_transport(transport),
            enforce_policy=enforce_container_sigpolicy,
            kargs=edit,
        )
    else:
        raise UsageError("Name the image with --imgref or --image.")
    if target_imgref is not None:
        wanted = replace(wanted, target=OstreeImageReference.parse(target_imgref))
    options = transaction_options(
        authfile=authfile,
        anonymous=auth_anonymous,
        cert_dir=cert_dir,
        insecure=insecure_skip_tls_verification,
        jobs=jobs,
        retries=retries,
        retry_delay=retry_delay,
        offline=offline,
        wait=wait,
        bound=bound_images,
        hooks=hooks,
    )
    opened = open_sysroot(sysroot, writing=not plan)
    current = opened.deployments().current
    wanted = replace(
        wanted,
        force=True,
        stateroot=stateroot or (current.stateroot if current else "default"),
        retain=retain,
    )
    if plan:
        _plan(opened, wanted, options, progress_fd)
        return
    result = _transaction(opened, wanted, options, progress_fd)
    if write_commitid_to is not None:
        write_commitid_to.write_text(result.image.merge_commit)


def _check(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress_fd: int | None
) -> bool:
    from bootc_orch.ops.upgrade import check

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


def _plan(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress_fd: int | None
) -> bool:
    from bootc_orch.cli.transaction_plan import say_transaction_plan
    from bootc_orch.ops.transaction_plan import plan_transaction

    with reporting(progress_fd) as progress:
        found = plan_transaction(sysroot, wanted, options, progress)
    say_transaction_plan(found)
    return not found.deployed


def _run(
    sysroot: Sysroot,
    wanted: Wanted,
    options: TransactionOptions,
    progress_fd: int | None,
    *,
    apply: bool,
) -> bool:
    """Carry the transaction out, and say whether the next boot starts something else for it."""
    from bootc_orch.ops.wanted import Outcome

    result = _transaction(sysroot, wanted, options, progress_fd)
    bootable = result.outcome in (Outcome.QUEUED, Outcome.ALREADY_STAGED)
    reboot_if_asked(apply, changed=bootable)
    return result.outcome in (Outcome.QUEUED, Outcome.DOWNLOADED)


def _transaction(
    sysroot: Sysroot, wanted: Wanted, options: TransactionOptions, progress_fd: int | None
) -> Result:
    from bootc_orch.ops.transaction import run_transaction

    with reporting(progress_fd) as progress:
        result = run_transaction(sysroot, wanted, options, progress)
    say_transaction(result)
    return result
