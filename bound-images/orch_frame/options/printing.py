"""How to print, which every command of both programs lets its user say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from orch_frame import output
from orch_frame.options.grouping import grouped


def _use_json(value: bool) -> bool:  # noqa: FBT001 - called by Typer
    output.mode.json = output.mode.json or value
    return value


def _be_quiet(value: bool) -> bool:  # noqa: FBT001 - called by Typer
    output.mode.quiet = output.mode.quiet or value
    return value


def _be_verbose(value: int) -> int:
    if value:
        output.mode.verbose = max(output.mode.verbose, value)
        output.start_logging()
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Printing:
    """The options; their callbacks do all there is to do about them."""

    json: Annotated[
        bool,
        typer.Option(
            "--json",
            callback=_use_json,
            is_eager=True,
            help="Print one JSON object; a failure prints one too.",
        ),
    ] = False
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", callback=_be_quiet, is_eager=True, help="Print no progress."),
    ] = False
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            callback=_be_verbose,
            is_eager=True,
            help="Say on standard error what is done; twice: also which programs are run.",
        ),
    ] = 0


def with_output(command: Callable[..., None]) -> Callable[..., None]:
    """Show Typer the groups of *command* as options, and after them those of `Printing`."""
    return grouped(command, everywhere=Printing)
