"""A stored image counts as signed only where this policy let these bytes in by this name."""

from dataclasses import replace

import pytest

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.policy import AppliedPolicy
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.ops.stored.vouched import (
    damaged_vouchers,
    is_vouched,
    keep_vouched,
    record_vouched,
)

IMAGE = ImageReference.parse("oci:/srv/images/os with spaces:1")
MANIFEST = Digest.of(b"manifest")
POLICY = AppliedPolicy(
    "/etc/containers/policy.json", Digest.of(b"{}"), 'transports.oci."/srv"', ("signedBy",)
)


@pytest.fixture
def repo(tmp_path):
    (tmp_path / "tmp").mkdir()
    record_vouched(tmp_path, IMAGE, MANIFEST, POLICY)
    return tmp_path


def test_what_was_let_in_is_vouched_for(repo):
    assert is_vouched(repo, IMAGE, MANIFEST, POLICY)


@pytest.mark.parametrize(
    ("image", "manifest", "policy"),
    [
        pytest.param(ImageReference.parse("oci:/srv/x"), MANIFEST, POLICY, id="another-name"),
        pytest.param(IMAGE, Digest.of(b"other"), POLICY, id="other-bytes"),
        pytest.param(
            IMAGE, MANIFEST, replace(POLICY, digest=Digest.of(b"{ }")), id="another-policy"
        ),
        pytest.param(IMAGE, MANIFEST, replace(POLICY, scope="default"), id="another-scope"),
    ],
)
def test_nothing_else_is(repo, image, manifest, policy):
    assert not is_vouched(repo, image, manifest, policy)


def test_the_place_of_the_policy_does_not_matter(repo):
    assert is_vouched(repo, IMAGE, MANIFEST, replace(POLICY, source="/elsewhere"))


def test_what_is_damaged_is_not_vouched_for_until_it_is_again(repo):
    [record] = (repo / "extensions/bootc-orch/vouched").iterdir()
    record.write_bytes(record.read_bytes()[:-1])
    assert not is_vouched(repo, IMAGE, MANIFEST, POLICY)
    assert damaged_vouchers(repo) == (record,)
    record_vouched(repo, IMAGE, MANIFEST, POLICY)
    assert is_vouched(repo, IMAGE, MANIFEST, POLICY)
    assert damaged_vouchers(repo) == ()


def test_of_images_that_are_not_stored_any_more_nothing_is_kept(repo):
    other = Digest.of(b"other")
    record_vouched(repo, IMAGE, other, POLICY)
    keep_vouched(repo, [other])
    assert not is_vouched(repo, IMAGE, MANIFEST, POLICY)
    assert is_vouched(repo, IMAGE, other, POLICY)
