"""What a command of this program shows: a result, and what failed besides."""

from __future__ import annotations

import typer

from orch_frame import output
from orch_frame.boundary import report
from orch_frame.errors import OrchError
from orch_frame.several import joined


class Output:
    """The output of one command."""

    @property
    def as_json(self) -> bool:
        """Whether results and failures are JSON on standard output."""
        return output.mode.json

    @as_json.setter
    def as_json(self, value: bool) -> None:
        output.mode.json = value

    def result(self, noun: str, value: object, lines: list[str]) -> None:
        """Show a result: ``{"version": 1, noun: value}``, or *lines*."""
        output.say_result(noun, value)
        for line in lines:
            output.say_fields(line)

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
        if not self.as_json:
            self.result(noun, value, lines)
        error = joined(errors, "Not everything is as it should be.")
        raise typer.Exit(report(error, partial={noun: value})) from error


def size(count: int) -> str:
    """Write a number of bytes with a decimal unit, as bootc does."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f}\u00a0{unit}" if unit == "bytes" else f"{value:.1f}\u00a0{unit}"
        value /= 1000
    return f"{value:.1f}\u00a0TB"
