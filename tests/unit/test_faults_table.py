"""`contrib/doc/faults.md` and the tests tell of the same faults."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FOLDERS = (CHECKOUT / "tests", CHECKOUT / "bound-images/tests")
TABLE = (CHECKOUT / "contrib/doc/faults.md").read_text()
ROW = re.compile(r"^\| ([A-Z]\d\d) \| ([^|]+) \| ([^|]+) \| ([^|]*)\|$", re.MULTILINE)
NAME = re.compile(r"`(test_\w+)`")
NOT_TESTED = re.compile(r"\*\*not tested\*\*: \S.{20,}")

LETTERS = "".join(sorted({row[0] for row, *_ in ROW.findall(TABLE)}))
# Not the hour of a date, nor a part of a digest.
IN_TEXT = re.compile(rf"(?<![0-9A-Za-z])([{LETTERS}]\d\d)[a-z]?(?![0-9A-Za-z]|:\d)")
IN_NAME = re.compile(r"(?<![0-9A-Z])([A-Z]\d\d)[A-Z]?(?![0-9A-Z])")


def mentioned(path):
    """Return the names of the tests in *path*, and the ids in names, parameters and strings."""
    names, ids = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef(name=name) if name.startswith("test_"):
                names.add(name)
                ids.update(IN_NAME.findall(name.replace("_", " ").upper()))
            case ast.Constant(value=str(text)):
                ids.update(IN_TEXT.findall(text))
            case ast.keyword(arg="id"):
                ids.update(IN_NAME.findall(ast.unparse(node.value).upper()))
    return names, ids


@pytest.fixture(scope="module")
def everything():
    """The names of all tests, and the ids that they mention, but for this module."""
    paths = {path for folder in FOLDERS for path in folder.rglob("*.py")} - {Path(__file__)}
    names, ids = zip(*map(mentioned, paths), strict=True)
    return set().union(*names), set().union(*ids)


@pytest.fixture(scope="module")
def tested(everything):
    return everything[1]


def test_a_row_has_an_id_of_its_own():
    ids = [row for row, *_ in ROW.findall(TABLE)]
    assert [row for row, count in Counter(ids).items() if count > 1] == []
    assert len(ids) == len(re.findall(r"^\| [A-Z]\d\d", TABLE, re.MULTILINE))
    assert len(ids) > 250


def test_an_id_in_a_test_has_a_row(tested):
    assert tested - {row for row, *_ in ROW.findall(TABLE)} == set()


def test_a_row_has_a_test_or_says_why_not(tested):
    without = [
        row
        for row, _, _, held_by in ROW.findall(TABLE)
        if row not in tested and not NAME.search(held_by) and not NOT_TESTED.match(held_by)
    ]
    assert without == []


def test_a_row_that_is_tested_does_not_say_otherwise(tested):
    otherwise = [row for row, *_, held_by in ROW.findall(TABLE) if NOT_TESTED.match(held_by)]
    assert [row for row in otherwise if row in tested] == []


def test_a_test_that_the_table_names_exists(everything):
    assert set(NAME.findall(TABLE)) - everything[0] == set()
