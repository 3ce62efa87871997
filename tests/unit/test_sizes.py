"""Functions stay as small as a reader can hold in mind; the command line has rules of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

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
