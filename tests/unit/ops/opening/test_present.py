"""What counts as present, and what a pull does about each layer because of it."""

from __future__ import annotations

import pytest
from support.handmade import HandmadeRepo, digest_named, image_metadata

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import LayerKind, PlannedLayer, classify
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.opening.present import StoredLayer, find_stored_layers
from bootc_orch.ops.opening.pull_plan import LayerAction, LayerPlan, OpenedImage, plan_layers
from bootc_orch.ops.stored.known_layers import (
    KnownLayer,
    claim_layers,
    mark_copied,
    record_layers,
)
from orch_frame.errors import MismatchError

IMAGE = image_ref(ImageReference.parse("docker://q.io/os:1"))
OTHER = image_ref(ImageReference.parse("docker://q.io/other:1"))
ONE, DIFF = digest_named("one"), digest_named("diff one")


@pytest.fixture
def made(tmp_path) -> HandmadeRepo:
    return HandmadeRepo(tmp_path / "repo")


def opened(*names: str, labels: dict[str, str] | None = None) -> OpenedImage:
    texts = image_metadata(list(names), labels)
    manifest = Manifest.parse(texts["ostree.manifest"].encode())
    config = ImageConfig.parse(texts["ostree.container.image-config"].encode())
    return OpenedImage(digest_named("m"), manifest, config, classify(manifest, config))


def one(**labels: str) -> tuple[PlannedLayer, ...]:
    return opened("one", labels=labels).layers


def known(made: HandmadeRepo, commit: str, *, kind: LayerKind = LayerKind.DERIVED) -> None:
    record_layers(made.path, [KnownLayer(ONE, kind, commit, DIFF)])


def test_what_was_read_here_is_known(made):
    commit = made.layer("one", {"a": b"1"})
    known(made, commit)
    assert find_stored_layers(made.repo, one()) == {
        ONE: StoredLayer(commit, LayerKind.DERIVED, DIFF, computed=True)
    }


def test_a_record_says_nothing_of_another_commit(made):
    known(made, made.layer("one", {"a": b"1"}))
    made.layer("one", {"a": b"2"})
    assert find_stored_layers(made.repo, one()) == {}


def test_a_record_without_a_ref_is_no_layer(made):
    known(made, made.commit({"a": b"1"}))
    assert find_stored_layers(made.repo, one()) == {}


def test_a_layer_whose_commit_has_gone_or_is_partial_is_not_there(made):
    commit = made.layer("one", {"a": b"1"})
    known(made, commit)
    mark = made.path / f"state/{commit}.commitpartial"
    mark.write_text("")
    assert find_stored_layers(made.repo, one()) == {}
    mark.unlink()
    made.object(f"{commit}.commit").unlink()
    assert find_stored_layers(made.repo, one()) == {}


def test_what_another_tool_stored_is_what_the_stored_images_say(made):
    commit = made.layer("one", {"a": b"1"})
    assert find_stored_layers(made.repo, one()) == {}
    made.image(IMAGE, ["one"])
    assert find_stored_layers(made.repo, one()) == {
        ONE: StoredLayer(commit, LayerKind.DERIVED, DIFF, computed=False)
    }


def test_images_that_disagree_say_nothing(made):
    made.layer("one", {"a": b"1"})
    made.image(IMAGE, ["one"])
    texts = image_metadata(["one"], {"ostree.final-diffid": str(DIFF)})
    made.image(OTHER, ["one"], **texts)
    assert find_stored_layers(made.repo, one()) == {}


def test_a_damaged_image_says_nothing_and_hides_nothing(made):
    made.layer("one", {"a": b"1"})
    made.image(IMAGE, ["one"])
    made.ref(OTHER, made.commit({"x": b""}))
    assert find_stored_layers(made.repo, one())[ONE].computed is False


def test_a_copied_layer_is_not_there_until_it_was_read(made):
    commit = made.layer("one", {"a": b"1"})
    made.image(IMAGE, ["one"])
    mark_copied(made.path, {ONE: commit})
    assert find_stored_layers(made.repo, one()) == {}
    known(made, commit)
    assert find_stored_layers(made.repo, one())[ONE].computed is True


def test_what_was_claimed_counts_where_there_is_no_image_yet(made):
    commit = made.layer("one", {"a": b"1"})
    claim_layers(made.path, [KnownLayer(ONE, LayerKind.DERIVED, commit, DIFF)])
    assert find_stored_layers(made.repo, one())[ONE] == StoredLayer(
        commit, LayerKind.DERIVED, DIFF, computed=False
    )


def test_a_layer_of_the_same_content_is_found_under_its_own_digest(made):
    commit = made.layer("two", {"a": b"1"})
    two = digest_named("two")
    record_layers(made.path, [KnownLayer(two, LayerKind.DERIVED, commit, DIFF)])
    assert list(find_stored_layers(made.repo, one())) == [two]


def stored(kind: LayerKind, diff_id: Digest, *, computed: bool) -> StoredLayer:
    return StoredLayer("c" * 64, kind, diff_id, computed=computed)


DERIVED = LayerKind.DERIVED
PRESENT = {"action": LayerAction.PRESENT, "commit": "c" * 64}
FETCH = {"action": LayerAction.FETCH}
WRONG = digest_named("other content")


@pytest.mark.parametrize(
    ("digest", "layer", "expected"),
    [
        pytest.param(
            ONE, stored(DERIVED, DIFF, computed=True), {**PRESENT, "known": True}, id="known"
        ),
        pytest.param(ONE, stored(DERIVED, DIFF, computed=False), PRESENT, id="claimed"),
        pytest.param(
            ONE, stored(LayerKind.CHUNK, DIFF, computed=True), FETCH, id="known-as-another-kind"
        ),
        pytest.param(
            ONE, stored(LayerKind.CHUNK, DIFF, computed=False), FETCH, id="claimed-as-another-kind"
        ),
        pytest.param(
            ONE, stored(DERIVED, WRONG, computed=False), FETCH, id="claimed-with-other-content"
        ),
        pytest.param(
            digest_named("two"),
            stored(DERIVED, DIFF, computed=True),
            {"action": LayerAction.REUSE, "commit": "c" * 64},
            id="content-known-elsewhere",
        ),
        pytest.param(
            digest_named("two"),
            stored(DERIVED, DIFF, computed=False),
            FETCH,
            id="content-claimed-elsewhere",
        ),
        pytest.param(
            digest_named("two"),
            stored(LayerKind.COMMIT, DIFF, computed=True),
            FETCH,
            id="content-elsewhere-as-another-kind",
        ),
    ],
)
def test_only_what_is_known_is_shared_and_only_as_what_it_is(digest, layer, expected):
    image = opened("one")
    assert plan_layers(image, {digest: layer}) == (LayerPlan(image.layers[0], **expected),)


def test_a_blob_that_was_read_with_other_content_makes_a_liar_of_the_image():
    with pytest.raises(MismatchError, match="does not match its diff_id") as caught:
        plan_layers(opened("one"), {ONE: stored(DERIVED, WRONG, computed=True)})
    assert (caught.value.layer, caught.value.exit_code) == (str(ONE), 65)


def test_the_ref_of_a_layer_is_that_of_its_digest(made):
    made.layer("one", {"a": b"1"})
    assert blob_ref(ONE) in made.repo.refs()
