"""What becomes visible, and in which order: a commit never before all that it consists of."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
from support.handmade import HandmadeRepo, digest_named

from bootc_orch.model.gvariant import Variant, encode_dict
from bootc_orch.model.image.refs import blob_ref
from bootc_orch.ops.importing.moves import ObjectMoves, open_moves
from bootc_orch.ops.importing.publish import (
    LayersVanishedError,
    Publication,
    publish,
    publish_complete_layers,
    publish_layers,
)
from bootc_orch.ops.importing.recover import is_complete
from bootc_orch.ops.importing.staging import open_staging
from bootc_orch.stream.trees import Directory, Trees
from orch_frame.errors import InvalidImageError

FIRST, SECOND = blob_ref(digest_named("first")), blob_ref(digest_named("second"))
IMAGE = "ostree/container/image/oci_3A_x"
TREE = {"usr": {"bin": {"true": b"program"}, "lib": {"a": b"library"}}}


@pytest.fixture
def staged(made, tmp_path, scripted):
    """The staging repository, and a repository by hand whose objects are in it."""
    with open_staging(made.repo) as staging:
        elsewhere = HandmadeRepo(tmp_path / "elsewhere", "archive")
        shutil.rmtree(staging.repo / "objects")
        (staging.repo / "objects").symlink_to(elsewhere.path / "objects")
        yield staging, elsewhere


@pytest.fixture
def moved(monkeypatch):
    """The kinds of the objects that are moved, in order."""
    kinds = []
    original = os.rename

    def rename(source, target, **options):
        if "src_dir_fd" in options:
            original(source, target, **options)
            kinds.append(str(source).rpartition(".")[2])
        else:
            original(source, target, **options)

    monkeypatch.setattr(os, "rename", rename)
    return kinds


def test_layers_come_with_all_of_their_objects_the_commit_last(made, staged, moved):
    staging, elsewhere = staged
    commit = elsewhere.commit(TREE)
    publish_layers({FIRST: commit}, staging)
    assert made.repo.refs() == {FIRST: commit}
    assert is_complete(made.repo, commit)
    of_bin, of_lib, of_usr_and_root = ["filez", "dirtree"], ["filez", "dirtree"], ["dirtree"] * 2
    assert moved == ["dirmeta", *of_bin, *of_lib, *of_usr_and_root, "commit"]


def test_what_two_layers_share_is_moved_once(made, staged, moved):
    staging, elsewhere = staged
    first, second = elsewhere.commit(TREE), elsewhere.commit({**TREE, "more": b"x"})
    publish_layers({FIRST: first, SECOND: second}, staging)
    assert (moved.count("filez"), moved.count("commit")) == (3, 2)
    assert made.repo.refs() == {FIRST: first, SECOND: second}


def test_what_the_destination_has_need_not_be_staged(made, staged):
    staging, elsewhere = staged
    made.tree(TREE)
    commit = elsewhere.commit({**TREE, "new": b"new"})
    for kind in ("*.filez", "*.dirtree"):
        for path in (elsewhere.path / "objects").glob(f"*/{kind}"):
            if (made.path / path.relative_to(elsewhere.path)).exists():
                path.unlink()
    publish_layers({FIRST: commit}, staging)
    assert is_complete(made.repo, commit)


def test_of_a_commit_that_lacks_something_nothing_is_visible(made, staged):
    staging, elsewhere = staged
    commit = elsewhere.commit(TREE)
    elsewhere.object(f"{elsewhere.file(b'library')}.file").unlink()
    with pytest.raises(InvalidImageError, match="in none of its layers"):
        publish_layers({FIRST: commit}, staging)
    assert made.repo.refs() == {}
    assert not made.repo.has_commit(commit)


def test_of_layers_that_were_cut_off_the_whole_ones_are_kept(made, staged):
    staging, elsewhere = staged
    broken = elsewhere.commit(TREE)
    whole = elsewhere.commit({"usr": {"bin": {"true": b"program"}}})
    elsewhere.object(f"{elsewhere.file(b'library')}.file").unlink()
    assert publish_complete_layers({FIRST: broken, SECOND: whole}, staging) == 1
    assert made.repo.refs() == {SECOND: whole}
    assert is_complete(made.repo, whole)


def test_no_layers_need_no_program(made, staged, scripted):
    staging, _ = staged
    publish_layers({}, staging)
    assert scripted.calls == []


def test_a_mark_of_a_partial_commit_goes_and_detached_metadata_comes_along(made, staged):
    staging, elsewhere = staged
    commit = elsewhere.commit(TREE)
    mark = made.path / f"state/{commit}.commitpartial"
    mark.write_text("")
    brought = {"other": Variant.string("brought")}
    staging.write_detached(commit, encode_dict(brought.items()))
    publish_layers({FIRST: commit}, staging)
    assert not mark.exists()
    assert made.repo.detached_metadata(commit) == brought


def test_detached_metadata_that_is_there_is_not_replaced(made, staged):
    staging, elsewhere = staged
    commit = elsewhere.commit(TREE)
    there = {"other": Variant.string("there")}
    made.repo.write_detached_metadata(commit, there)
    brought = {"other": Variant.string("brought"), "more": Variant.string("new")}
    staging.write_detached(commit, encode_dict(brought.items()))
    publish_layers({FIRST: commit}, staging)
    assert made.repo.detached_metadata(commit) == {**there, "more": Variant.string("new")}


def test_detached_metadata_that_cannot_be_read_stays_for_the_check(made, staged):
    staging, elsewhere = staged
    commit = elsewhere.commit(TREE)
    place = made.repo.object_path(commit, "commitmeta")
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"\1nonsense")
    staging.write_detached(commit, encode_dict([("a", Variant.string("b"))]))
    publish_layers({FIRST: commit}, staging)
    assert place.read_bytes() == b"\1nonsense"


def publication(commit, **fields):
    return Publication(
        **{"new_layers": {}, "layers": {}, "image_ref": IMAGE, **fields}, commit=commit
    )


def merged(elsewhere, staging):
    """Two layers, the commit that merges them, and the trees that know what the merge made."""
    first, second = elsewhere.commit(TREE), elsewhere.commit({"usr": {"bin": {"new": b"new"}}})
    trees = Trees(staging.store)
    roots = [trees.commit_root(commit) for commit in (first, second)]
    root = trees.overlay(*roots, lambda _: None)
    head = replace(elsewhere.repo.commit(first), tree=root.tree.hex(), meta=root.meta.hex())
    return {FIRST: first, SECOND: second}, elsewhere.write(head.encode(), "commit"), trees


def test_an_image_has_its_ref_after_its_layers_and_is_whole(made, staged, scripted):
    staging, elsewhere = staged
    layers, commit, trees = merged(elsewhere, staging)
    publish(publication(commit, new_layers=layers, layers=layers), trees, staging)
    assert made.repo.refs() == {**layers, IMAGE: commit}
    assert is_complete(made.repo, commit)
    assert [call.argv[-1] for call in scripted.calls] == [max(layers), IMAGE]


def test_an_image_without_a_name_gets_no_ref(made, staged):
    staging, elsewhere = staged
    layers, commit, trees = merged(elsewhere, staging)
    publish(publication(commit, new_layers=layers, layers=layers, image_ref=None), trees, staging)
    assert made.repo.refs() == layers
    assert is_complete(made.repo, commit)


@pytest.mark.parametrize("damage", ["ref", "commit", "moved"])
def test_a_layer_that_vanished_meanwhile_is_found_out_before_the_image_has_a_ref(
    made, staged, damage
):
    staging, elsewhere = staged
    layers, commit, trees = merged(elsewhere, staging)
    publish_layers(layers, staging)
    if damage == "commit":
        made.object(f"{layers[FIRST]}.commit").unlink()
    elif damage == "moved":
        made.ref(FIRST, made.commit({"other": b""}))
    else:
        (made.path / "refs/heads" / FIRST).unlink()
    with pytest.raises(LayersVanishedError, match="was changed or removed"):
        publish(publication(commit, layers=layers), trees, staging)
    assert IMAGE not in made.repo.refs()


def test_objects_that_went_with_a_layer_that_vanished_are_not_called_a_bad_image(made, staged):
    staging, elsewhere = staged
    layers, commit, trees = merged(elsewhere, staging)
    elsewhere.object(f"{elsewhere.file(b'new')}.file").unlink()
    new = {SECOND: layers[SECOND]}
    with pytest.raises(LayersVanishedError, match=FIRST):
        publish(publication(commit, new_layers=new, layers=layers), trees, staging)


def test_a_program_inherits_nothing_but_its_three_streams(made, staged, scripted):
    staging, elsewhere = staged
    layers, commit, trees = merged(elsewhere, staging)
    publish(publication(commit, new_layers=layers, layers=layers), trees, staging)
    assert len(scripted.calls) == 2
    for call in scripted.calls:
        inherited = [place for number, place in call.descriptors.items() if number > 2]
        assert [place for place in inherited if not place.startswith("/proc/")] == []


@pytest.mark.parametrize("number", ["source", "target"])
def test_the_directories_of_objects_are_not_inherited_while_objects_move(staged, number):
    staging, _ = staged
    with open_moves(staging.store, staging.destination) as moves:
        assert isinstance(moves, ObjectMoves)
        assert not os.get_inheritable(getattr(moves, number))
        descriptor = getattr(moves, number)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_only_directories_that_the_merge_made_are_looked_into(made, staged):
    staging, elsewhere = staged
    trees = Trees(staging.store)
    known = Directory(bytes.fromhex(elsewhere.tree(TREE)), bytes.fromhex(elsewhere.meta))
    commit = elsewhere.commit(TREE)
    with open_moves(staging.store, made.repo) as moves:
        moves.add_made(commit, trees)
    assert not made.store.has(known.tree.hex(), "dirtree")
