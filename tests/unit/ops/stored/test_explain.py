"""What keeps a thing alive, whatever it is asked for by."""

from __future__ import annotations

import pytest
from support.handmade import HandmadeRepo, digest_named, image_metadata

from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.stored.explain import (
    Explanation,
    Keeper,
    KeeperKind,
    TargetKind,
    explain,
    keeper,
)
from orch_frame.errors import NotFoundError, StoreDamagedError, UsageError

IMAGE = ImageReference.parse("docker://quay.io/a/b:1")
ONE, TWO = digest_named("one"), digest_named("two")
DEPLOYED = "ostree/0/1/0"
TREE = {"usr": {"bin": b"program"}}


@pytest.fixture
def made(tmp_path):
    """An image of one layer, which a deployment has too, and a layer that nothing has."""
    made = HandmadeRepo(tmp_path / "repo")
    made.layer("one", {"a": b"1"})
    made.layer("two", {"b": b"2"})
    made.image(image_ref(IMAGE), ["one"], tree=TREE)
    made.ref(DEPLOYED, made.commit({"deployed": b"1"}, image_metadata(["one"])))
    return made


def by_image(reason):
    return Keeper(KeeperKind.IMAGE, str(IMAGE), reason)


def by_deployment(reason):
    return Keeper(KeeperKind.DEPLOYMENT, DEPLOYED, reason)


@pytest.mark.parametrize("asked", [str(ONE), blob_ref(ONE)])
def test_a_layer_is_kept_by_all_that_is_made_of_it(made, asked):
    commit = made.repo.refs()[blob_ref(ONE)]
    found = explain(made.repo, asked)
    keepers = (by_image("is made of it"), by_deployment("is made of it"))
    assert found == Explanation(str(ONE), TargetKind.LAYER, commit, keepers)
    assert found.alive


@pytest.mark.parametrize("asked", [str(TWO), blob_ref(TWO)])
def test_a_layer_that_nothing_is_made_of_is_not_alive(made, asked):
    commit = made.repo.refs()[blob_ref(TWO)]
    found = explain(made.repo, asked)
    assert found == Explanation(str(TWO), TargetKind.LAYER, commit, ())
    assert not found.alive


@pytest.mark.parametrize("asked", [str(IMAGE), "ostree-unverified-registry:quay.io/a/b:1"])
def test_an_image_is_kept_by_its_ref(made, asked):
    commit = made.repo.refs()[image_ref(IMAGE)]
    assert explain(made.repo, asked) == Explanation(
        str(IMAGE), TargetKind.IMAGE, commit, (by_image("points to it"),)
    )


def test_an_image_and_a_deployment_of_it_keep_one_commit(made):
    commit = made.repo.refs()[image_ref(IMAGE)]
    made.ref(DEPLOYED, commit)
    keepers = (by_deployment("points to it"), by_image("points to it"))
    assert explain(made.repo, str(IMAGE)).kept_by == keepers
    assert explain(made.repo, commit) == Explanation(commit, TargetKind.COMMIT, commit, keepers)
    assert explain(made.repo, DEPLOYED) == Explanation(DEPLOYED, TargetKind.COMMIT, commit, keepers)


def test_the_commit_of_a_layer_is_followed_to_what_keeps_the_layer(made):
    commit = made.repo.refs()[blob_ref(ONE)]
    because = f"is made of layer {ONE}"
    assert explain(made.repo, commit).kept_by == (
        Keeper(KeeperKind.LAYER, str(ONE), "points to it"),
        by_image(because),
        by_deployment(because),
    )
    two = explain(made.repo, made.repo.refs()[blob_ref(TWO)])
    assert two.kept_by == (Keeper(KeeperKind.LAYER, str(TWO), "points to it"),)
    assert not two.alive


def test_a_commit_that_no_ref_leads_to_is_kept_by_nothing(made):
    commit = made.commit({"lost": b"1"})
    assert explain(made.repo, commit) == Explanation(commit, TargetKind.COMMIT, commit, ())


@pytest.mark.parametrize(
    "checksum",
    [
        pytest.param(lambda made: made.file(b"program"), id="file"),
        pytest.param(lambda made: made.tree(TREE), id="dirtree"),
        pytest.param(lambda made: made.tree(TREE["usr"]), id="dirtree below"),
    ],
)
def test_an_object_is_kept_by_the_refs_whose_commits_contain_it(made, checksum):
    asked = checksum(made)
    assert explain(made.repo, asked) == Explanation(
        asked, TargetKind.OBJECT, None, (by_image("contains it"),)
    )


def test_every_ref_that_contains_it_keeps_an_object_and_a_layer_is_followed(made):
    because = f"is made of layer {ONE}"
    keepers = {
        blob_ref(ONE): (
            Keeper(KeeperKind.LAYER, str(ONE), "contains it"),
            by_image(because),
            by_deployment(because),
        ),
        blob_ref(TWO): (Keeper(KeeperKind.LAYER, str(TWO), "contains it"),),
        image_ref(IMAGE): (by_image("contains it"),),
        DEPLOYED: (by_deployment("contains it"),),
    }
    expected = tuple(one for ref in sorted(keepers) for one in keepers[ref])
    assert explain(made.repo, made.meta).kept_by == expected


def test_an_object_that_no_commit_contains_is_kept_by_nothing(made):
    asked = made.file(b"orphan")
    assert explain(made.repo, asked) == Explanation(asked, TargetKind.OBJECT, None, ())


def test_a_dangling_link_in_a_repository_is_an_object(made):
    asked = made.link("nowhere")
    assert explain(made.repo, asked).kind is TargetKind.OBJECT


@pytest.mark.parametrize(
    ("ref", "kind", "name"),
    [
        (image_ref(IMAGE), KeeperKind.IMAGE, str(IMAGE)),
        (blob_ref(ONE), KeeperKind.LAYER, str(ONE)),
        ("ostree/container/baseimage/bootc/0", KeeperKind.BASE_IMAGE, None),
        ("ostree/1/1/0", KeeperKind.DEPLOYMENT, None),
        ("rpmostree/base/0", KeeperKind.DEPLOYMENT, None),
        ("os/stable", KeeperKind.REF, None),
        ("ostree/container/image/not_escaped", KeeperKind.REF, None),
        ("ostree/container/blob/no_3A_digest", KeeperKind.REF, None),
    ],
)
def test_a_ref_is_described_by_what_it_is_of(ref, kind, name):
    assert keeper(ref, "because") == Keeper(kind, name or ref, "because")


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (str(digest_named("x")), NotFoundError, "has no layer sha256:"),
        ("sha256:12", UsageError, "is not a digest of the form"),
        ("0" * 64, NotFoundError, "has no object 0000"),
        ("oci:/none", NotFoundError, "oci:/none is not stored in"),
        ("nonsense", UsageError, "has no transport"),
        ("ostree-nonsense", UsageError, "does not say who vouches"),
    ],
)
def test_what_is_not_there_or_is_nothing_is_said(made, asked, error, message):
    with pytest.raises(error, match=message):
        explain(made.repo, asked)


def test_where_a_ref_is_damaged_nothing_is_known_for_sure(made):
    made.ref("os/stable", "garbage")
    with pytest.raises(StoreDamagedError, match="os/stable"):
        explain(made.repo, str(IMAGE))
