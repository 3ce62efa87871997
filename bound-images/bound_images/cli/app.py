"""The Typer application, its one place where errors become messages, and `main`."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from bound_images.cli.output import Output
from bound_images.errors import BoundImagesError, InternalError, exit_status
from bound_images.programs import Runner

logger = logging.getLogger(__name__)


class Interrupted(BaseException):
    """A signal asked the command to end.

    Attributes:
        status: The exit status by the shell's custom, 128 and the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class Session:
    """What all commands share: where output goes, and who runs programs."""

    def __init__(self) -> None:
        self.output = Output()
        self.runner = Runner()


SESSION = Session()


class ReportingGroup(TyperGroup):
    """Turn a `BoundImagesError` from any command into a message and its exit status."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401, D102 - as inherited
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except BoundImagesError as error:
            _report(error)
        except BrokenPipeError:
            # Whoever read standard output has gone; Python would complain once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except Exception as error:
            if type(error).__module__.startswith(("click", "typer")):
                raise
            _report(InternalError(error), cause=error)


def _report(error: BoundImagesError, *, cause: Exception | None = None) -> NoReturn:
    logger.debug("traceback", exc_info=cause or error)
    SESSION.output.error(error)
    raise typer.Exit(exit_status(error)) from error


app = typer.Typer(
    cls=ReportingGroup,
    name="bound-images",
    help="Keep the app images that an operating-system root is bound to ready for podman.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    import bound_images.cli.commands
    import bound_images.cli.extras
    import bound_images.cli.linting  # noqa: F401 - all three register commands

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app(prog_name="bound-images")
    except Interrupted as interruption:
        sys.stderr.write("error: interrupted.\n")
        sys.exit(interruption.status)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    # The second signal ends the process at once; the kernel then ends its children.
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_DFL)
    SESSION.runner.cancel()
    raise Interrupted(number)
