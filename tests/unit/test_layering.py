"""Imports point downward only, and a library that asks for care has one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "bootc_orch"
MODULES = sorted(PACKAGE.rglob("*.py"))
BOUND_IMAGES = ROOT / "bound-images" / "bound_images"
BOUND_MODULES = sorted(BOUND_IMAGES.rglob("*.py"))

# A module may import from its own layer and from the layers to the right of it.
LAYERS = ["cli", "config", "ops", "tools", "stream", "process", "model", "errors"]
# A library, and the places that may import it.
HOMES = {
    "subprocess": ("process.py",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "bound_images": ("ops/bound.py", "ops/bound_", "cli/bound"),
    "tenacity": ("tools/", "ops/"),
    "yaml": ("config.py", "cli/"),
    "isal": ("stream/",),
    "backports": ("stream/",),
}


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(name: str) -> int:
    """The number of the layer that a dotted name belongs to; the package itself is above all."""
    part = name.split(".")[1] if "." in name else ""
    return LAYERS.index(part) if part in LAYERS else -1


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_imports_point_to_the_right(path: Path) -> None:
    here = layer_of(dotted(path))
    ours = [name for name in imported_names(path) if name.split(".")[0] == "bootc_orch"]
    assert [name for name in ours if -1 < layer_of(name) < here] == []


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_a_module_belongs_to_a_layer(path: Path) -> None:
    assert layer_of(dotted(path)) >= 0 or path.name in {"__init__.py", "__main__.py"}


@pytest.mark.parametrize(("library", "homes"), HOMES.items(), ids=HOMES)
def test_a_library_stays_in_its_home(library: str, homes: tuple[str, ...]) -> None:
    users = [
        path for path in MODULES if any(n.split(".")[0] == library for n in imported_names(path))
    ]
    places = [str(path.relative_to(PACKAGE)) for path in users]
    assert [place for place in places if not place.startswith(homes)] == []


@pytest.mark.parametrize("path", BOUND_MODULES, ids=ids)
def test_bound_images_stands_alone(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported_names(path)}
    assert roots & {"bootc_orch", "subprocess"} == set()


@pytest.mark.parametrize("path", [*MODULES, *BOUND_MODULES], ids=ids)
def test_there_is_no_drawer_for_odds_and_ends(path: Path) -> None:
    assert path.stem not in {"utils", "util", "common", "helpers", "misc"}
