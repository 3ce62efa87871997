"""The command ``bound-images``: its commands, loaded only when they are asked for, and `main`.

Nothing heavy is imported here, so that ``--version`` and completion stay fast.
"""

from __future__ import annotations

from typing import Annotated

import typer

from bound_images import __version__
from bound_images.cli.session import SESSION
from orch_frame import output
from orch_frame.program import LazyGroup, run_program

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


class BoundImages(LazyGroup):
    """The top level of this program."""

    modules = COMMANDS


app = typer.Typer(
    cls=BoundImages,
    name="bound-images",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - called by Typer
    if value:
        output.say(f"bound-images {__version__}")
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
    output.start_logging()


def main() -> None:
    """Run the command line of this process and leave it with its exit status."""
    run_program(app, name="bound-images", on_signal=SESSION.cancel)
