"""``deploy``: bring an image to the next boot of any sysroot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bootc_orch.cli.host.transactions import (
    carry_out,
    plan_update,
)
from bootc_orch.cli.options.fetching import Fetching
from bootc_orch.cli.options.general import (
    Diff,
    Json,
    Plan,
    ProgressFd,
    Quiet,
    SysrootOption,
    Verbose,
    exclusive,
    require_plan,
)
from bootc_orch.cli.options.grouping import grouped
from bootc_orch.cli.options.host import (
    BoundChoice,
    BoundImages,
    Hooks,
    Kargs,
    kargs_edit,
    open_for_update,
    transaction_options,
)
from orch_frame.errors import UsageError

app = typer.Typer(add_completion=False)


@app.command()
@grouped
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
        str | None,
        typer.Option(
            "--transport", metavar="TRANSPORT", help="Where --image is; default: registry."
        ),
    ] = None,
    enforce_container_sigpolicy: Annotated[
        bool,
        typer.Option(
            "--enforce-container-sigpolicy",
            help="With --image: demand a signature policy that is not open.",
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
    diff: Diff = False,
    bound_images: BoundImages = BoundChoice.PULL,
    hooks: Hooks = None,
    sysroot: SysrootOption = Path("/"),
    fetching: Fetching,
    quiet: Quiet = False,
    progress_fd: ProgressFd = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Deploy an image in any stateroot of any sysroot; one without a deployment starts afresh."""
    from dataclasses import replace

    from bootc_orch.model.image.reference import OstreeImageReference
    from bootc_orch.ops.deploying.wanted import Wanted
    from bootc_orch.ops.host.switch import parse_transport, plan_switch

    exclusive(imgref=imgref, image=image)
    require_plan(plan=plan, diff=diff)
    exclusive(imgref=imgref, transport=transport)
    exclusive(imgref=imgref, enforce_container_sigpolicy=enforce_container_sigpolicy)
    edit = kargs_edit(append=karg)
    if imgref is not None:
        source = OstreeImageReference.parse(imgref)
        wanted = Wanted(source, source, kargs=edit)
    elif image is not None:
        wanted = plan_switch(
            image,
            transport=parse_transport(transport or "registry"),
            enforce_policy=enforce_container_sigpolicy,
            kargs=edit,
        )
    else:
        raise UsageError("Name the image with --imgref or --image.")
    if target_imgref is not None:
        wanted = replace(wanted, target=OstreeImageReference.parse(target_imgref))
    if write_commitid_to is not None and not write_commitid_to.parent.is_dir():
        raise UsageError(
            f"{write_commitid_to.parent} is no directory.", path=str(write_commitid_to)
        )
    options = transaction_options(fetching, bound=bound_images, hooks=hooks)
    opened = open_for_update(sysroot, plan=plan, diff=diff)
    current = opened.deployments().current
    wanted = replace(
        wanted,
        force=True,
        stateroot=stateroot or (current.stateroot if current else "default"),
        retain=retain,
    )
    if plan:
        plan_update(opened, wanted, options, progress_fd, diff=diff)
        return
    result = carry_out(opened, wanted, options, progress_fd)
    if write_commitid_to is not None:
        write_commitid_to.write_text(result.image.merge_commit)
