"""``status``: what is running, what boots next, and what each follows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.options.host import SysrootOption, open_sysroot
from orch_frame.errors import NothingToDo, UsageError
from orch_frame.options.printing import with_output
from orch_frame.output import mode, say_raw

if TYPE_CHECKING:
    from bootc_orch.model.host.document import Host

app = typer.Typer(add_completion=False)


class StatusFormat(StrEnum):
    """The values of ``--format``."""

    HUMAN = "humanreadable"
    YAML = "yaml"
    JSON = "json"


@app.command()
@with_output
def status(
    *,
    form: Annotated[
        StatusFormat | None,
        typer.Option("--format", help="Default: for people on a terminal, else YAML."),
    ] = None,
    format_version: Annotated[
        int, typer.Option("--format-version", metavar="0|1", help="The version of the document.")
    ] = 1,
    booted: Annotated[
        bool, typer.Option("--booted", help="Only what is running; nothing else is shown.")
    ] = False,
    pending_exit_77: Annotated[
        bool,
        typer.Option("--pending-exit-77", help="Exit with 77 if the next boot starts another."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show all that is known of each.")
    ] = False,
    sysroot: SysrootOption = Path("/"),
) -> None:
    """Show what is running, what boots next, and what each follows; needs no privileges."""
    from bootc_orch.cli.terminal.host_text import say_host
    from bootc_orch.model.host.document import canonical_json
    from bootc_orch.ops.host.status import is_ostree_system, only_booted, read_host, unbooted_host

    if format_version not in (0, 1):
        raise UsageError(f"There is no format version {format_version}; known are 0 and 1.")
    known = is_ostree_system(sysroot)
    host = read_host(open_sysroot(sysroot)) if known else unbooted_host(sysroot)
    if booted:
        host = only_booted(host)
    match _format(form):
        case StatusFormat.JSON:
            say_raw(canonical_json(host.to_json()))
        case StatusFormat.YAML:
            say_raw(_yaml(host))
        case StatusFormat.HUMAN:
            say_host(host, verbose=verbose)
    if pending_exit_77 and host.next_boot is not None:
        raise typer.Exit(NothingToDo.exit_code)


def _format(form: StatusFormat | None) -> StatusFormat:
    if mode.json or form is StatusFormat.JSON:
        return StatusFormat.JSON
    if form is not None:
        return form
    from bootc_orch.cli.terminal.render import is_terminal

    return StatusFormat.HUMAN if is_terminal() else StatusFormat.YAML


def _yaml(host: Host) -> str:
    import yaml

    text: str = yaml.safe_dump(host.to_json(), sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")
