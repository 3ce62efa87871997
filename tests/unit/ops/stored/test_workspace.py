"""Private directories in a repository: who owns one holds its lock, and nobody else takes it."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.handmade import HandmadeRepo

from bootc_orch.ops.stored.workspace import PREFIX, locked_directory, workspace


@pytest.fixture
def made(tmp_path):
    return HandmadeRepo(tmp_path / "repo")


@contextmanager
def opened(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path):
    """Say whether somebody who cleans up would leave *path* alone."""
    with opened(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_workspace_is_private_locked_and_named_for_its_purpose(made):
    with workspace(made.repo, "purpose") as path:
        assert path.parent == made.path / "tmp"
        assert path.name.startswith(f"{PREFIX}purpose-")
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert is_locked(path)


def fail_in_a_workspace(made):
    with workspace(made.repo, "purpose") as path:
        (path / "file").write_text("x")
        raise KeyError(path)


def test_a_workspace_goes_with_its_block_however_that_ends(made):
    with workspace(made.repo, "purpose") as path:
        (path / "file").write_text("x")
        (path / "directory").mkdir()
    with pytest.raises(KeyError):
        fail_in_a_workspace(made)
    assert list((made.path / "tmp").iterdir()) == []


def test_two_workspaces_of_one_purpose_are_two(made):
    with workspace(made.repo, "same") as one, workspace(made.repo, "same") as other:
        assert one != other


def test_its_lock_is_not_inherited_by_programs(made):
    _, lock = locked_directory(made.path / "tmp")
    try:
        assert not os.get_inheritable(lock)
    finally:
        os.close(lock)


@pytest.mark.parametrize("when", ["before it is opened", "before it is locked"])
def test_one_that_is_cleaned_away_before_it_was_locked_is_made_again(made, monkeypatch, when):
    module, name = (os, "open") if when == "before it is opened" else (fcntl, "flock")
    real = getattr(module, name)
    removed = []

    def raced(*arguments, **options):
        if not removed:
            [path] = (made.path / "tmp").iterdir()
            path.rmdir()
            removed.append(path)
        return real(*arguments, **options)

    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(module, name, raced)
    path, lock = locked_directory(made.path / "tmp")
    monkeypatch.undo()
    assert path.is_dir()
    assert removed != [path]
    assert is_locked(path)
    os.close(lock)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
