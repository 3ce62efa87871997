"""What files of an image say about its SELinux policy and its root."""

import pytest

from bootc_orch.ops.importing.policy_tree import parse_prepare_root, parse_selinux_config
from orch_frame.errors import InvalidImageError


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        pytest.param("SELINUX=enforcing\nSELINUXTYPE=targeted\n", "targeted", id="enforcing"),
        pytest.param("SELINUXTYPE=mls\nSELINUX=permissive\n", "mls", id="permissive"),
        pytest.param("SELINUX=disabled\nSELINUXTYPE=targeted\n", None, id="disabled"),
        pytest.param("#SELINUX=enforcing\nSELINUXTYPE=targeted\n", None, id="comment"),
        pytest.param("SELINUX=enforcing\n", None, id="no type"),
        pytest.param("SELINUX=enforcing\nSELINUXTYPE=../../x\n", None, id="a path"),
        pytest.param("", None, id="empty"),
    ],
)
def test_the_policy_is_the_one_that_is_switched_on(text, policy):
    assert parse_selinux_config(text) == policy


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        pytest.param("[composefs]\nenabled=yes\n", True, id="composefs"),
        pytest.param("[composefs]\nenabled = signed\n", True, id="signed"),
        pytest.param("[composefs]\nenabled=no\n", False, id="composefs off"),
        pytest.param("[root]\ntransient=true\n", True, id="transient"),
        pytest.param("[root]\ntransient=yes\n", False, id="not a boolean of a keyfile"),
        pytest.param("[etc]\ntransient=true\n", False, id="another section"),
        pytest.param("", False, id="empty"),
    ],
)
def test_content_outside_of_usr_is_kept_where_the_root_shows_it(text, allowed):
    assert parse_prepare_root(text) is allowed


def test_nonsense_in_its_place_is_refused():
    with pytest.raises(InvalidImageError, match=r"prepare-root\.conf"):
        parse_prepare_root("no section\n")
