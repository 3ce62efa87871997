"""What a process that died has left is taken over if it is whole, and removed in any case."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import time

import pytest
from support.handmade import digest_named

from bootc_orch.model.image.refs import blob_ref
from bootc_orch.ops.importing.recover import is_complete, keep_finished_layers, recover
from bootc_orch.ops.importing.staging import open_staging

pytestmark = pytest.mark.usefixtures("scripted")
LAYER = blob_ref(digest_named("layer"))
TREE = {"usr": {"bin": {"true": b"program"}}}


@pytest.fixture
def left(made, tmp_path):
    """A staging repository with a finished layer whose owner has died, and its commit."""
    with open_staging(made.repo) as staging:
        elsewhere = type(made)(tmp_path / "elsewhere", "archive")
        commit = elsewhere.commit(TREE)
        shutil.copytree(elsewhere.path / "objects", staging.repo / "objects", dirs_exist_ok=True)
        staging.set_ref(LAYER, commit)
        kept = made.path / "kept"
        shutil.copytree(staging.path, kept)
    path = made.path / "tmp/bootc-orch-dead"
    kept.rename(path)
    return path, commit


def test_a_finished_layer_is_taken_over(made, left):
    path, commit = left
    recover(made.repo)
    assert made.repo.refs() == {LAYER: commit}
    assert is_complete(made.repo, commit)
    assert not path.exists()


def test_what_is_still_in_use_is_left_alone(made, left):
    path, _ = left
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    recover(made.repo)
    assert path.exists()
    assert made.repo.refs() == {}
    os.close(descriptor)


def test_of_another_boot_nothing_is_believed(made, left):
    path, _ = left
    (path / "boot-id").write_text("another\n")
    recover(made.repo)
    assert made.repo.refs() == {}
    assert not path.exists()


def test_an_object_whose_writer_died_is_no_object(made, left):
    path, commit = left
    begun = next((path / "repo/objects").glob("*/*.dirtree"))
    begun.chmod(0o600)
    recover(made.repo)
    assert made.repo.refs() == {}
    assert not made.repo.has_commit(commit)


def test_a_file_that_may_still_be_written_stays_and_an_old_one_goes(made):
    young, old = made.path / "tmp/bootc-orch-young", made.path / "tmp/bootc-orch-old"
    for file in (young, old, made.path / "tmp/other"):
        file.write_text("")
    os.utime(old, (time.time() - 3600,) * 2)
    recover(made.repo)
    assert sorted(p.name for p in (made.path / "tmp").iterdir()) == ["bootc-orch-young", "other"]


def test_a_mark_of_a_partial_commit_goes_once_all_of_it_is_there(made):
    whole, partial = made.commit(TREE), made.commit({"a": b"missing"})
    made.object(f"{made.file(b'missing')}.file").unlink()
    for commit in (whole, partial):
        (made.path / f"state/{commit}.commitpartial").write_text("")
    recover(made.repo)
    assert not made.repo.is_partial(whole)
    assert made.repo.is_partial(partial)


@pytest.mark.parametrize("kind", ["dirtree", "dirmeta", "file", "commit"])
def test_a_commit_that_lacks_any_object_is_not_complete(made, kind):
    commit = made.commit({**TREE, "other": {}})
    names = {
        "dirtree": made.tree(TREE["usr"]),
        "dirmeta": made.meta,
        "file": made.file(b"program"),
        "commit": commit,
    }
    assert is_complete(made.repo, commit)
    made.object(f"{names[kind]}.{kind}").unlink()
    assert not is_complete(made.repo, commit)


def test_layers_that_cannot_be_kept_are_no_failure(made, caplog):
    caplog.set_level("INFO")
    with open_staging(made.repo) as staging:
        staging.set_ref(LAYER, "0" * 64)
        keep_finished_layers(staging)
    assert made.repo.refs() == {}
    assert "is not usable" in caplog.text


def ostree_lock(made):
    return made.path / "tmp/staging-85739c84-f0e1-483c-9e77-50cb2a6ecc88-N6u6pZ-lock"


def test_a_lock_whose_directory_ostree_had_removed_goes(made):
    ostree_lock(made).write_text("")
    recover(made.repo)
    assert list((made.path / "tmp").iterdir()) == []


def test_a_lock_of_ostrees_that_is_held_or_has_its_directory_stays(made):
    lock = ostree_lock(made)
    lock.write_text("")
    with lock.open("r+b") as holder:
        whole = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(holder, fcntl.F_OFD_SETLK, whole)
        recover(made.repo)
        assert lock.exists()
    lock.with_name(lock.name.removesuffix("-lock")).mkdir()
    recover(made.repo)
    assert lock.exists()
