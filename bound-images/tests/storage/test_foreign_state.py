"""What a root brings in place of the store's own files is neither followed nor waited for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bound_images.locking import locked
from bound_images.storage import record, storelists, unfinished, verified
from bound_images.storage.store import sweep_spool
from bound_images.where import default_lock, state_directory
from orch_frame.errors import NotFoundError, OrchError, StoreDamagedError

ID = "a" * 64


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    directory = tmp_path / "outside"
    (directory / "spool-1").mkdir(parents=True)
    (directory / "spool-1/file").write_text("outside")
    return directory


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "root/storage"
    path.mkdir(parents=True)
    return path


def tree(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.parametrize(
    "kind", ["absolute link", "relative link", "dangling link", "file", "fifo"]
)
def test_a_state_directory_that_is_none_is_refused(store, outside, kind):
    before = tree(outside)
    state = store.parent / "bound-images"
    match kind:
        case "absolute link":
            state.symlink_to(outside)
        case "relative link":
            state.symlink_to("../outside")
        case "dangling link":
            state.symlink_to(outside / "new")
        case "file":
            state.touch()
        case "fifo":
            os.mkfifo(state)
    for use in (lambda: state_directory(store), lambda: default_lock(store, "x")):
        with pytest.raises(StoreDamagedError, match="bound-images is no directory"):
            use()
    assert tree(outside) == before


def test_a_spool_that_is_a_link_is_not_followed(store, outside):
    state = store.parent / "bound-images"
    state.mkdir()
    (state / "spool-1").symlink_to(outside)
    (state / "spool-2").mkdir()
    (state / "spool-2/link").symlink_to(outside)
    before = tree(outside)
    sweep_spool(state)
    assert tree(outside) == before
    assert not (state / "spool-2").exists()


@pytest.mark.parametrize("name", ["verified", "unfinished", "x.json"])
@pytest.mark.parametrize("kind", ["fifo", "directory", "link to a device", "link out"])
def test_a_state_file_that_is_none_is_neither_read_nor_waited_for(store, outside, name, kind):
    state = store.parent / "bound-images"
    state.mkdir()
    (outside / name).write_text(f"{ID}\n")
    path = state / name
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "link out":
            path.symlink_to(outside / name)
    readers = {
        "verified": lambda: verified.read(state),
        "unfinished": lambda: unfinished.was_cut_off(state),
        "x.json": lambda: record.read(default_lock(store, "x")),
    }
    if "link" in kind and name != "x.json":
        assert not readers[name]()  # nothing is there, below the directory
    else:
        with pytest.raises(StoreDamagedError):
            readers[name]()


def test_a_lock_that_is_a_link_is_not_opened(store, outside):
    state = store.parent / "bound-images"
    state.mkdir()
    (state / "lock").symlink_to(outside / "lock")
    with pytest.raises(OrchError), locked(state):
        pass
    assert not (outside / "lock").exists()


def test_a_lock_file_that_was_named_may_be_a_link(store, outside):
    (outside / "real.json").write_text(json.dumps({"version": 1, "images": []}))
    (store / "named.json").symlink_to(outside / "real.json")
    assert record.read(store / "named.json").images == ()
    with pytest.raises(NotFoundError):
        record.read(store / "none.json")


@pytest.mark.parametrize("name", ["../../outside", "..", "a" * 63, "A" * 64])
def test_what_is_no_id_is_not_taken_for_one(store, outside, name):
    images = store / storelists.IMAGES
    images.parent.mkdir()
    images.write_text(json.dumps([{"id": name}]))
    with pytest.raises(StoreDamagedError, match="names an image"):
        storelists.image_ids(store)


@pytest.mark.parametrize("name", ["overlay", "overlay-images", "overlay-layers", "overlay/l"])
def test_nothing_is_removed_through_a_link_in_a_store(store, outside, name):
    for folder in ("overlay", "overlay-images", "overlay-layers"):
        (store / folder).mkdir(exist_ok=True)
    (store / "overlay/l").mkdir()
    (outside / ID).mkdir()
    (outside / f"{ID}.tar-split.gz").touch()
    if name == "overlay":
        (store / "overlay/l").rmdir()
    (store / name).rmdir()
    (store / name).symlink_to(outside)
    (store / "overlay-layers" / "layers.json").write_text("[]")
    (store / "overlay-images" / "images.json").write_text(json.dumps([{"id": ID}]))
    before = tree(outside)
    with pytest.raises(StoreDamagedError, match="is a link, where a store has a directory"):
        storelists.forget(store, [ID])
    assert tree(outside) == before


def test_the_link_to_a_store_does_not_lead_out_of_its_root(tmp_path, outside):
    from bound_images.rootfs import Root
    from bound_images.where import default_store

    root = tmp_path / "tree"
    (root / "usr/lib/bootc").mkdir(parents=True)
    (root / "sysroot/ostree").mkdir(parents=True)
    (root / "usr/lib/bootc/storage").symlink_to("/sysroot/ostree/bootc/storage")
    (root / "sysroot/ostree/bootc").symlink_to(outside)
    found = default_store(Root(root))
    assert found.is_relative_to(root)
    assert not found.exists()
