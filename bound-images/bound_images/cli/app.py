"""The command ``bound-images``: its commands, loaded only when they are asked for, and `main`.

Nothing heavy is imported here, so that ``--version`` and completion stay fast.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Annotated, Any

import typer
from typer.main import get_command

from bound_images import __version__
from bound_images.cli.boundary import ReportingGroup
from bound_images.cli.session import SESSION

# The name of each command, and the module whose `app` has it; the order is that of the help text.
COMMANDS = {
    "list": "bound_images.cli.listing",
    "sync": "bound_images.cli.syncing",
    "pull": "bound_images.cli.syncing",
    "check": "bound_images.cli.checking",
    "verify": "bound_images.cli.checking",
    "lock": "bound_images.cli.locking",
    "prune": "bound_images.cli.pruning",
    "lint": "bound_images.cli.linting",
    "export": "bound_images.cli.bundling",
    "import": "bound_images.cli.bundling",
    "explain": "bound_images.cli.explaining",
}
# Set by the shell's completion; names what it wants, such as ``source_bash``.
COMPLETION_VARIABLE = "_BOUND_IMAGES_COMPLETE"


class Interrupted(BaseException):
    """A signal asked the command to end.

    Attributes:
        status: The exit status by the shell's custom, 128 and the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class LazyGroup(ReportingGroup):
    """Finds a command by its name, and imports only the module that has it."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, D102 - as inherited
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, D102 - as inherited
        if cmd_name not in COMMANDS:
            return None
        found = get_command(import_module(COMMANDS[cmd_name]).app)
        # Typer makes no group of an app with a single command.
        return getattr(found, "commands", {}).get(cmd_name, found)


app = typer.Typer(
    cls=LazyGroup,
    name="bound-images",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - called by Typer
    if value:
        sys.stdout.write(f"bound-images {__version__}\n")
        raise typer.Exit


@app.callback()
def bound_images(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Keep the app images that an operating-system root is bound to ready for podman."""


def main() -> None:
    """Run the command line of this process and leave it with its exit status."""
    _open_descriptors()
    for number in _heeded():
        signal.signal(number, _interrupt)
    if COMPLETION_VARIABLE in os.environ:
        from typer import completion

        completion.completion_init()  # type: ignore[attr-defined]
    try:
        app(prog_name="bound-images")
    except Interrupted as interruption:
        sys.stderr.write("error: interrupted.\n")
        sys.exit(interruption.status)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    # The second signal ends the process at once; the kernel then ends its children.
    for other in _heeded():
        signal.signal(other, signal.SIG_DFL)
    SESSION.cancel()
    raise Interrupted(number)


def _heeded() -> list[signal.Signals]:
    """Return the signals that end the command; one that is ignored, as under nohup, stays so."""
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in ending if signal.getsignal(number) is not signal.SIG_IGN]


def _open_descriptors() -> None:
    """Make sure that standard streams are open: a file opened later would be written instead."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - its only form
    os.close(descriptor)
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - lives as long as we
