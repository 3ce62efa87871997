"""A group of options is shown as options, and arrives as one parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from bootc_orch.cli.options.grouping import grouped


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    front: Annotated[str, typer.Option("--front", help="The nearer one.")] = "red"
    many: Annotated[int | None, typer.Option("--many")] = None


app = typer.Typer(add_completion=False)


@app.command()
@grouped
def paint(
    what: Annotated[str, typer.Argument()],
    *,
    colours: Colours,
    twice: Annotated[bool, typer.Option("--twice")] = False,
) -> None:
    """Paint it."""
    print(what, colours, twice)


def test_the_fields_are_options() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "Paint it." in shown
    assert shown.index("--front") < shown.index("--many") < shown.index("--twice")
    assert "--colours" not in shown


def test_they_arrive_as_one_parameter_with_their_defaults() -> None:
    done = CliRunner().invoke(app, ["door", "--many", "3", "--twice"])
    assert done.output == f"door {Colours(many=3)} True\n"


def test_their_types_are_checked() -> None:
    assert CliRunner().invoke(app, ["door", "--many", "x"]).exit_code == 2
