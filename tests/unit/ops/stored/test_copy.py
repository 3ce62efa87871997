"""What a copy of an image lacks at its destination, and the order in which it gets there.

Run for real in test_a_copy_is_the_same_image_in_any_mode.
"""

from __future__ import annotations

import pytest
from support.handmade import HandmadeRepo, digest_named

from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.stored.copy import CopyPlan, apply_copy, plan_copy
from bootc_orch.ops.stored.store import image_state
from orch_frame.errors import NotFoundError, StoreDamagedError, ToolError, UsageError

IMAGE = ImageReference.parse("docker://quay.io/a/b:1")
TARGET = ImageReference.parse("oci:/srv/b")
ONE, TWO = digest_named("one"), digest_named("two")


@pytest.fixture
def source(tmp_path):
    """An image of two layers, one of them twice."""
    source = HandmadeRepo(tmp_path / "source")
    source.layer("one", {"a": b"1"})
    source.layer("two", {"b": b"2"})
    source.image(image_ref(IMAGE), ["one", "two", "one"])
    return source


@pytest.fixture
def destination(tmp_path):
    return HandmadeRepo(tmp_path / "destination", "archive")


def plan(source, destination):
    return plan_copy(source.repo, destination.repo, IMAGE, target=TARGET)


def expected(source, *missing, unchanged=False):
    refs = source.repo.refs()
    layers = tuple((digest, refs[blob_ref(digest)]) for digest in (ONE, TWO))
    return CopyPlan(image_state(source.repo, IMAGE), layers, missing, unchanged=unchanged)


def test_an_empty_destination_lacks_each_layer_once(source, destination):
    assert plan(source, destination) == expected(source, ONE, TWO)


def test_layers_that_are_there_are_not_copied(source, destination):
    refs = source.repo.refs()
    destination.ref(blob_ref(ONE), refs[blob_ref(ONE)])
    destination.ref(blob_ref(TWO), refs[blob_ref(ONE)])  # another commit under the name
    assert plan(source, destination) == expected(source, TWO)


@pytest.mark.parametrize("content", ["garbage", "0" * 64])
def test_a_ref_that_is_damaged_or_leads_elsewhere_is_as_good_as_none(source, destination, content):
    refs = source.repo.refs()
    destination.ref(blob_ref(ONE), content)
    destination.ref(blob_ref(TWO), refs[blob_ref(TWO)])
    destination.ref(image_ref(TARGET), refs[image_ref(IMAGE)])
    assert plan(source, destination) == expected(source, ONE)
    destination.ref(blob_ref(ONE), refs[blob_ref(ONE)])
    destination.ref(image_ref(TARGET), content)
    assert plan(source, destination) == expected(source)
    destination.ref(image_ref(TARGET), refs[image_ref(IMAGE)])
    assert plan(source, destination) == expected(source, unchanged=True)


def test_an_image_that_is_not_stored_cannot_be_copied(source, destination):
    (source.path / "refs/heads" / image_ref(IMAGE)).unlink()
    with pytest.raises(NotFoundError, match=f"{IMAGE} is not stored in {source.path}"):
        plan(source, destination)


def test_an_image_without_one_of_its_layers_cannot_be_copied(source, destination):
    (source.path / "refs/heads" / blob_ref(TWO)).unlink()
    with pytest.raises(StoreDamagedError, match=f"Layer {TWO} of {IMAGE} is missing") as caught:
        plan(source, destination)
    assert (caught.value.image, caught.value.layer) == (str(IMAGE), str(TWO))


def test_a_repository_that_cannot_hold_owners_takes_no_system(source, tmp_path):
    destination = HandmadeRepo(tmp_path / "lossy", "bare-user-only")
    with pytest.raises(ToolError, match="cannot hold owners and setuid bits"):
        plan(source, destination)


def test_a_name_that_collides_at_the_destination_is_refused(source, destination):
    destination.image(image_ref(ImageReference.parse("oci:/srv/b/c")), ["one"])
    with pytest.raises(UsageError, match="cannot be stored beside"):
        plan(source, destination)


def test_layers_come_before_the_image_and_its_ref_is_last(source, destination, programs):
    programs.register(["ostree", programs.any()], occurrences=3)
    found = plan(source, destination)
    apply_copy(found, source.repo, destination.repo, target=TARGET)
    pull = ["ostree", "pull-local", f"--repo={destination.path}", "--disable-verify-bindings"]
    commit = found.state.merge_commit
    assert [list(call) for call in programs.calls] == [
        [*pull, str(source.path), blob_ref(ONE), blob_ref(TWO)],
        [*pull, str(source.path), commit],
        [
            "ostree",
            "refs",
            f"--repo={destination.path}",
            f"--create={image_ref(TARGET)}",
            "--force",
            commit,
        ],
    ]


def test_what_is_there_already_is_not_copied_again(source, destination, programs):
    programs.register(["ostree", programs.any()], occurrences=2)
    apply_copy(expected(source), source.repo, destination.repo, target=TARGET)
    assert [call[1] for call in programs.calls] == ["pull-local", "refs"]
    apply_copy(expected(source, unchanged=True), source.repo, destination.repo, target=TARGET)
    assert len(programs.calls) == 2
