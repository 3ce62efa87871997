"""The one place where whatever a command raises becomes a message and an exit status."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from bound_images.cli.session import SESSION
from bound_images.errors import exit_status
from bound_images.files import NO_SPACE, write_error
from orch_frame.errors import InternalError, OrchError, UsageError

logger = logging.getLogger(__name__)

# Where the parser's own complaints begin; they are not part of Typer's interface by this name.
ParserError: type[Exception] = typer.BadParameter.__mro__[2]


class ReportingGroup(TyperGroup):
    """Turn whatever any command raises into a message and its exit status."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401, D102 - as inherited
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            raise typer.Exit(report(error)) from error

    def main(
        self,
        args: Sequence[str] | None = None,
        *positional: Any,  # noqa: ANN401 - as inherited
        standalone_mode: bool = True,
        **options: Any,  # noqa: ANN401 - as inherited
    ) -> Any:  # noqa: ANN401 - as inherited
        """Run a command line; the parser's complaints about it are reported like all others."""
        # Known before the options are parsed, so that a complaint about them is JSON as well.
        SESSION.output.as_json = "--json" in (sys.argv[1:] if args is None else args)
        try:
            options["standalone_mode"] = False
            status = super().main(args, *positional, **options)
            if not status:
                _flush()
        except Exception as error:  # noqa: BLE001 - the last line before a traceback
            status = report(error)
        with suppress(OSError):  # the error itself is what counts
            _flush()
        if not standalone_mode:
            return status
        raise SystemExit(status if isinstance(status, int) else 0)


def report(error: Exception) -> int:
    """Show *error*, and return the status to end with."""
    logger.debug("traceback", exc_info=error)
    if type(error).__name__ == "NoArgsIsHelpError":  # the help text is its message
        error.show()  # type: ignore[attr-defined]
        return UsageError.exit_code
    if isinstance(error, BrokenPipeError):
        _abandon(sys.stdout)
        return 1
    known = _as_ours(error)
    SESSION.output.error(known)
    return exit_status(known)


def _flush() -> None:
    """Write out what is buffered; Python would do so at exit, where nobody reports a failure."""
    failures = []
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            failures.append(error)
            _abandon(stream)
    if failures:
        raise failures[0]


def _abandon(stream: TextIO) -> None:
    """Send what is still to come to nowhere, and what is buffered at exit as well."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _as_ours(error: Exception) -> OrchError:
    if isinstance(error, OrchError):
        return error
    if isinstance(error, ParserError):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "bound-images"
        return UsageError(_message(error), hint=f"See {command} --help.")
    if isinstance(error, OSError) and error.filename is None and error.errno in NO_SPACE:
        return write_error(error, Path("output"))
    return InternalError(error)


def _message(error: Exception) -> str:
    text: str = error.format_message()  # type: ignore[attr-defined]  # of ParserError
    return text.splitlines()[0] if text else "The command line cannot be understood."
