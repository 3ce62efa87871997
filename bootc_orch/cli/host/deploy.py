"""``deploy``: bring an image to the next boot of any sysroot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.host.transactions import carry_out, plan_update
from bootc_orch.cli.options.general import ProgressFd, exclusive
from bootc_orch.cli.options.host import Deploying, Kargs, Planning, kargs_edit
from orch_frame.errors import UsageError
from orch_frame.options.fetching import Fetching
from orch_frame.options.printing import with_output

if TYPE_CHECKING:
    from bootc_orch.ops.deploying.wanted import Wanted

app = typer.Typer(add_completion=False)

Stateroot = Annotated[
    str | None, typer.Option("--stateroot", metavar="NAME", help="Where to deploy.")
]
Retain = Annotated[bool, typer.Option("--retain", help="Keep all other deployments.")]
CommitFile = Annotated[
    Path | None,
    typer.Option("--write-commitid-to", metavar="FILE", help="Write the commit there."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenImage:
    """Which image is deployed, and what the system follows then."""

    imgref: Annotated[
        str | None,
        typer.Option("--imgref", metavar="OREF", help="The image and who vouches for it."),
    ] = None
    image: Annotated[
        str | None, typer.Option("--image", metavar="NAME", help="The name of the image.")
    ] = None
    transport: Annotated[
        str | None,
        typer.Option(
            "--transport", metavar="TRANSPORT", help="Where --image is; default: registry."
        ),
    ] = None
    enforce_container_sigpolicy: Annotated[
        bool,
        typer.Option(
            "--enforce-container-sigpolicy",
            help="With --image: demand a signature policy that is not open.",
        ),
    ] = False
    target_imgref: Annotated[
        str | None,
        typer.Option("--target-imgref", metavar="OREF", help="What the system shall follow."),
    ] = None

    def __post_init__(self) -> None:
        """Make sure that the image is named in one way.

        Raises:
            UsageError: it is named in two, or in none.
        """
        exclusive(imgref=self.imgref, image=self.image)
        exclusive(imgref=self.imgref, transport=self.transport)
        exclusive(imgref=self.imgref, enforce_container_sigpolicy=self.enforce_container_sigpolicy)
        if self.imgref is None and self.image is None:
            raise UsageError("Name the image with --imgref or --image.")

    def wanted(self) -> Wanted:
        """Return what is wanted of a deployment, as far as the names of images say.

        Raises:
            UsageError: a name cannot be a reference.
        """
        from dataclasses import replace

        from bootc_orch.model.host.kargs import KargsEdit
        from bootc_orch.model.image.reference import OstreeImageReference
        from bootc_orch.ops.deploying.wanted import Wanted
        from bootc_orch.ops.host.switch import parse_transport, plan_switch

        if self.image is None:
            source = OstreeImageReference.parse(self.imgref or "")
            wanted = Wanted(source, source)
        else:
            wanted = plan_switch(
                self.image,
                transport=parse_transport(self.transport or "registry"),
                enforce_policy=self.enforce_container_sigpolicy,
                kargs=KargsEdit(),
            )
        if self.target_imgref is None:
            return wanted
        return replace(wanted, target=OstreeImageReference.parse(self.target_imgref))


@app.command()
@with_output
def deploy(
    *,
    chosen: ChosenImage,
    stateroot: Stateroot = None,
    karg: Kargs = None,
    retain: Retain = False,
    write_commitid_to: CommitFile = None,
    planning: Planning,
    deploying: Deploying,
    fetching: Fetching,
    progress_fd: ProgressFd = None,
) -> None:
    """Deploy an image in any stateroot of any sysroot; one without a deployment starts afresh."""
    from dataclasses import replace

    edit = kargs_edit(append=karg)
    wanted = chosen.wanted()
    _require_place(write_commitid_to)
    options = deploying.transaction_options(fetching)
    opened = deploying.open_sysroot(planning)
    current = opened.deployments().current
    wanted = replace(
        wanted,
        kargs=edit,
        force=True,
        stateroot=stateroot or (current.stateroot if current else "default"),
        retain=retain,
    )
    if planning.plan:
        plan_update(opened, wanted, options, progress_fd, diff=planning.diff)
        return
    result = carry_out(opened, wanted, options, progress_fd)
    if write_commitid_to is not None:
        write_commitid_to.write_text(result.image.merge_commit)


def _require_place(path: Path | None) -> None:
    """Make sure that *path* can be written once all is done.

    Raises:
        UsageError: its directory does not exist.
    """
    if path is not None and not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no directory.", path=str(path))
