"""Which paths differ between two trees; against real trees in test_trees_differ_as_their_…_do."""

from __future__ import annotations

import os

import pytest
from support.handmade import Folder, HandmadeRepo, Link

from bootc_orch.ops.difference import tree_difference
from bootc_orch.ops.difference.tree_difference import TreeDifference, compare_trees
from orch_frame.errors import LimitError, StoreDamagedError

TREE = {"a": b"1", "b": {"c": b"2", "d": {"e": b"3"}}, "link": Link("a")}


@pytest.fixture
def made(tmp_path):
    return HandmadeRepo(tmp_path / "repo", "archive")


def compare(made, old, new):
    return compare_trees(made.repo, old if old is None else made.commit(old), made.commit(new))


@pytest.mark.parametrize(
    ("old", "new", "added", "removed", "changed"),
    [
        pytest.param(TREE, TREE, (), (), (), id="equal"),
        pytest.param(
            None,
            TREE,
            ("/a", "/b/", "/b/c", "/b/d/", "/b/d/e", "/link"),
            (),
            (),
            id="nothing before",
        ),
        pytest.param({}, {"z": b"", "a": {}}, ("/a/", "/z"), (), (), id="added"),
        pytest.param({"z": b"", "a": {"b": b""}}, {}, (), ("/a/", "/a/b", "/z"), (), id="removed"),
        pytest.param({"a": b"1"}, {"a": b"2"}, (), (), ("/a",), id="other content"),
        pytest.param({"a": Link("b")}, {"a": Link("c")}, (), (), ("/a",), id="other target"),
        pytest.param({"a": b"b"}, {"a": Link("b")}, (), (), ("/a",), id="file and link"),
        pytest.param(
            {"a": {"b": {"c": b"1"}}}, {"a": {"b": {"c": b"2"}}}, (), (), ("/a/b/c",), id="deep"
        ),
        pytest.param(
            {"a": {"b": b""}}, {"a": b"1"}, (), ("/a/b",), ("/a",), id="directory becomes file"
        ),
        pytest.param(
            {"a": b"1"}, {"a": {"b": b""}}, ("/a/b",), (), ("/a/",), id="file becomes directory"
        ),
        pytest.param(
            {"a": {"b": b""}},
            {"a": Folder({"b": b""}, 0o700)},
            (),
            (),
            ("/a/",),
            id="attributes of a directory",
        ),
        pytest.param(
            {"a": {"b": b"", "c": b""}, "d": b""},
            {"a": {"b": b"", "e": b""}, "d": b"", "f": {"g": {}}},
            ("/a/e", "/f/", "/f/g/"),
            ("/a/c",),
            (),
            id="both ways",
        ),
    ],
)
def test_each_path_that_differs_is_told_once(made, old, new, added, removed, changed):
    assert compare(made, old, new) == TreeDifference(added, removed, changed)


def test_the_root_itself_can_differ(made):
    old, new = made.commit({}), made.commit({}, meta=made.dirmeta(0o700))
    assert compare_trees(made.repo, old, new) == TreeDifference((), (), ("/",))


def test_a_name_that_is_no_text_is_escaped(made):
    assert compare(made, None, {os.fsdecode(b"\xff"): b"1"}).added == ("/\\xff",)


def test_what_both_share_is_not_even_read(made):
    shared = made.tree(TREE["b"])
    old, new = made.commit(TREE), made.commit({**TREE, "a": b"other"})
    made.object(f"{shared}.dirtree").unlink()
    assert compare_trees(made.repo, old, new) == TreeDifference((), (), ("/a",))


@pytest.mark.parametrize("missing", ["commit", "dirtree"])
def test_damage_is_an_error(made, missing):
    old, new = made.commit(TREE), made.commit({**TREE, "b": {"c": b"other"}})
    name = f"{new}.commit" if missing == "commit" else f"{made.tree(TREE['b'])}.dirtree"
    made.object(name).unlink()
    with pytest.raises(StoreDamagedError):
        compare_trees(made.repo, old, new)


def test_directories_that_stand_for_any_number_of_paths_end_at_a_limit(made, monkeypatch):
    monkeypatch.setattr(tree_difference, "MAX_PATHS", 14)
    tree = {}
    for _ in range(3):  # two names for the same directory, three times over: 2 + 4 + 8 paths
        tree = {"a": tree, "b": tree}
    assert len(compare(made, None, tree).added) == 14
    with pytest.raises(LimitError, match="More than 14 files differ"):
        compare(made, None, {**tree, "c": b""})
