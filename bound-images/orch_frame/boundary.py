"""The error boundary: whatever a command raises becomes one message and one exit status.

Source of the statuses: ``sysexits.h``, and 128 and the signal's number for an interruption.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from orch_frame import output
from orch_frame.errors import InternalError, NothingToDo, OrchError, UsageError
from orch_frame.os_errors import from_os_error
from orch_frame.redaction import redact
from orch_frame.several import SeveralError
from orch_frame.signals import Interrupted
from orch_frame.text import escape_text

logger = logging.getLogger(__name__)

# Where the parser's own complaints begin; they are not part of Typer's interface by this name.
ParserError: type[Exception] = typer.BadParameter.__mro__[2]
MESSAGE_CHARACTERS = 4096


class InterruptionError(OrchError):
    """The program was asked to end before it was done."""

    kind = "interrupted"


class ReportingGroup(TyperGroup):
    """Turn whatever any command raises into a message and its exit status."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401, D102 - a context of Typer's own click
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            raise typer.Exit(report(error)) from error

    def main(
        self,
        args: Sequence[str] | None = None,
        *positional: Any,  # noqa: ANN401
        standalone_mode: bool = True,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Run a command line; the parser's complaints about it are reported like all others."""
        output.reset()
        # Known before the options are parsed, so that a complaint about them is JSON as well.
        output.mode.json = "--json" in (sys.argv[1:] if args is None else args)
        try:
            options["standalone_mode"] = False
            status = super().main(args, *positional, **options)
            if not status:
                output.flush()
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - as above
            status = report(error)
        with suppress(OSError):  # the error itself is what counts
            output.flush()
        if not standalone_mode:
            return status
        raise SystemExit(status if isinstance(status, int) else 0)


def report(error: BaseException, *, partial: Mapping[str, Any] | None = None) -> int:
    """Print *error*, on standard error and as JSON if asked, and return the exit status.

    Args:
        error: What was raised.
        partial: The part of the command's result that stands in spite of the error.
    """
    logger.debug("traceback", exc_info=error)
    if type(error).__name__ == "NoArgsIsHelpError":  # the help text is its message
        error.show()  # type: ignore[attr-defined]
        return UsageError.exit_code
    if isinstance(error, NothingToDo):
        return error.exit_code
    if isinstance(error, BrokenPipeError) and output.reader_has_gone():
        return OrchError.exit_code  # a help text that was cut off, and nobody to tell; as rich does
    problem = as_orch_error(error)
    status = 128 + _signal_of(error) if isinstance(error, KeyboardInterrupt) else problem.exit_code
    with suppress(OSError):  # a stream that cannot be written cannot be told of that either
        output.complain(render(problem))
    if output.mode.json:
        with suppress(OSError):
            output.say_document({**(partial or {}), **_failure(problem, status=status)})
    return status


def as_orch_error(error: BaseException) -> OrchError:
    """Return the error that stands for *error*, whatever that is."""
    if isinstance(error, ParserError):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else Path(sys.argv[0]).name
        return UsageError(_parser_message(error), hint=f"See {command} --help.")
    match error:
        case OrchError():
            return error
        case KeyboardInterrupt():
            return InterruptionError(f"interrupted by {_signal_of(error).name}.")
        case OSError():
            return from_os_error(error)
        case _:
            return InternalError(error)


def render(error: OrchError) -> str:
    """Lay an error out for a terminal: summary, where, evidence indented, hint last."""
    lines = [f"error: {_shortened(error.summary)}"]
    for name in ("image", "layer", "path"):
        value = getattr(error, name)
        if value and value not in error.summary:
            lines.append(f"    {name}: {_shortened(value)}")
    evidence = [error.details or "", *getattr(error, "__notes__", ())]
    lines += [f"    {_shortened(line)}" for text in evidence for line in text.splitlines()]
    lines += [f"hint: {error.hint}"] if error.hint else []
    return "\n".join(escape_text(line) for line in lines)


def to_json(error: OrchError, *, status: int) -> dict[str, Any]:
    """Describe an error for programs; absent facts are null."""
    details = "\n".join([error.details or "", *getattr(error, "__notes__", ())]).strip("\n")
    return {
        "class": error.kind,
        "message": redact(error.summary),
        "image": error.image,
        "layer": error.layer,
        "path": error.path,
        "details": redact(details) or None,
        "hint": error.hint,
        "exit": status,
    }


def _failure(error: OrchError, *, status: int) -> dict[str, Any]:
    """Return the part of a document that tells a failure; of several also each one."""
    failure = {"error": to_json(error, status=status)}
    if not isinstance(error, SeveralError):
        return failure
    return {**failure, "errors": [to_json(one, status=one.exit_code) for one in error.errors]}


def _signal_of(error: KeyboardInterrupt) -> signal.Signals:
    return signal.Signals(error.number if isinstance(error, Interrupted) else signal.SIGINT)


def _parser_message(error: BaseException) -> str:
    message: str = error.format_message()  # type: ignore[attr-defined]
    return message.splitlines()[0] if message else "the command line cannot be understood."


def _shortened(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS else text[:MESSAGE_CHARACTERS] + " …"
