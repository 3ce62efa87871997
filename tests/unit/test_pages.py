"""What the pages point to is there, and the page on the structure names every room."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob(".github/*.md"),
        *ROOT.glob("contrib/**/*.md"),
        *ROOT.glob("bound-images/*.md"),
    ]
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
# A path of this repository, as the pages write one.
PATH = re.compile(r"`((?:bootc_orch|bound-images|tests|contrib|\.ci|\.github)/[\w./*-]*)`")
ROOM = re.compile(r"`((?:cli|ops|tools|model)/[\w/]+|cli|ops|tools|stream|model|config|process)`")
ARCHITECTURE = ROOT / "contrib/doc/architecture.md"


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def lost(page: Path) -> Iterator[str]:
    """What *page* points to and is not there."""
    text = page.read_text()
    for target in LINK.findall(text):
        if "://" not in target and not (page.parent / target).exists():
            yield target
    for target in PATH.findall(text):
        if not any(ROOT.glob(target.rstrip("/"))):
            yield target


def rooms() -> set[str]:
    """The folders of the program that hold modules, and the modules that are rooms."""
    package = ROOT / "bootc_orch"
    modules = [path for path in package.glob("*/**/*.py") if path.name != "__init__.py"]
    return {str(path.parent.relative_to(package)) for path in modules} | {"config", "process"}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_what_a_page_points_to_is_there(page: Path) -> None:
    assert list(lost(page)) == []


def test_the_page_on_the_structure_names_every_room_and_no_other() -> None:
    _, _, section = ARCHITECTURE.read_text().partition("## The rooms\n")
    section, _, _ = section.partition("\n## ")
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert set(ROOM.findall(table)) == rooms()
