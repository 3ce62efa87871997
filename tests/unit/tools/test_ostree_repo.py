"""The command lines for repositories, and what is done beside them.

All of them are run for real by tests/integration/stored and tests/integration/importing.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

import pytest
from support.handmade import HandmadeRepo

from bootc_orch.tools.ostree import repo as ostree_repo
from bootc_orch.tools.ostree.objects import RepoMode
from bootc_orch.tools.ostree.repo import REFS_PER_CALL, Pruned, Repo, ostree_version
from orch_frame.errors import LockedError, StorageIOError, StoreDamagedError, ToolError

COMMIT = "1" * 64


@pytest.fixture
def made(tmp_path):
    return HandmadeRepo(tmp_path / "repo")


@pytest.fixture
def ostree(programs):
    programs.register(["ostree", programs.any()], occurrences=9)
    return programs


def commands(programs):
    return [list(call) for call in programs.calls]


@pytest.mark.parametrize(
    ("mode", "word"),
    [
        (RepoMode.ARCHIVE, "archive"),
        (RepoMode.BARE, "bare"),
        (RepoMode.BARE_USER, "bare-user"),
    ],
)
def test_a_repository_is_made_in_its_mode(made, ostree, mode, word):
    assert Repo.init(made.path, mode).path == made.path
    assert commands(ostree) == [["ostree", "init", f"--repo={made.path}", f"--mode={word}"]]


@pytest.mark.parametrize(
    ("present", "left"),
    [
        pytest.param(None, False, id="nothing"),
        pytest.param(COMMIT, True, id="another commit"),
        pytest.param("garbage", False, id="garbage"),
    ],
)
def test_a_ref_is_set_whatever_is_in_its_place(made, ostree, present, left):
    path = made.path / "refs/heads/a/b"
    if present:
        made.ref("a/b", present)
    made.repo.create_ref("a/b", "2" * 64)
    assert path.exists() is left
    assert commands(ostree) == [
        ["ostree", "refs", f"--repo={made.path}", "--create=a/b", "--force", "2" * 64]
    ]


def test_directories_that_are_left_of_other_refs_make_way_and_others_do_not(made, ostree):
    made.ref("a/b/c/d", COMMIT).unlink()
    kept = made.ref("x/y/z", COMMIT)
    made.repo.create_ref("a/b", COMMIT)
    made.repo.create_ref("x", COMMIT)
    assert not (made.path / "refs/heads/a/b").exists()
    assert kept.exists()


def test_only_names_that_are_refs_themselves_are_deleted(made, ostree):
    made.ref("a/b", COMMIT)
    made.ref("garbage", "garbage")
    (made.path / "refs/heads/alias").symlink_to("nowhere")
    made.repo.delete_refs(["a", "a/b", "gone", "garbage", "alias"])
    assert commands(ostree) == [
        ["ostree", "refs", f"--repo={made.path}", "--delete", "a/b", "garbage", "alias"]
    ]


def test_many_refs_are_deleted_by_several_calls(made, ostree):
    names = [f"r{number}" for number in range(REFS_PER_CALL + 1)]
    for name in names:
        made.ref(name, COMMIT)
    made.repo.delete_refs(names)
    delete = ["ostree", "refs", f"--repo={made.path}", "--delete"]
    assert commands(ostree) == [[*delete, *names[:-1]], [*delete, names[-1]]]


def test_no_refs_need_no_call(made, ostree):
    made.repo.delete_refs(["gone"])
    assert commands(ostree) == []


@pytest.mark.parametrize(
    ("printed", "pruned"),
    [
        ("Total objects: 9\nDeleted 12 objects, 3.4 MB freed\n", Pruned(12, "3.4 MB")),
        ("Total objects: 9\nNo unreachable objects\n", Pruned(0, "")),
    ],
)
def test_what_was_pruned_is_read(made, programs, printed, pruned):
    command = ["ostree", "prune", f"--repo={made.path}", "--refs-only", "--depth=0"]
    programs.register(command, stdout=printed)
    assert made.repo.prune() == pruned


@pytest.mark.parametrize(
    ("options", "words"),
    [({}, []), ({"verify_bindings": False}, ["--disable-verify-bindings"])],
)
def test_refs_and_commits_are_copied_and_damaged_refs_set_anew(made, ostree, options, words):
    path = made.ref("a", "garbage")
    made.repo.pull_local(Path("/source"), ["a", COMMIT], **options)
    assert not path.exists()
    assert commands(ostree) == [
        ["ostree", "pull-local", f"--repo={made.path}", *words, "/source", "a", COMMIT]
    ]


def test_a_failure_is_told_by_what_was_printed(made, programs):
    programs.register(["ostree", programs.any()], stderr="Corrupted commit object", returncode=1)
    with pytest.raises(StoreDamagedError) as caught:
        made.repo.prune()
    assert caught.value.summary == f"{made.path} is damaged."
    assert caught.value.path == str(made.path)


def exclusive(path):
    """Lock *path* as ``ostree prune`` does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o660)
    lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock + bytes(-len(lock) % 8))
    return descriptor


def test_no_prune_begins_while_it_is_held_off(made):
    with (
        made.repo.pruning_held_off(),
        made.repo.pruning_held_off(timeout=0),
        pytest.raises(BlockingIOError),
    ):
        exclusive(made.path / ".lock")
    os.close(exclusive(made.path / ".lock"))


def test_a_prune_that_runs_is_waited_for_and_no_longer_than_that(made):
    descriptor = exclusive(made.path / ".lock")
    with (
        pytest.raises(LockedError, match=f"Objects of {made.path} are being pruned"),
        made.repo.pruning_held_off(timeout=0.05),
    ):
        pytest.fail("objects may go meanwhile")
    os.close(descriptor)


def test_a_lock_file_that_its_owner_removed_is_not_trusted(made, monkeypatch):
    """As some versions of ostree do: who locks the old file excludes nobody."""
    real = fcntl.fcntl
    removed = []

    def raced(*arguments):
        if not removed:
            (made.path / ".lock").unlink()
            removed.append(True)
        return real(*arguments)

    monkeypatch.setattr(fcntl, "fcntl", raced)
    with made.repo.pruning_held_off(timeout=1), pytest.raises(BlockingIOError):
        exclusive(made.path / ".lock")


@pytest.fixture
def version(programs):
    """Have ostree print something when it is asked for its version."""
    ostree_version.cache_clear()
    yield lambda text: programs.register(["ostree", "--version"], stdout=text)
    ostree_version.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("libostree:\n Version: '2022.7'\n Git: abc\n", (2022, 7)),
        ("libostree:\n Version: '2025.12'\n", (2025, 12)),
    ],
)
def test_the_version_is_a_year_and_a_number(version, text, expected):
    version(text)
    assert ostree_version() == expected
    assert ostree_version() == expected  # asked for once


def test_a_version_that_cannot_be_read_is_an_error(version):
    version("nonsense")
    with pytest.raises(ToolError) as caught:
        ostree_version()
    assert caught.value.details == "nonsense"


def test_a_file_system_is_flushed(made, monkeypatch):
    made.repo.sync()
    with pytest.raises(StorageIOError, match="cannot be opened: No such file"):
        ostree_repo.sync_filesystem(made.path / "gone")
