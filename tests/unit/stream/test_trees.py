"""Overlaying trees: what a layer hides, what it replaces, and what stays as it was."""

from __future__ import annotations

import stat

import pytest

from bootc_orch.model.gvariant import Dirmeta
from bootc_orch.stream.object_format import Attributes, Mode
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.stream.trees import Directory, Entries, Trees, with_label
from orch_frame.errors import InvalidImageError

PLAIN = Attributes(0, 0, stat.S_IFREG | 0o644)


@pytest.fixture
def trees(tmp_path):
    for number in range(256):
        (tmp_path / f"objects/{number:02x}").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    return Trees(ObjectStore(tmp_path, Mode.ARCHIVE))


def save(trees: Trees, content: dict, mode: int = 0o755) -> Directory:
    """Store a tree: text for a file, a dictionary for a directory, both by name."""
    entries = Entries()
    for name, value in content.items():
        if isinstance(value, dict):
            entries.dirs[name.encode()] = save(trees, value)
        else:
            checksum = trees.store.add_file(PLAIN, value.encode())
            entries.files[name.encode()] = bytes.fromhex(checksum)
    meta = trees.save_meta(Dirmeta(0, 0, stat.S_IFDIR | mode))
    return Directory(trees.save(entries), meta)


def load(trees: Trees, directory: Directory) -> dict:
    entries = trees.load(directory.tree)
    files = {
        name.decode(): trees.store.read_file(sum_.hex()).decode()
        for name, sum_ in entries.files.items()
    }
    return files | {name.decode(): load(trees, child) for name, child in entries.dirs.items()}


@pytest.mark.parametrize(
    ("base", "layer", "expected"),
    [
        pytest.param({"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}, id="adds"),
        pytest.param({"a": "1"}, {"a": "2"}, {"a": "2"}, id="replaces"),
        pytest.param({"d": {"a": "1"}}, {"d": {"b": "2"}}, {"d": {"a": "1", "b": "2"}}, id="joins"),
        pytest.param({"a": "1", "b": "2"}, {".wh.a": ""}, {"b": "2"}, id="whiteout of a file"),
        pytest.param({"d": {"a": "1"}}, {".wh.d": ""}, {}, id="whiteout of a directory"),
        pytest.param({}, {".wh.gone": ""}, {}, id="whiteout of nothing"),
        pytest.param({"a": "1"}, {".wh.a": "", "a": "2"}, {"a": "2"}, id="own file survives"),
        pytest.param({"+x": "1"}, {".wh.+x": "", "+x": "2"}, {"+x": "2"}, id="whatever its name"),
        pytest.param(
            {"d": {"old": "1"}},
            {".wh.d": "", "d": {"new": "2"}},
            {"d": {"new": "2"}},
            id="own directory survives, emptied",
        ),
        pytest.param(
            {"d": {"old": "1"}},
            {"d": {".wh..wh..opq": "", "new": "2"}},
            {"d": {"new": "2"}},
            id="opaque directory",
        ),
        pytest.param({"a": {"b": "1"}}, {"a": "2"}, {"a": "2"}, id="file over directory"),
        pytest.param({"a": "1"}, {"a": {"b": "2"}}, {"a": {"b": "2"}}, id="directory over file"),
        pytest.param(
            {}, {"d": {"e": {".wh.x": "", "a": "1"}}}, {"d": {"e": {"a": "1"}}}, id="new directory"
        ),
        pytest.param(
            {}, {".ostree-wh.x": ""}, {".ostree-wh.x": ""}, id="a whiteout for the deployment stays"
        ),
    ],
)
def test_a_layer_over_a_base(trees, base, layer, expected):
    result = trees.overlay(save(trees, base), save(trees, layer), lambda path: None)
    assert load(trees, result) == expected


def test_a_first_layer_without_base_keeps_its_root_and_loses_its_whiteouts(trees):
    layer = save(trees, {"a": "1", ".wh.b": ""}, mode=0o700)
    result = trees.overlay(None, layer, lambda path: None)
    assert load(trees, result) == {"a": "1"}
    assert trees.load_meta(result.meta).mode & 0o7777 == 0o700


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh..."])
def test_a_whiteout_that_names_no_entry_is_refused(trees, name):
    layer = save(trees, {name: ""})
    with pytest.raises(InvalidImageError, match="names no entry"):
        trees.overlay(None, layer, lambda path: None)


def test_a_present_directory_keeps_its_attributes_and_is_told(trees):
    base = save(trees, {"d": {"a": "1"}})
    layer = Directory(
        trees.save(Entries(dirs={b"d": save(trees, {"b": "2"}, mode=0o700)})), base.meta
    )
    told = []
    result = trees.overlay(base, layer, told.append)
    directory = trees.load(result.tree).dirs[b"d"]
    assert trees.load_meta(directory.meta).mode & 0o7777 == 0o755
    assert told == [b"/d/"]


def test_only_touched_directories_are_made_anew(trees):
    base = save(trees, {"big": {"a": "1"}, "small": {"b": "2"}})
    layer = save(trees, {"small": {"c": "3"}})
    trees.made.clear()
    result = trees.overlay(base, layer, lambda path: None)
    untouched = trees.load(base.tree).dirs[b"big"]
    assert trees.load(result.tree).dirs[b"big"] == untouched
    assert len(trees.made) == 2


def test_a_file_goes_only_if_it_is_condemned(trees):
    root = save(trees, {"usr": {"etc": {"hostname": "", "hosts": "x"}}})
    gone = trees.without_file(root, "usr/etc/hostname", lambda checksum: True)
    assert load(trees, gone) == {"usr": {"etc": {"hosts": "x"}}}
    assert trees.without_file(root, "usr/etc/hostname", lambda checksum: False) == root
    assert trees.without_file(root, "usr/none/hostname", lambda checksum: True) == root


class OneLabel:
    """A policy that has one label for everything but ``/none``."""

    policy = "one"

    def label(self, path, mode):
        return None if path == b"/none" else b"a:b:c\0"


def test_labels_are_set_moved_and_removed_as_the_policy_has_them(trees):
    labelled = Attributes(0, 0, stat.S_IFREG | 0o644)
    entries = Entries(
        {
            b"a": bytes.fromhex(trees.store.add_file(labelled, b"1")),
            b"none": bytes.fromhex(trees.store.add_file(labelled, b"2")),
        }
    )
    root = Directory(trees.save(entries), trees.save_meta(Dirmeta(0, 0, stat.S_IFDIR | 0o755)))
    once = trees.relabel(root, OneLabel())
    found = trees.load(once.tree).files
    headers = {n: trees.store.open_file(c.hex()).header.xattrs for n, c in found.items()}
    assert headers == {b"a": ((b"security.selinux\0", b"a:b:c\0"),), b"none": ()}
    assert trees.load_meta(once.meta).xattrs == ((b"security.selinux\0", b"a:b:c\0"),)
    assert trees.relabel(once, OneLabel()) == once


def test_a_label_stands_in_its_place_by_name():
    xattrs = ((b"security.capability\0", b"1"), (b"user.x\0", b"2"))
    assert [name for name, _ in with_label(xattrs, b"l\0")] == [
        b"security.capability\0",
        b"security.selinux\0",
        b"user.x\0",
    ]
