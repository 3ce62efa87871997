"""What a pull does about each layer: leave it, give its content a second ref, or fetch it."""

from __future__ import annotations

from dataclasses import replace

from support.handmade import digest_named, ends_at, image_metadata

from bootc_orch.model.image.layout import LayerKind, classify
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import image_ref
from bootc_orch.ops.opening.pull_plan import (
    LayerAction,
    OpenedImage,
    plan_image,
    plan_layers,
)
from bootc_orch.ops.stored.known_layers import KnownLayer, record_layers
from bootc_orch.ops.stored.store import image_state

NAME = ImageReference.parse("docker://localhost/os")
TREE = {"usr": {"bin": {"true": b"program"}}}


def image_of(*names, labels=None):
    texts = image_metadata(names, labels)
    manifest = Manifest.parse(texts["ostree.manifest"].encode())
    config = ImageConfig.parse(texts["ostree.container.image-config"].encode())
    return OpenedImage(digest_named("image"), manifest, config, classify(manifest, config))


def diff_id(name):
    return digest_named(f"diff {name}")


def test_a_layer_that_the_image_has_twice_is_planned_once():
    image = image_of("a")
    twice = replace(image, layers=(*image.layers, replace(image.layers[0], index=1, repeats=0)))
    assert len(plan_layers(twice, {})) == 1


def test_the_repository_is_asked_for_whole_layers_of_the_wanted_kind(made):
    base, layer = made.base("base", TREE), made.layer("layer", TREE)
    made.layer("partial", {"a": b"x"})
    partial = made.repo.rev_parse_intact(
        next(r for r in made.repo.refs() if r.endswith(digest_named("partial").hex))
    )
    (made.path / f"state/{partial}.commitpartial").write_text("")
    image = image_of("base", "layer", "partial", "new", labels=ends_at("base"))
    record_layers(
        made.path,
        [
            KnownLayer(digest_named("base"), LayerKind.COMMIT, base, diff_id("base")),
            KnownLayer(digest_named("layer"), LayerKind.DERIVED, layer, diff_id("layer")),
        ],
    )
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


def test_what_was_read_for_another_image_is_shared_and_what_is_stored_is_compared(made):
    layer = made.layer("other", TREE)
    made.image(image_ref(NAME), ["other"])
    record_layers(
        made.path, [KnownLayer(digest_named("other"), LayerKind.DERIVED, layer, diff_id("a"))]
    )
    image = replace(image_of("a"), stored=image_state(made.repo, NAME))
    plan = plan_image(made.repo, image)
    assert [(one.action, one.commit) for one in plan.layers] == [(LayerAction.REUSE, layer)]
    assert plan.transfer.difference is not None
    assert plan.previous == image.stored.manifest
