"""Reading a repository's files: refs, objects and detached metadata."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from support.handmade import HandmadeRepo

from bootc_orch.model.gvariant import Variant
from bootc_orch.tools.ostree.files import RefScan, write_atomically
from bootc_orch.tools.ostree.objects import Objects, Reach, RepoMode
from orch_frame.errors import NotFoundError, StorageIOError, StoreDamagedError

REF = "ostree/container/image/a"
GARBAGE = [
    pytest.param(b"", "does not hold a commit", id="D19-empty"),
    pytest.param(b"garbage\n", "does not hold a commit", id="D19-garbage"),
    pytest.param(b"A" * 64 + b"\n", "does not hold a commit", id="D19-upper-case"),
    pytest.param(b"\xff" * 64, "does not hold a commit", id="D19-not-text"),
]


@pytest.fixture
def made(tmp_path):
    return HandmadeRepo(tmp_path / "repo")


def test_a_directory_without_objects_is_no_repository(tmp_path):
    with pytest.raises(NotFoundError, match="is not an ostree repository"):
        Objects(tmp_path)


def test_refs_are_those_at_and_below_a_prefix(made):
    for name in ("a/b", "a/c/d", "ab", "b"):
        made.ref(name, "0" * 64)
    assert list(made.repo.refs("a")) == ["a/b", "a/c/d"]
    assert list(made.repo.refs("b")) == ["b"]
    assert list(made.repo.refs()) == ["a/b", "a/c/d", "ab", "b"]
    assert made.repo.refs("nothing") == {}


def test_no_ref_is_none(made):
    made.ref("a", "1" * 64)
    assert made.repo.rev_parse("a") == "1" * 64
    assert made.repo.rev_parse("a/b") is None
    assert made.repo.rev_parse("c") is None


@pytest.mark.parametrize(("content", "reason"), GARBAGE)
def test_a_damaged_ref_is_named_and_hides_no_other(made, content, reason):
    made.ref(REF, "").write_bytes(content)
    made.ref("ostree/container/image/b", "2" * 64)
    scan = made.repo.scan_refs("ostree/container/image")
    assert scan.commits == {"ostree/container/image/b": "2" * 64}
    assert list(scan.damaged) == [REF]
    assert reason in scan.damaged[REF]
    with pytest.raises(StoreDamagedError, match=f"Ref {REF}"):
        made.repo.refs()


def test_a_symbolic_link_among_container_refs_is_damage_elsewhere_an_alias_d19(made):
    made.ref("plain", "3" * 64)
    link = made.ref(REF, "")
    link.unlink()
    link.symlink_to("../../../plain")
    (made.path / "refs/heads/alias").symlink_to("plain")
    scan = made.repo.scan_refs()
    assert scan.commits == {"alias": "3" * 64, "plain": "3" * 64}
    assert list(scan.damaged) == [REF]


def test_a_link_to_a_directory_is_no_way_out(made, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/ref").write_text("4" * 64)
    (made.path / "refs/heads/ostree").mkdir()
    (made.path / "refs/heads/ostree/container").symlink_to(tmp_path / "outside")
    scan = made.repo.scan_refs()
    assert scan.commits == {}
    assert list(scan.damaged) == ["ostree/container"]


def test_an_object_that_is_not_what_its_checksum_says_is_damage_d18(made):
    commit = made.commit({"a": b"1"})
    path = made.repo.object_path(commit, "commit")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(StoreDamagedError, match="not what its checksum says"):
        made.repo.commit(commit)


def test_a_missing_object_is_damage_and_named(made):
    with pytest.raises(StoreDamagedError, match=r"Object 5+\.commit is missing"):
        made.repo.commit("5" * 64)


def test_collect_finds_every_object_once(made):
    commit = made.commit({"a": b"1", "b": b"1", "c": b"2"})
    reach = Reach()
    made.repo.collect(commit, reach)
    assert len(reach.commits) == len(reach.trees) == len(reach.metas) == 1
    assert len(reach.files) == 2


def test_what_a_partial_commit_lacks_is_passed_over(made):
    commit = made.commit({"a": b"1"})
    made.repo.object_path(made.repo.commit(commit).tree, "dirtree").unlink()
    with pytest.raises(StoreDamagedError):
        made.repo.collect(commit, Reach())
    (made.path / "state" / f"{commit}.commitpartial").touch()
    made.repo.collect(commit, Reach())


@pytest.fixture(params=["nameless files", "named files"])
def file_system(request, monkeypatch):
    """A file system that can make files without a name, and one that cannot."""
    real_open = os.open

    def refuse(path, flags, *more, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real_open(path, flags, *more, **options)

    if request.param == "named files":
        monkeypatch.setattr(os, "open", refuse)


@pytest.mark.usefixtures("file_system")
def test_detached_metadata_is_replaced_whole_and_leaves_no_temporary_file(made):
    commit = made.commit({})
    assert made.repo.detached_metadata(commit) == {}
    made.repo.write_detached_metadata(commit, {"a": Variant.string("1")})
    made.repo.write_detached_metadata(commit, {"b": Variant.string("2")})
    assert made.repo.detached_metadata(commit) == {"b": Variant.string("2")}
    assert oct(made.repo.object_path(commit, "commitmeta").stat().st_mode) == "0o100644"
    made.repo.write_detached_metadata(commit, {})
    assert made.repo.detached_metadata(commit) == {}
    assert list((made.path / "tmp").iterdir()) == []


def test_damaged_detached_metadata_is_named(made):
    commit = made.commit({})
    made.repo.object_path(commit, "commitmeta").write_bytes(b"\xff\xff\xff")
    with pytest.raises(StoreDamagedError, match=commit):
        made.repo.detached_metadata(commit)


@pytest.mark.parametrize(
    ("text", "mode"),
    [("archive", RepoMode.ARCHIVE), ("archive-z2", RepoMode.ARCHIVE), ("bare", RepoMode.BARE)],
)
def test_the_mode_is_read(tmp_path, text, mode):
    assert HandmadeRepo(tmp_path / "repo", text).repo.mode is mode


@pytest.mark.parametrize("text", ["[core\nmode=bare", "[core]\nmode=nonsense\n", "", "\xff"])
def test_a_damaged_configuration_is_named_d23(made, text):
    (made.path / "config").write_text(text, encoding="latin-1")
    with pytest.raises(StoreDamagedError, match="configuration of repository"):
        _ = made.repo.mode


@pytest.mark.parametrize("mode", ["bare", "bare-user", "archive"])
def test_the_size_of_content_is_that_of_the_file_and_nothing_for_a_link(tmp_path, mode):
    made = HandmadeRepo(tmp_path / "repo", mode)
    assert made.repo.content_size(made.file(b"x" * 70000)) == 70000
    assert made.repo.content_size(made.file(b"")) == 0
    assert made.repo.content_size(made.link("somewhere/else")) == 0
    with pytest.raises(StoreDamagedError, match="is missing or of a wrong type"):
        made.repo.content_size("0" * 64)


def test_stored_objects_are_named_with_their_length_and_files_beside_are_not(made):
    commit = made.commit({"a": b"12345"})
    (made.path / "objects/note").write_text("no directory")
    stored = dict(made.repo.stored())
    assert stored[f"{made.file(b'12345')}.file"] == 5
    assert stored[f"{commit}.commit"] == made.object(f"{commit}.commit").stat().st_size
    assert len(stored) == 4  # with a directory and its attributes


def test_what_the_disk_does_not_give_is_no_damage(made, monkeypatch):
    commit = made.commit({"a": b"1"})

    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StorageIOError, match="cannot be read: Input/output error"):
        made.repo.commit(commit)


def test_a_directory_in_the_place_of_an_object_is_damage(made):
    (made.path / "objects/00" / f"{'0' * 62}.commit").mkdir()
    with pytest.raises(StoreDamagedError, match="is missing or of a wrong type"):
        made.repo.commit("0" * 64)


def test_a_ref_that_goes_while_they_are_listed_is_none(made, monkeypatch):
    made.ref("a", "0" * 64)
    doomed = made.ref("b", "0" * 64)
    real = Path.stat

    def raced(path, **options):
        if path == doomed:
            doomed.unlink(missing_ok=True)
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", raced)
    assert made.repo.scan_refs() == RefScan({"a": "0" * 64}, {})


def test_a_ref_that_is_damaged_is_as_good_as_none_to_who_sets_it_anew(made):
    made.ref("good", "0" * 64)
    made.ref("bad", "garbage")
    found = [made.repo.rev_parse_intact(ref) for ref in ("good", "bad", "none")]
    assert found == ["0" * 64, None, None]


def test_files_are_replaced_where_nameless_ones_cannot_be(made, monkeypatch):
    """As on some network file systems."""
    real = os.open

    def opened(path, flags, *rest, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", opened)
    for data in (b"old", b"new"):
        write_atomically(made.path / "file", data, made.path / "tmp")
        assert (made.path / "file").read_bytes() == data
    assert oct((made.path / "file").stat().st_mode) == "0o100644"
    assert list((made.path / "tmp").iterdir()) == []


def test_another_failure_to_make_a_file_is_not_hidden(made):
    with pytest.raises(NotADirectoryError):
        write_atomically(made.path / "file", b"x", made.path / "config")
