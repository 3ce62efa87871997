"""A group of options is shown as options, and arrives as one parameter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer
from typer.testing import CliRunner

from orch_frame.options.grouping import grouped


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    front: Annotated[str, typer.Option("--front", help="The nearer one.")] = "red"
    many: Annotated[int | None, typer.Option("--many")] = None


heard: list[bool] = []


def hear(value: bool) -> None:
    heard.append(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loudness:
    loud: Annotated[bool, typer.Option("--loud", callback=hear)] = False
    front: Annotated[bool, typer.Option("--shadowed")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    needed: Annotated[str, typer.Option("--needed")]


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


rooms = typer.Typer(add_completion=False)


@rooms.command()
@partial(grouped, everywhere=Loudness)
def clean(*, colours: Colours, needed: Needed) -> None:
    print(colours.front, needed)


def test_the_group_that_all_commands_take_is_served_by_its_callbacks() -> None:
    heard.clear()
    done = CliRunner().invoke(rooms, ["--needed", "x", "--loud"])
    assert (done.output, heard) == ("red Needed(needed='x')\n", [True])


def test_it_leaves_out_what_the_command_takes_itself() -> None:
    shown = CliRunner().invoke(rooms, ["--help"]).output
    assert "--loud" in shown
    assert "--shadowed" not in shown


def test_an_option_without_a_default_is_required() -> None:
    done = CliRunner().invoke(rooms, [])
    assert done.exit_code == 2
    assert "--needed" in done.output
