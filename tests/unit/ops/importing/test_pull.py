"""Whole pulls of the fixture images, with scripts in the place of ostree and skopeo."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from support.images import golden, manifest_of

from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import IMAGE_PREFIX
from bootc_orch.ops.importing.pull import plan_pull, pull
from bootc_orch.ops.opening.pull_plan import LayerAction
from bootc_orch.ops.stored.store import image_state
from orch_frame.errors import NotFoundError, TransientError, UsageError

pytestmark = pytest.mark.usefixtures("scripted")


def content_of(made, commit):
    """What ostree calls the content checksum of a commit: its tree and the root's attributes."""
    found = made.repo.commit(commit)
    return sha256(bytes.fromhex(found.tree) + bytes.fromhex(found.meta)).hexdigest()


def with_transfer(options, **changes):
    return replace(options, transfer=replace(options.transfer, **changes))


@pytest.mark.parametrize(
    "name", ["plain", "base", "derived", "derived-multi", "derived-special", "composefs-derived"]
)
def test_an_image_becomes_what_bootc_makes_of_it(made, image, options, told, name):
    result = pull(made.path, image(name), options, told)
    expected = golden(name)
    assert result.changed
    assert content_of(made, result.commit) == expected.merge_content
    assert made.repo.commit(result.commit).parent == expected.merge_parent
    blobs = made.repo.refs("ostree/container/blob")
    assert {ref: content_of(made, commit) for ref, commit in blobs.items()} == {
        ref: blob["content"] for ref, blob in expected.blobs.items()
    }
    assert list(made.repo.refs(IMAGE_PREFIX).values()) == [result.commit]


def test_the_steps_follow_one_another_and_each_layer_is_told_of(made, image, options, told):
    pull(made.path, image("derived"), options, told)
    layers = {layer["digest"] for layer in manifest_of("derived")["layers"]}
    assert told.of("step") == ["opening", "merging", "publishing", "cleanup"]
    assert told.of("planned") == [len(layers)]
    assert set(told.of("started")) == set(told.of("done")) == layers


def test_an_image_that_is_there_is_left_alone(made, image, options, told):
    first = pull(made.path, image("derived"), options, told)
    told.events.clear()
    again = pull(made.path, image("derived"), options, told)
    assert (again.changed, again.commit) == (False, first.commit)
    assert told.events == [("step", "opening")]
    assert plan_pull(made.path, image("derived"), options, told) is None


def test_a_plan_names_what_is_missing_and_changes_nothing(made, image, options, told):
    pull(made.path, image("base"), options, told)
    before = made.repo.refs()
    plan = plan_pull(made.path, image("derived"), options, told)
    fetched = [str(one.layer.descriptor.digest) for one in plan.chosen(LayerAction.FETCH)]
    known = {layer["digest"] for layer in manifest_of("base")["layers"]}
    assert set(fetched) == {layer["digest"] for layer in manifest_of("derived")["layers"]} - known
    assert made.repo.refs() == before
    assert list((made.path / "tmp").iterdir()) == []


def test_a_failure_that_passes_is_tried_again_and_told(made, image, options, told, scripted):
    layer = manifest_of("base")["layers"][0]["digest"]
    scripted.fail_blob(layer, 2)
    result = pull(made.path, image("base"), options, told)
    assert content_of(made, result.commit) == golden("base").merge_content
    warnings = told.of("warning")
    assert len(warnings) == 2
    assert all(text.startswith(f"Layer {layer}") for text in warnings)
    assert all(text.endswith("Trying again in 0.0 s.") for text in warnings)


def test_what_was_finished_before_a_failure_is_there_for_the_next_pull(
    made, image, options, told, scripted
):
    *finished, last = (layer["digest"] for layer in manifest_of("derived-multi")["layers"])
    scripted.fail_blob(last, 1)
    with pytest.raises(TransientError) as caught:
        pull(made.path, image("derived-multi"), with_transfer(options, retries=0, jobs=1), told)
    assert (caught.value.image, caught.value.layer) == (
        str(image("derived-multi").image),
        last,
    )
    assert made.repo.refs(IMAGE_PREFIX) == {}
    assert list((made.path / "tmp").iterdir()) == []
    told.events.clear()
    result = pull(made.path, image("derived-multi"), options, told)
    assert set(told.of("started")) & set(finished) == set()
    assert content_of(made, result.commit) == golden("derived-multi").merge_content


def test_an_image_that_is_bad_leaves_nothing(made, image, options, told):
    reference = image("derived", private=True)
    layer = manifest_of("derived")["layers"][-1]
    blobs = made.path.parent / "layout-derived/blobs/sha256"
    (blobs / layer["digest"].removeprefix("sha256:")).write_bytes(b"x" * layer["size"])
    with pytest.raises(Exception, match="another digest") as caught:
        pull(made.path, reference, options, told)
    assert caught.value.layer == layer["digest"]
    assert made.repo.refs() == {}


def test_what_is_not_there_is_an_error_that_names_the_image(made, image, options, told):
    reference = image("base")
    (made.path.parent / "layout-base/index.json").unlink()
    with pytest.raises(NotFoundError) as caught:
        pull(made.path, reference, options, told)
    assert caught.value.image == str(reference.image)


def test_offline_only_what_is_stored_will_do(made, image, options, told):
    offline = with_transfer(options, offline=True)
    with pytest.raises(NotFoundError, match="fetching is switched off"):
        pull(made.path, image("base"), offline, told)
    stored = pull(made.path, image("base"), options, told)
    assert pull(made.path, image("base"), offline, told).commit == stored.commit


def test_an_image_goes_by_the_name_that_is_asked_for_or_by_none(made, image, options, told):
    target = ImageReference.parse("docker://localhost/os:stable")
    named = pull(made.path, image("base"), replace(options, target=target), told)
    assert image_state(made.repo, target).merge_commit == named.commit
    before = made.repo.refs(IMAGE_PREFIX)
    unnamed = pull(made.path, image("derived"), replace(options, named=False, gc=False), told)
    assert unnamed.changed
    assert made.repo.refs(IMAGE_PREFIX) == before


def test_a_name_below_that_of_another_image_is_refused(made, image, options, told):
    pull(
        made.path,
        image("base"),
        replace(options, target=ImageReference.parse("oci:/q/a")),
        told,
    )
    below = replace(options, target=ImageReference.parse("oci:/q/a/b"))
    with pytest.raises(UsageError, match="cannot be stored beside"):
        pull(made.path, image("derived"), below, told)


def test_a_newer_version_is_noted_beside_the_one_that_is_stored(made, image, options, told):
    target = replace(options, target=ImageReference.parse("docker://localhost/os"))
    old = pull(made.path, image("base"), target, told)
    new = pull(made.path, image("derived"), target, told)
    update = image_state(made.repo, target.target)
    assert (old.commit != new.commit, update.merge_commit) == (True, new.commit)
    noted = made.repo.detached_metadata(old.commit)
    assert noted["ostree-ext.cached.manifest-digest"].as_string() == str(new.manifest_digest)
