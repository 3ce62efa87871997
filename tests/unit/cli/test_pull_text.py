"""What ``image pull`` prints of its plan and of what it did."""

from __future__ import annotations

import json

import pytest
from support.handmade import HandmadeRepo, digest_named, image_metadata

from bootc_orch.cli.images.pull import _say_plan, _say_pulled
from bootc_orch.model.image.layout import classify
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.model.image.refs import image_ref
from bootc_orch.ops.opening.pull_plan import (
    LayerAction,
    LayerPlan,
    OpenedImage,
    PullPlan,
    PullResult,
)
from orch_frame import output

IMAGE = OstreeImageReference.parse("ostree-unverified-registry:localhost/os:1")
DIGEST = digest_named("manifest")


@pytest.fixture(autouse=True)
def _fresh_output():
    output.reset()


@pytest.fixture
def made(tmp_path) -> HandmadeRepo:
    return HandmadeRepo(tmp_path / "repo")


def plan_of(**actions: LayerAction) -> PullPlan:
    texts = image_metadata(list(actions))
    manifest = Manifest.parse(texts["ostree.manifest"].encode())
    config = ImageConfig.parse(texts["ostree.container.image-config"].encode())
    image = OpenedImage(DIGEST, manifest, config, classify(manifest, config))
    pairs = zip(image.layers, actions.values(), strict=True)
    return PullPlan(image, tuple(LayerPlan(layer, action) for layer, action in pairs))


TWO_OF_THREE = plan_of(a=LayerAction.PRESENT, b=LayerAction.REUSE, c=LayerAction.FETCH)


def test_a_plan_names_each_layer_that_would_be_fetched(made, capsys):
    _say_plan(made.repo, IMAGE, TWO_OF_THREE)
    assert capsys.readouterr().out.splitlines() == [
        "layers already present: 2; layers needed: 1 (100 bytes)",
        f"Would fetch: {digest_named('c')} (100 bytes)",
    ]


def test_a_plan_for_programs_has_counts_descriptors_and_bytes(made, capsys):
    output.mode.json = True
    _say_plan(made.repo, IMAGE, TWO_OF_THREE)
    assert json.loads(capsys.readouterr().out) == {
        "version": 1,
        "plan": {
            "manifest_digest": str(DIGEST),
            "present": 1,
            "reused": 1,
            "fetch": [{"digest": str(digest_named("c")), "size": 100}],
            "bytes": 100,
        },
    }


def test_a_plan_without_changes_names_what_is_stored(made, capsys):
    commit = made.image(image_ref(IMAGE.image), ["a", "b"])
    _say_plan(made.repo, IMAGE, None)
    assert capsys.readouterr().out.splitlines() == [f"No changes in {IMAGE} => {commit}"]


@pytest.mark.parametrize(("changed", "word"), [(True, "Wrote:"), (False, "No changes in")])
def test_a_pull_says_what_it_wrote_or_that_nothing_changed(tmp_path, capsys, changed, word):
    digestfile = tmp_path / "digest"
    _say_pulled(IMAGE, PullResult("c" * 64, DIGEST, changed=changed), digestfile)
    assert capsys.readouterr().out.splitlines() == [f"{word} {IMAGE} => {'c' * 64}"]
    assert digestfile.read_text() == "c" * 64
