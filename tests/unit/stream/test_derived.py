"""The tree of a derived layer is what ostree would make of the filtered archive."""

from __future__ import annotations

import stat

import pytest
from support import rawtar

from bootc_orch.stream.derived import import_derived_layer
from bootc_orch.stream.layer_report import summarize_filtered
from bootc_orch.stream.object_format import Mode
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.stream.paths import Filtered, PathRules, split
from bootc_orch.stream.trees import Trees
from orch_frame.errors import InvalidImageError

USR_ONLY = PathRules(allow_nonusr=False, keep_var=True)


@pytest.fixture
def trees(tmp_path):
    for number in range(256):
        (tmp_path / f"objects/{number:02x}").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    return Trees(ObjectStore(tmp_path, Mode.ARCHIVE))


def built(trees, *parts, rules=USR_ONLY, allow_ima=False):
    """Import an archive; return each path with its mode and owner, or its content."""
    root, report = import_derived_layer(
        [rawtar.archive(*parts)], trees, rules=rules, labeler=None, allow_ima=allow_ima
    )
    found = {}

    def walk(directory, path):
        meta = trees.load_meta(directory.meta)
        found[path or "/"] = (oct(meta.mode & 0o7777), meta.uid, meta.gid)
        entries = trees.load(directory.tree)
        for name, checksum in entries.files.items():
            stored = trees.store.open_file(checksum.hex())
            link = stat.S_ISLNK(stored.header.mode)
            content = stored.header.target if link else b"".join(stored.pieces())
            found[f"{path}/{name.decode()}"] = content.decode()
        for name, child in entries.dirs.items():
            walk(child, f"{path}/{name.decode()}")

    walk(root, "")
    return found, report


def test_an_implied_directory_gives_all_above_it_the_owner_of_the_entry(trees):
    found, _ = built(
        trees,
        rawtar.directory(b"usr", mode=0o700),
        rawtar.file(b"usr/a/b", b"x", uid=5, gid=6),
    )
    assert found == {
        "/": ("0o755", 5, 6),
        "/usr": ("0o755", 5, 6),
        "/usr/a": ("0o755", 5, 6),
        "/usr/a/b": "x",
    }


def test_entries_in_present_directories_and_at_the_top_change_no_attributes(trees):
    found, _ = built(
        trees,
        rawtar.directory(b"./", mode=0o711),
        rawtar.directory(b"usr", mode=0o700),
        rawtar.file(b"usr/a", b"x", uid=5, gid=6),
    )
    assert found == {"/": ("0o711", 0, 0), "/usr": ("0o700", 0, 0), "/usr/a": "x"}


@pytest.mark.parametrize(
    ("name", "rules", "placed"),
    [
        pytest.param(b"usr/a", USR_ONLY, (b"usr", b"a"), id="usr"),
        pytest.param(b"/etc/a", USR_ONLY, (b"usr", b"etc", b"a"), id="etc"),
        pytest.param(b"./var//a/", USR_ONLY, (b"var", b"a"), id="var kept"),
        pytest.param(
            b"var/a",
            PathRules(allow_nonusr=False, keep_var=False),
            (b"usr", b"share", b"factory", b"var", b"a"),
            id="var moved",
        ),
        pytest.param(b"opt/a", USR_ONLY, Filtered(b"opt"), id="other"),
        pytest.param(
            b"opt/a", PathRules(allow_nonusr=True, keep_var=True), (b"opt", b"a"), id="other kept"
        ),
        pytest.param(b"run/x/y", USR_ONLY, Filtered(b"x"), id="below run"),
        pytest.param(b"run", USR_ONLY, (b"run",), id="run itself"),
        pytest.param(
            b"sysroot/ostree/repo/objects",
            PathRules(allow_nonusr=True, keep_var=True),
            Filtered(b"sysroot"),
            id="a repository is never kept",
        ),
    ],
)
def test_paths_go_where_ostree_wants_them(name, rules, placed):
    assert rules.place(split(name)) == placed


def test_hard_links_lead_to_the_last_file_through_other_links(trees):
    found, _ = built(
        trees,
        rawtar.directory(b"usr"),
        rawtar.hardlink(b"usr/c", b"usr/b"),
        rawtar.hardlink(b"usr/b", b"/usr/a"),
        rawtar.file(b"usr/a", b"old"),
        rawtar.file(b"usr/a", b"new"),
        rawtar.file(b"etc/h", b"etc"),
        rawtar.hardlink(b"usr/h", b"etc/h"),
    )
    assert [found[f"/usr/{name}"] for name in "abch"] == ["new", "new", "new", "etc"]


def test_hard_links_below_var_move_with_it(trees):
    found, report = built(
        trees,
        rawtar.file(b"var/a", b"x"),
        rawtar.hardlink(b"var/b", b"var/a"),
        rules=PathRules(allow_nonusr=False, keep_var=False),
    )
    assert found["/usr/share/factory/var/b"] == "x"
    assert report.moved_var


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        pytest.param(
            [rawtar.hardlink(b"usr/a", b"usr/b"), rawtar.hardlink(b"usr/b", b"usr/a")],
            "leads to itself",
            id="circle",
        ),
        pytest.param([rawtar.hardlink(b"usr/a", b"opt/b")], "is left out", id="filtered target"),
        pytest.param([rawtar.symlink(b"usr", b"elsewhere")], "must be a directory", id="usr"),
        pytest.param(
            [rawtar.symlink(b"usr/l", b"/etc"), rawtar.file(b"usr/l/passwd")],
            "usr/l, which is not a directory",
            id="through a link",
        ),
        pytest.param([rawtar.directory(b"usr/.wh.a")], "not a plain file", id="whiteout directory"),
        pytest.param(
            [rawtar.xattr(b"usr/a", b"security.ima", b"x")], "may not set", id="IMA signature"
        ),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_path(trees, parts, complaint):
    with pytest.raises(InvalidImageError, match=complaint) as caught:
        built(trees, *parts)
    assert caught.value.path is not None
    assert "offset" in str(caught.value.details)


def test_ima_signatures_are_kept_if_allowed(trees):
    found, _ = built(trees, rawtar.xattr(b"usr/a", b"security.ima", b"x"), allow_ima=True)
    assert "/usr/a" in found


def test_a_modified_object_of_the_images_repository_becomes_a_file_where_it_is_linked(trees):
    repository_file = b"sysroot/ostree/repo/objects/aa/bb.file"
    found, report = built(
        trees,
        rawtar.directory(b"usr"),
        rawtar.file(repository_file, b"changed", mtime=5, uid=7),
        rawtar.header(b"usr/first", b"1", link=repository_file, mtime=5),
        rawtar.header(b"etc/second", b"1", link=repository_file, mtime=5),
        rawtar.header(b"usr/lost", b"1", link=b"sysroot/ostree/repo/objects/none", mtime=5),
    )
    assert found["/usr/first"] == found["/usr/etc/second"] == "changed"
    assert "/usr/lost" not in found
    assert "/sysroot" not in found
    assert summarize_filtered([report]) is not None


def test_bookkeeping_of_old_builders_is_dropped(trees):
    found, _ = built(
        trees,
        rawtar.directory(b"usr"),
        rawtar.directory(b"usr/.wh..wh.plnk"),
        rawtar.file(b"usr/.wh..wh.plnk/1.2"),
        rawtar.file(b"usr/.wh..wh..opq", b""),
    )
    assert sorted(found) == ["/", "/usr", "/usr/.wh..wh..opq"]
