import pytest

from bootc_orch.model.image.policy import check_policy
from orch_frame.errors import PolicyError

ANYTHING = b'{"type": "insecureAcceptAnything"}'


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(b'{"default": [{"type": "reject"}]}', id="reject"),
        pytest.param(b'{"default": [{"type": "signedBy", "keyPath": "/k"}]}', id="signed-by"),
        pytest.param(
            b'{"default": [' + ANYTHING + b', {"type": "signedBy"}]}', id="anything-and-signed"
        ),
        pytest.param(
            b'{"default": [{"type": "reject"}], "transports": {"oci": {"": [' + ANYTHING + b"]}}}",
            id="anything-for-one-transport",
        ),
    ],
)
def test_a_policy_that_demands_something_passes(policy):
    check_policy(policy, source="/p")


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        pytest.param(b'{"default": [' + ANYTHING + b"]}", "/p accepts anything", id="anything"),
        pytest.param(b"{}", "has no default", id="no-default"),
        pytest.param(b'{"default": []}', "has no default", id="empty-default"),
        pytest.param(b'{"default": [1]}', "without a type", id="no-type"),
        pytest.param(b"nonsense", "not valid JSON", id="no-json"),
        pytest.param(b'{"default": [], "default": []}', "twice", id="default-twice"),
        pytest.param(b" " * (2**20 + 1), "at most", id="too-large"),
    ],
)
def test_a_policy_that_vouches_for_nothing_is_refused(policy, complaint):
    with pytest.raises(PolicyError, match=complaint) as caught:
        check_policy(policy, source="/p")
    assert caught.value.path == "/p"
    assert caught.value.exit_code == 76
