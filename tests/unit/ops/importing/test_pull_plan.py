"""What a pull does about each layer: leave it, give its content a second ref, or fetch it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.handmade import digest_named, ends_at, image_metadata

from bootc_orch.model.gvariant import Variant
from bootc_orch.model.image.layout import LayerKind, classify
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import image_ref
from bootc_orch.ops.importing.pull_plan import (
    LayerAction,
    OpenedImage,
    StoredLayer,
    kind_of,
    plan_image,
    plan_layers,
)
from bootc_orch.ops.stored.notes import VERIFIED_KEY
from bootc_orch.ops.stored.store import image_state
from orch_frame.errors import MismatchError

COMMIT = "c" * 64
NAME = ImageReference.parse("docker://localhost/os")
TREE = {"usr": {"bin": {"true": b"program"}}}


def image_of(*names, labels=None):
    texts = image_metadata(names, labels)
    manifest = Manifest.parse(texts["ostree.manifest"].encode())
    config = ImageConfig.parse(texts["ostree.container.image-config"].encode())
    return OpenedImage(digest_named("image"), manifest, config, classify(manifest, config))


def diff_id(name):
    return digest_named(f"diff {name}")


def test_a_layer_that_is_there_as_what_the_image_calls_it_is_left():
    stored = {digest_named("a"): StoredLayer(COMMIT, LayerKind.DERIVED)}
    plans = plan_layers(image_of("a", "b"), stored, {})
    assert [(plan.action, plan.commit) for plan in plans] == [
        (LayerAction.PRESENT, COMMIT),
        (LayerAction.FETCH, None),
    ]


@pytest.mark.parametrize("kind", [LayerKind.COMMIT, LayerKind.CHUNK])
def test_a_layer_that_was_taken_for_something_else_is_fetched(kind):
    stored = {digest_named("a"): StoredLayer(COMMIT, kind)}
    (plan,) = plan_layers(image_of("a"), stored, {digest_named("a"): diff_id("a")})
    assert plan.action is LayerAction.FETCH


def test_content_that_is_there_by_another_digest_gets_a_second_ref():
    stored = {digest_named("other"): StoredLayer(COMMIT, LayerKind.DERIVED)}
    (plan,) = plan_layers(image_of("a"), stored, {digest_named("other"): diff_id("a")})
    assert (plan.action, plan.commit) == (LayerAction.REUSE, COMMIT)


def test_content_is_shared_only_where_its_digest_was_computed():
    stored = {digest_named("other"): StoredLayer(COMMIT, LayerKind.DERIVED)}
    (plan,) = plan_layers(image_of("a"), stored, {})
    assert plan.action is LayerAction.FETCH


def test_a_claim_that_was_found_wrong_before_is_refused():
    stored = {digest_named("a"): StoredLayer(COMMIT, LayerKind.DERIVED)}
    with pytest.raises(MismatchError, match="does not match its diff_id") as caught:
        plan_layers(image_of("a"), stored, {digest_named("a"): diff_id("something else")})
    assert caught.value.layer == str(digest_named("a"))


def test_a_layer_that_the_image_has_twice_is_planned_once():
    image = image_of("a")
    twice = replace(image, layers=(*image.layers, replace(image.layers[0], index=1, repeats=0)))
    assert len(plan_layers(twice, {}, {})) == 1


def test_the_repository_is_asked_for_whole_layers_of_the_wanted_kind(made):
    base, layer = made.base("base", TREE), made.layer("layer", TREE)
    made.layer("partial", {"a": b"x"})
    partial = made.repo.rev_parse_intact(
        next(r for r in made.repo.refs() if r.endswith(digest_named("partial").hex))
    )
    (made.path / f"state/{partial}.commitpartial").write_text("")
    image = image_of("base", "layer", "partial", "new", labels=ends_at("base"))
    plan = plan_image(made.repo, image)
    assert [(one.action, one.commit) for one in plan.layers] == [
        (LayerAction.PRESENT, base),
        (LayerAction.PRESENT, layer),
        (LayerAction.FETCH, None),
        (LayerAction.FETCH, None),
    ]
    assert plan.base == plan.layers[0]
    transfer = plan.transfer
    assert (transfer.present, transfer.present_bytes) == (2, 200)
    assert (transfer.needed, transfer.needed_bytes, transfer.difference) == (2, 200, None)


def test_an_image_without_ostree_inside_has_no_base(made):
    assert plan_image(made.repo, image_of("a")).base is None


def test_what_another_image_verified_is_shared_and_what_is_stored_is_compared(made):
    layer = made.layer("other", TREE)
    merge = made.image(image_ref(NAME), ["other"])
    lines = f"{digest_named('other')} {diff_id('a')}"
    made.repo.write_detached_metadata(merge, {VERIFIED_KEY: Variant.string(lines)})
    image = replace(image_of("a"), stored=image_state(made.repo, NAME))
    plan = plan_image(made.repo, image)
    assert [(one.action, one.commit) for one in plan.layers] == [(LayerAction.REUSE, layer)]
    assert plan.transfer.difference is not None
    assert plan.previous == image.stored.manifest


def test_the_form_of_a_commit_tells_what_its_layer_was_taken_for(made):
    assert kind_of(made.repo, made.layer("a", TREE)) is LayerKind.DERIVED
    assert kind_of(made.repo, made.base("b", TREE)) is LayerKind.COMMIT
    assert kind_of(made.repo, made.chunk("c", [b"x", b"y"])) is LayerKind.CHUNK
    assert kind_of(made.repo, made.commit({"a": b"x"})) is LayerKind.COMMIT
