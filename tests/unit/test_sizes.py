"""Functions stay as small as a reader can hold in mind; the command line has rules of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    path
    for name in ("bootc_orch", "bound_images", "orch_frame")
    for path in (ROOT / name, ROOT / "bound-images" / name)
    if path.is_dir()
]
MOST_LINES = 50
MOST_PARAMETERS = 6
COMMAND_LINES = [path / "cli" for path in PACKAGES if (path / "cli").is_dir()]
MOST_OPTIONS = 10  # of a command, groups not counted


def functions(folder: Path) -> Iterator[tuple[Path, ast.FunctionDef]]:
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield path, node


def parameters(function: ast.FunctionDef) -> list[ast.arg]:
    """What a caller passes, the object of a method not counted."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [one for one in named if one.arg not in ("self", "cls")]


def lines(function: ast.FunctionDef) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


def below_the_command_line(package: Path) -> list[tuple[str, ast.FunctionDef]]:
    found = [
        (f"{path.relative_to(package)}:{one.name}", one)
        for path, one in functions(package)
        if path.relative_to(package).parts[0] != "cli"
    ]
    assert len(found) > 10
    return found


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_function_takes_more_than_can_be_told_apart(package: Path) -> None:
    counts = {name: len(parameters(one)) for name, one in below_the_command_line(package)}
    assert {name: count for name, count in counts.items() if count > MOST_PARAMETERS} == {}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_function_is_longer_than_a_screen(package: Path) -> None:
    sizes = {name: lines(one) for name, one in below_the_command_line(package)}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}


def single_options(path: Path, function: ast.FunctionDef) -> list[str]:
    """The parameters of a command that are no groups of options."""
    names = [one.arg for one in parameters(function)]
    if len(names) <= MOST_OPTIONS:
        return names
    words = path.relative_to(ROOT).with_suffix("").parts
    module = import_module(".".join(word for word in words if word != "bound-images"))
    command = getattr(module, function.name)
    hints = get_type_hints(getattr(command, "__wrapped__", command))
    return [name for name in names if not is_dataclass(hints[name])]


@pytest.mark.parametrize("folder", COMMAND_LINES, ids=lambda path: path.parent.name)
def test_no_function_of_a_command_line_is_longer_than_a_screen(folder: Path) -> None:
    sizes = {
        f"{path.relative_to(folder)}:{one.name}": lines(one) for path, one in functions(folder)
    }
    assert len(sizes) > 10
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}


@pytest.mark.parametrize("folder", COMMAND_LINES, ids=lambda path: path.parent.name)
def test_no_command_has_many_parameters_besides_groups_of_options(folder: Path) -> None:
    many = {
        f"{path.relative_to(folder)}:{one.name}": names
        for path, one in functions(folder)
        if len(names := single_options(path, one)) > MOST_OPTIONS
    }
    assert many == {}
