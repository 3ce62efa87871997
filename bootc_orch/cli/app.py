"""The command ``bootc-orch``: its groups, loaded only when they are asked for, and its entry point.

Nothing heavy is imported here, so that ``--version`` and completion stay fast.
"""

from __future__ import annotations

from typing import Annotated

import typer

from bootc_orch import __version__
from orch_frame import output
from orch_frame.program import LazyGroup, run_program

# The name of each command, and the module whose `app` has it.  An app that is itself the group of
# that name stands under GROUPS.  The order is that of the help text.
GROUPS = {
    "install": "bootc_orch.cli.host.install",
    "image": "bootc_orch.cli.images.image",
}
COMMANDS = {
    "status": "bootc_orch.cli.host.status",
    "upgrade": "bootc_orch.cli.host.update",
    "update": "bootc_orch.cli.host.update",
    "auto-update": "bootc_orch.cli.host.update",
    "switch": "bootc_orch.cli.host.update",
    "rollback": "bootc_orch.cli.host.verbs",
    "edit": "bootc_orch.cli.host.verbs",
    "usr-overlay": "bootc_orch.cli.host.verbs",
    "usroverlay": "bootc_orch.cli.host.verbs",
    "deploy": "bootc_orch.cli.host.deploy",
    "pin": "bootc_orch.cli.host.verbs",
    "unpin": "bootc_orch.cli.host.verbs",
    "cleanup": "bootc_orch.cli.host.verbs",
    "kargs": "bootc_orch.cli.host.verbs",
    "layers": "bootc_orch.cli.images.inspect",
    "du": "bootc_orch.cli.images.inspect",
    "explain": "bootc_orch.cli.images.inspect",
    "gc": "bootc_orch.cli.images.inspect",
    "fsck": "bootc_orch.cli.images.fsck",
    "repair": "bootc_orch.cli.images.fsck",
    "bound-images": "bootc_orch.cli.host.bound",
}


class BootcOrch(LazyGroup):
    """The top level of this program."""

    groups = GROUPS
    modules = COMMANDS


app = typer.Typer(
    cls=BootcOrch,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - called by Typer
    if value:
        output.say(f"bootc-orch {__version__}")
        raise typer.Exit


@app.callback()
def bootc_orch(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="Read this configuration file."),
    ] = None,
    verbose: Annotated[
        int,
        typer.Option(
            "-v",
            "--verbose",
            count=True,
            help="Say on standard error what is done; twice: also which programs are run.",
        ),
    ] = 0,
) -> None:
    """Bring image-based operating systems to hosts with skopeo, ostree and podman."""
    from bootc_orch.cli.options.configured import choose_config

    output.mode.verbose = verbose
    output.start_logging()
    choose_config(config)


def main() -> None:
    """Run the command line of this process and leave it with its exit status."""
    run_program(app, name="bootc-orch")
