"""The command ``bootc-orch``: its groups, loaded only when they are asked for, and its entry point.

Nothing heavy is imported here, so that ``--version`` and completion stay fast.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.main import get_command

from bootc_orch import __version__
from bootc_orch.cli.terminal import output
from bootc_orch.cli.terminal.boundary import ReportingGroup
from orch_frame.signals import Interrupted, install_signal_handlers, interrupted_status

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
# Set by the shell's completion; names what it wants, such as ``source_bash``.
COMPLETION_VARIABLE = "_BOOTC_ORCH_COMPLETE"
INTERRUPTED = (129, 130, 143)


class LazyGroup(ReportingGroup):
    """The top level: finds a command by its name, and imports only the module that has it."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, D102
        return [*GROUPS, *COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, D102
        if cmd_name in GROUPS:
            group = get_command(import_module(GROUPS[cmd_name]).app)
            group.name = cmd_name
            return group
        if cmd_name in COMMANDS:
            found = get_command(import_module(COMMANDS[cmd_name]).app)
            # Typer makes no group of an app with a single command.
            return getattr(found, "commands", {}).get(cmd_name, found)
        return None


app = typer.Typer(
    cls=LazyGroup,
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
        bool, typer.Option("-v", "--verbose", help="Say on standard error what is done.")
    ] = False,
) -> None:
    """Bring image-based operating systems to hosts with skopeo, ostree and podman."""
    from bootc_orch.cli.options.general import choose_config

    output.mode.verbose = verbose
    output.start_logging()
    choose_config(config)


def main() -> None:
    """Run the command line of this process and leave it with its exit status."""
    _prepare_process()
    try:
        install_signal_handlers()
        if COMPLETION_VARIABLE in os.environ:
            from typer import completion

            completion.completion_init()  # type: ignore[attr-defined]
            app(prog_name="bootc-orch")
        app()
    except SystemExit as ending:
        if isinstance(ending.code, int) and ending.code in INTERRUPTED:
            # Worker threads may hang in a system call; what must be undone has been by now.
            os._exit(interrupted_status(ending.code))
        raise
    except Interrupted as late:  # while the arguments were read, or the answer was printed
        os._exit(128 + late.number)


def _prepare_process() -> None:
    """Make sure of what the rest relies on: three open descriptors, a umask, no core dumps."""
    import resource

    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - its only form
    os.close(descriptor)
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - lives as long as we
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
