"""Where everything that is shown goes: results to standard output, the rest to standard error."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress

import typer

from bound_images.errors import SeveralError, describe, exit_status, joined
from orch_frame.errors import OrchError

VERSION = 1


class Output:
    """The output of one command.

    Attributes:
        as_json: Whether results and failures are JSON on standard output.
        quiet: Whether results and progress that were not asked for are left out.
    """

    def __init__(self) -> None:
        self.as_json = False
        self.quiet = False

    def set_up_logging(self, *, verbose: int) -> None:
        """Send log lines to standard error: warnings always, steps with -v, commands with -vv."""
        level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
        logging.basicConfig(
            stream=sys.stderr, format="%(levelname)s: %(message)s", level=level, force=True
        )
        logging.addLevelName(logging.WARNING, "warning")
        logging.addLevelName(logging.INFO, "info")
        logging.addLevelName(logging.DEBUG, "debug")

    def result(self, noun: str, value: object, lines: list[str]) -> None:
        """Show a result: ``{"version": 1, noun: value}``, or *lines*."""
        if self.as_json:
            self._write_json({"version": VERSION, noun: value})
        elif not self.quiet:
            for line in lines:
                sys.stdout.write(f"{printable(line)}\n")
        sys.stdout.flush()

    def result_with_errors(
        self,
        noun: str,
        value: object,
        lines: list[str],
        errors: tuple[OrchError, ...],
    ) -> None:
        """Show a result, and what failed besides, in one document.

        Raises:
            typer.Exit: something failed.
        """
        if not errors:
            self.result(noun, value, lines)
            return
        error = joined(errors, "Not everything is as it should be.")
        if self.as_json:
            self._write_json({"version": VERSION, noun: value, **_failure(error)})
        else:
            self.result(noun, value, lines)
        sys.stderr.write(f"{render(error)}\n")
        raise typer.Exit(exit_status(error)) from error

    def error(self, error: OrchError) -> None:
        """Show a failure, as far as there is somewhere to write it to."""
        with suppress(OSError):
            sys.stderr.write(f"{render(error)}\n")
        if self.as_json:
            with suppress(OSError):
                self._write_json({"version": VERSION, **_failure(error)})

    def _write_json(self, document: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(document, ensure_ascii=True) + "\n")
        sys.stdout.flush()


def render(error: OrchError) -> str:
    """Lay an error out for a terminal: summary, evidence indented, hint last."""
    lines = describe(error)
    hint = [f"hint: {error.hint}"] if error.hint else []
    return "\n".join(printable(line) for line in (f"error: {lines[0]}", *lines[1:], *hint))


def _failure(error: OrchError) -> dict[str, object]:
    """Return the ``error`` of a document; of several also each one, as ``errors``."""
    if not isinstance(error, SeveralError):
        return {"error": error_document(error)}
    each = [error_document(one) for one in error.errors]
    return {"error": error_document(error), "errors": each}


def error_document(error: OrchError) -> dict[str, object]:
    """Return the failure as the JSON object that all commands share."""
    return {
        "class": error.kind,
        "message": error.summary,
        "image": error.image,
        "layer": None,
        "path": error.path,
        "details": "\n".join(line.strip() for line in describe(error)[1:]) or None,
        "hint": error.hint,
        "exit": exit_status(error),
    }


def printable(line: str) -> str:
    """Escape what a terminal would act on."""
    return "".join(c if c.isprintable() or c in "\t\u00a0" else repr(c)[1:-1] for c in line)


def size(count: int) -> str:
    """Write a number of bytes with a decimal unit, as bootc does."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f}\u00a0{unit}" if unit == "bytes" else f"{value:.1f}\u00a0{unit}"
        value /= 1000
    return f"{value:.1f}\u00a0TB"
