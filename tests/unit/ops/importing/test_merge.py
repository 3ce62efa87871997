"""The layers of an image become one tree, labelled by its policy where it has one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.handmade import Folder

from bootc_orch.ops.importing import merge as merge_module
from bootc_orch.ops.importing.merge import NOTES_MAX, LayerTree, merge
from bootc_orch.stream.trees import Trees, with_label
from orch_frame.errors import InvalidImageError

MEMORY = "extensions/bootc-orch/labels"


@pytest.fixture
def trees(made):
    return Trees(made.store)


def flatten(made, trees, base, *layers, work=Path("/nonexistent")):
    def root(tree):
        return trees.commit_root(made.commit(tree))

    found = [LayerTree(root(tree), directories=known) for tree, known in layers]
    return merge(trees, base and root(base), found, repo=made.path, work=work)


def names(trees, root, path=""):
    entries = trees.load(root.tree)
    found = {f"{path}/{name.decode()}" for name in entries.files}
    for name, child in entries.dirs.items():
        found |= {f"{path}/{name.decode()}/"} | names(trees, child, f"{path}/{name.decode()}")
    return found


def test_layers_lie_over_the_base_and_whiteouts_hide_what_is_below(made, trees):
    merged = flatten(
        made,
        trees,
        {"usr": {"bin": {"old": b"1", "kept": b"2"}, "lib": {"a": b"3"}}},
        ({"usr": {"bin": {".wh.old": b"", "new": b"4"}}}, None),
        ({"usr": {"lib": {".wh..wh..opq": b"", "b": b"5"}}}, None),
    )
    assert names(trees, merged.root) == {
        "/usr/", "/usr/bin/", "/usr/bin/kept", "/usr/bin/new", "/usr/lib/", "/usr/lib/b",
    }  # fmt: skip


def test_without_a_base_the_first_layer_is_the_ground(made, trees):
    merged = flatten(made, trees, None, ({"usr": {"a": b"1"}}, None))
    assert names(trees, merged.root) == {"/usr/", "/usr/a"}


def test_attributes_that_have_no_effect_are_told_for_directories_that_a_layer_describes(
    made, trees
):
    base = {"usr": {"bin": {}, "lib": {}}}
    layer = {"usr": {"bin": Folder({}, 0o700), "lib": Folder({}, 0o711)}}
    merged = flatten(made, trees, base, (layer, frozenset({b"/usr/bin"})))
    assert merged.unchanged == ("/usr/bin",)
    assert flatten(made, trees, base, (layer, None)).unchanged == ()


def test_a_whiteout_that_names_nothing_is_refused(made, trees):
    with pytest.raises(InvalidImageError, match="names no entry"):
        flatten(made, trees, {"a": b""}, ({".wh.": b""}, None))


def test_what_a_container_engine_leaves_behind_goes_only_if_it_is_empty(made, trees):
    left = {"usr": {"etc": {"hostname": b"", "resolv.conf": b"nameserver 127.0.0.1\n"}}}
    merged = flatten(made, trees, None, (left, None))
    assert names(trees, merged.root) == {"/usr/", "/usr/etc/", "/usr/etc/resolv.conf"}


class Policy:
    """A policy that labels everything alike."""

    policy = "one"
    opened = released = labelled = 0

    def __enter__(self):
        self.opened += 1
        return self

    def __exit__(self, *_):
        self.released += 1

    def label(self, path, mode):
        self.labelled += 1
        return b"label\0"


@pytest.fixture
def policy(monkeypatch):
    found = Policy()
    monkeypatch.setattr(merge_module, "load_labeler", lambda *_: found)
    return found


def test_everything_has_the_label_of_the_policy_and_the_policy_is_released(made, trees, policy):
    merged = flatten(made, trees, {"usr": {"a": b"1"}}, ({"usr": {"b": b"2"}}, None))
    (usr,) = trees.load(merged.root.tree).dirs.values()
    wanted = with_label((), b"label\0")
    assert trees.load_meta(merged.root.meta).xattrs == trees.load_meta(usr.meta).xattrs == wanted
    files = trees.load(usr.tree).files.values()
    assert [trees.store.open_file(f.hex()).header.xattrs for f in files] == [wanted] * 2
    assert (policy.opened, policy.released) == (1, 1)


def test_a_tree_that_is_known_to_be_right_is_not_looked_at_again(made, trees, policy):
    merged = flatten(made, trees, {"usr": {"a": b"1"}})
    policy.labelled = 0
    again = merge(trees, merged.root, [], repo=made.path, work=made.path)
    assert (again.root, policy.labelled) == (merged.root, 0)
    policy.policy = "another"
    merge(trees, merged.root, [], repo=made.path, work=made.path)
    assert policy.labelled > 0


def test_a_layer_that_this_policy_labelled_when_it_came_is_taken_as_it_is(made, trees, policy):
    root = trees.commit_root(made.commit({"usr": {"a": b"1"}}))
    merged = merge(trees, None, [LayerTree(root, "one")], repo=made.path, work=made.path)
    assert (merged.layers, policy.labelled) == ((root,), 0)


def test_a_policy_is_released_when_it_cannot_label(made, trees, policy, monkeypatch):
    def fail(path, mode):
        raise InvalidImageError("no label")

    monkeypatch.setattr(policy, "label", fail)
    with pytest.raises(InvalidImageError, match="no label"):
        flatten(made, trees, {"usr": {"a": b"1"}})
    assert policy.released == 1


@pytest.mark.usefixtures("policy")
def test_the_oldest_notes_are_forgotten(made, trees):
    memory = made.path / MEMORY
    memory.mkdir(parents=True)
    for number in range(NOTES_MAX + 3):
        (memory / f"note-{number}").touch()
        os.utime(memory / f"note-{number}", (number, number))
    flatten(made, trees, {"usr": {"a": b"1"}})
    left = {path.name for path in memory.iterdir()}
    assert len(left) == NOTES_MAX + 1
    assert not left & {"note-0", "note-1", "note-2"}
