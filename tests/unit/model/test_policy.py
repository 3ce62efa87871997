"""The gate before images that must be signed judges the scope that skopeo will apply."""

import json

import pytest

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.policy import AppliedPolicy, judge_policy
from bootc_orch.model.image.reference import ImageReference
from orch_frame.errors import ConfigError, PolicyError

ANYTHING = [{"type": "insecureAcceptAnything"}]
REJECT = [{"type": "reject"}]
SIGNED = [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}]
IMAGE = ImageReference.parse("docker://registry.example.com:5000/team/os:1")


def policy(default, **transports):
    text = {"default": default, "transports": transports} if transports else {"default": default}
    return json.dumps(text).encode()


def judge(data, image=IMAGE):
    return judge_policy(data, image, source="/p")


@pytest.mark.parametrize(
    ("data", "scope", "requirements"),
    [
        pytest.param(policy(SIGNED), "default", ("signedBy",), id="default"),
        pytest.param(
            policy(ANYTHING + SIGNED),
            "default",
            ("insecureAcceptAnything", "signedBy"),
            id="anything-and-signed",
        ),
        pytest.param(
            policy(ANYTHING, docker={"": SIGNED}),
            'transports.docker.""',
            ("signedBy",),
            id="all-registries",
        ),
        pytest.param(
            policy(SIGNED, oci={"": ANYTHING}), "default", ("signedBy",), id="another-transport"
        ),
        pytest.param(
            policy(REJECT, docker={"registry.example.com:5000/team": SIGNED, "": ANYTHING}),
            'transports.docker."registry.example.com:5000/team"',
            ("signedBy",),
            id="a-namespace-before-all-registries",
        ),
        pytest.param(
            policy(
                REJECT,
                docker={
                    "registry.example.com:5000/team/os:1": SIGNED,
                    "registry.example.com:5000/team/os": ANYTHING,
                },
            ),
            'transports.docker."registry.example.com:5000/team/os:1"',
            ("signedBy",),
            id="a-tag-before-its-repository",
        ),
        pytest.param(
            policy(REJECT, docker={"*.example.com": SIGNED, "*.com": ANYTHING}),
            'transports.docker."*.example.com"',
            ("signedBy",),
            id="a-wildcard-is-of-the-host-without-its-port",
        ),
        pytest.param(
            policy(SIGNED, docker={"registry.example.com": ANYTHING}),
            "default",
            ("signedBy",),
            id="a-host-without-the-port-is-another",
        ),
    ],
)
def test_the_narrowest_scope_decides(data, scope, requirements):
    assert judge(data) == AppliedPolicy("/p", Digest.of(data), scope, requirements)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        pytest.param(policy(ANYTHING), "default in /p accepts anything", id="default"),
        pytest.param(
            policy(REJECT, docker={"": ANYTHING}),
            r'transports\.docker\."" in /p accepts anything',
            id="all-registries",
        ),
        pytest.param(
            policy(SIGNED, docker={"registry.example.com:5000": ANYTHING}),
            r'"registry.example.com:5000" in /p accepts anything',
            id="the-host",
        ),
        pytest.param(
            policy(SIGNED, docker={"*.com": ANYTHING}), r'"\*\.com" in /p accepts', id="a-wildcard"
        ),
        pytest.param(policy(REJECT), "rejected by default in /p", id="reject"),
        pytest.param(
            policy(ANYTHING, docker={"registry.example.com:5000/team/os": REJECT}),
            'rejected by transports.docker."registry.example.com:5000/team/os" in /p',
            id="reject-one",
        ),
    ],
)
def test_a_scope_that_vouches_for_nothing_or_rejects_is_named(data, complaint):
    with pytest.raises(PolicyError, match=complaint) as caught:
        judge(data)
    assert (caught.value.path, caught.value.image) == ("/p", str(IMAGE))
    assert caught.value.exit_code == 76


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "dir"])
def test_a_path_is_judged_by_the_directory_that_it_resolves_to(tmp_path, transport):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    image = ImageReference.parse(f"{transport}:{tmp_path}/link/image")
    scope = f"{tmp_path}/real"
    data = policy(REJECT, **{transport: {scope: SIGNED, str(tmp_path): ANYTHING}})
    assert judge(data, image).scope == f'transports.{transport}."{scope}"'


def test_where_the_scope_cannot_be_told_none_may_accept_anything():
    image = ImageReference.parse("containers-storage:localhost/os:1")
    narrow = {"[overlay@/var/lib/containers/storage]": SIGNED}
    assert judge(policy(SIGNED, **{"containers-storage": narrow}), image).requirements == (
        "signedBy",
    )
    for entries, default in (({**narrow, "": ANYTHING}, SIGNED), (narrow, ANYTHING)):
        with pytest.raises(PolicyError, match="accepts anything"):
            judge(policy(default, **{"containers-storage": entries}), image)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        pytest.param(b"{}", "has no default", id="no-default"),
        pytest.param(b'{"default": []}', "has no default", id="empty-default"),
        pytest.param(b'{"default": [1]}', "without a type", id="no-type"),
        pytest.param(b"nonsense", "not valid JSON", id="no-json"),
        pytest.param(policy(REJECT) + b"x", "not valid JSON", id="bytes-after-its-end"),
        pytest.param(b'{"default": [{"type": "reject"}],}', "not valid JSON", id="a-comma"),
        pytest.param(b'{"default": [], "default": []}', "twice", id="default-twice"),
        pytest.param(b" " * (2**20 + 1), "at most", id="too-large"),
        pytest.param(policy(REJECT, docker={"": []}), "demands nothing", id="empty-scope"),
        pytest.param(policy(REJECT, docker={"": "x"}), "demands nothing", id="no-list"),
    ],
)
def test_what_is_no_policy_is_a_fault_of_this_machine(data, complaint):
    with pytest.raises(ConfigError, match=complaint) as caught:
        judge(data)
    assert caught.value.path == "/p"
    assert caught.value.exit_code == 78
