"""Which ostree remote has to vouch for a base commit, and what it is asked about."""

from __future__ import annotations

import pytest
from support.handmade import digest_named, ends_at

from bootc_orch.model.image.layout import Compression, LayerKind, PlannedLayer
from bootc_orch.model.image.manifest import Descriptor
from bootc_orch.model.image.reference import ImageReference, OstreeImageReference
from bootc_orch.model.image.refs import image_ref
from bootc_orch.ops.opening.pull_plan import LayerAction, LayerPlan, PullPlan, PullRequest
from bootc_orch.ops.opening.signature import RemoteVerifier, remote_settings, remote_verifier
from bootc_orch.ops.stored.store import image_state
from orch_frame.errors import NotFoundError, PolicyError

SIGNED = OstreeImageReference.parse("ostree-remote-image:vendor:docker://localhost/os")
NAME = ImageReference.parse("docker://localhost/os")


def configure(made, **settings):
    with (made.path / "config").open("a") as config:
        config.write('[remote "vendor"]\n')
        config.writelines(f"{key.replace('_', '-')}={value}\n" for key, value in settings.items())


@pytest.mark.parametrize(
    ("settings", "verifies"),
    [
        pytest.param({}, True, id="gpg unless it is switched off"),
        pytest.param({"gpg_verify": "false"}, False, id="nothing"),
        pytest.param({"gpg_verify": "false", "sign_verify": "ed25519"}, True, id="another kind"),
        pytest.param({"gpg_verify": "false", "sign_verify": "no"}, False, id="neither"),
    ],
)
def test_a_remote_that_verifies_nothing_vouches_for_nothing(made, settings, verifies):
    configure(made, url="https://localhost", **settings)
    if verifies:
        assert remote_settings(made.repo, "vendor")["url"] == "https://localhost"
    else:
        with pytest.raises(PolicyError, match="verifies no signatures"):
            remote_settings(made.repo, "vendor")


def test_a_remote_that_is_not_there_is_not_found(made, options, told):
    with pytest.raises(NotFoundError, match="no remote vendor"):
        remote_verifier(PullRequest(made.repo, SIGNED, options, told))


def test_an_image_that_no_remote_has_to_vouch_for_has_no_verifier(request_for, image):
    assert remote_verifier(request_for(image("base"))) is None


class Asked(RemoteVerifier):
    """Keeps the commits that it is asked about."""

    asked: list[tuple[bytes, bytes | None]] = []  # noqa: RUF012 - emptied for each test

    def verify(self, commit, metadata, *, work):
        assert work.is_dir()
        self.asked.append((commit, metadata))


@pytest.fixture
def verifier(made):
    Asked.asked.clear()
    return Asked(made.repo, NAME, "vendor", {})


def plan_of(kind, commit=None):
    digest = digest_named("base")
    layer = PlannedLayer(0, Descriptor("", digest, 1), digest, kind, Compression.NONE)
    action = LayerAction.PRESENT if commit else LayerAction.FETCH
    return PullPlan(None, (LayerPlan(layer, action, commit),))


def test_a_base_commit_that_is_there_is_asked_about_with_what_lies_beside_it(made, verifier):
    base = made.base("base", {})
    data = made.object(f"{base}.commit").read_bytes()
    verifier.verify_plan(plan_of(LayerKind.COMMIT, base))
    made.object(f"{base}.commitmeta").write_bytes(b"signature")
    verifier.verify_plan(plan_of(LayerKind.COMMIT, base))
    assert verifier.asked == [(data, None), (data, b"signature")]


def test_a_base_commit_that_is_to_be_fetched_is_asked_about_when_it_comes(verifier):
    verifier.verify_plan(plan_of(LayerKind.COMMIT))
    assert verifier.asked == []


def test_an_image_without_a_base_commit_has_nothing_that_could_be_signed(verifier):
    with pytest.raises(PolicyError, match="no ostree commit that the remote vendor") as caught:
        verifier.verify_plan(plan_of(LayerKind.DERIVED))
    assert caught.value.image == str(NAME)


@pytest.mark.parametrize("labels", [ends_at("base"), {}])
def test_of_a_stored_image_its_base_commit_is_asked_about(made, verifier, labels):
    base = made.base("base", {})
    made.image(image_ref(NAME), ["base"], labels=labels)
    state = image_state(made.repo, NAME)
    if labels:
        verifier.verify_stored(state)
        assert [data for data, _ in verifier.asked] == [made.object(f"{base}.commit").read_bytes()]
    else:
        with pytest.raises(PolicyError):
            verifier.verify_stored(state)
