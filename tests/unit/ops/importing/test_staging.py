"""The private repository of a pull: where it is, what it holds, when it can be used again."""

from __future__ import annotations

import fcntl
import os
import stat

import pytest
from support.handmade import HandmadeRepo

from bootc_orch.ops.importing import staging as staging_module
from bootc_orch.ops.importing.staging import (
    object_mode,
    open_staging,
    reopen_staging,
    writable_mode,
)
from bootc_orch.stream.object_format import Mode
from orch_frame.errors import ReadOnlyError, ToolError


def test_it_lies_locked_in_tmp_of_the_destination_and_goes_with_the_block(made):
    with open_staging(made.repo) as staging:
        assert staging.path.parent == made.path / "tmp"
        assert staging.destination is made.repo
        assert stat.S_IMODE(staging.path.stat().st_mode) == 0o700
        descriptor = os.open(staging.path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
    assert list((made.path / "tmp").iterdir()) == []


def test_it_goes_when_the_block_fails_too(made):
    with pytest.raises(RuntimeError), open_staging(made.repo):
        raise RuntimeError
    assert list((made.path / "tmp").iterdir()) == []


def test_it_is_a_repository_of_the_same_mode_above_the_destination(made):
    below = made.commit({"a": b"x"})
    with open_staging(made.repo) as staging:
        config = (staging.repo / "config").read_text()
        assert f"mode={Mode.ARCHIVE}\nparent={made.path.resolve()}\n" in config
        assert staging.store.has(below, "commit")
        written = staging.store.add_metadata(b"new", "dirtree")
        assert not made.store.has(written, "dirtree")


def test_refs_of_finished_layers_are_listed_with_their_commits_and_others_are_not(made):
    with open_staging(made.repo) as staging:
        assert staging.layer_refs() == {}
        staging.set_ref("ostree/container/blob/sha256_3A_a", "1" * 64)
        staging.set_ref("ostree/container/blob/sha256_3A_a", "2" * 64)
        staging.set_ref("ostree/container/image/x", "3" * 64)
        assert staging.layer_refs() == {"ostree/container/blob/sha256_3A_a": "2" * 64}
        assert list((staging.repo / "tmp").iterdir()) == []


def test_detached_metadata_lies_beside_its_commit_for_everyone_to_read(made):
    with open_staging(made.repo) as staging:
        staging.write_detached("4" * 64, b"metadata")
        path = staging.repo / f"objects/44/{'4' * 62}.commitmeta"
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"metadata", 0o644)


def test_what_another_process_left_can_be_used_until_the_machine_starts_anew(
    made, tmp_path, monkeypatch
):
    with open_staging(made.repo) as staging:
        staging.set_ref("ostree/container/blob/a", "1" * 64)
        found = reopen_staging(staging.path, made.repo)
        assert found is not None
        assert found.layer_refs() == staging.layer_refs()
        later = tmp_path / "later"
        later.write_text("another\n")
        monkeypatch.setattr(staging_module, "_BOOT_ID", later)
        assert reopen_staging(staging.path, made.repo) is None
        assert reopen_staging(tmp_path, made.repo) is None


def test_a_mode_that_loses_owners_cannot_hold_images(tmp_path):
    lossy = HandmadeRepo(tmp_path / "lossy", "bare-user-only")
    with pytest.raises(ToolError, match="is of mode bare-user-only"):
        object_mode(lossy.repo)


@pytest.mark.parametrize(
    ("mode", "user", "allowed"),
    [("bare", 0, True), ("bare", 1000, False), ("bare-user", 1000, True), ("archive", 1000, True)],
)
def test_only_root_writes_a_repository_of_mode_bare(tmp_path, monkeypatch, mode, user, allowed):
    repo = HandmadeRepo(tmp_path / "repo", mode).repo
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if allowed:
        assert writable_mode(repo) is object_mode(repo)
    else:
        with pytest.raises(ReadOnlyError, match="only root can write"):
            writable_mode(repo)
