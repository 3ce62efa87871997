"""What files of an image say about its SELinux policy and its root."""

import pytest

from bootc_orch.ops.importing.policy_tree import (
    allows_nonusr,
    load_labeler,
    needed_contents,
    parse_prepare_root,
    parse_selinux_config,
    policy_id,
)
from bootc_orch.stream.trees import Trees
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


CONFIG = b"SELINUX=enforcing\nSELINUXTYPE=targeted\n"
CONTEXTS = {"file_contexts": b"/.* system_u:object_r:usr_t:s0\n", "file_contexts.local": b""}


def selinux(config=CONFIG, name="targeted", contexts=CONTEXTS):
    return {"selinux": {"config": config, name: {"contexts": {"files": contexts}}}}


@pytest.fixture
def trees(made):
    return Trees(made.store)


def root_of(made, tree):
    return bytes.fromhex(made.tree(tree))


@pytest.mark.parametrize("place", ["etc", "usr/etc"])
def test_the_policy_is_known_by_its_directory_wherever_that_is(made, trees, place):
    tree = {"etc": selinux()} if place == "etc" else {"usr": {"etc": selinux()}}
    root = root_of(made, tree)
    assert policy_id(trees, root) == made.tree(selinux()["selinux"])


def test_without_a_configuration_there_is_no_policy(made, trees, tmp_path):
    root = root_of(made, {"etc": {"selinux": {"other": b""}}, "usr": {}})
    assert policy_id(trees, root) is None
    assert load_labeler(trees, root, tmp_path) is None


def test_a_policy_that_is_switched_off_labels_nothing(made, trees, tmp_path):
    root = root_of(made, {"etc": selinux(b"SELINUX=disabled\nSELINUXTYPE=targeted\n")})
    assert load_labeler(trees, root, tmp_path) is None


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param(selinux(name="other"), id="another policy"),
        pytest.param(selinux(contexts={"media": b""}), id="no contexts of files"),
    ],
)
def test_a_policy_that_is_named_and_not_there_is_refused(made, trees, tmp_path, tree):
    with pytest.raises(InvalidImageError, match="names the SELinux policy targeted") as caught:
        load_labeler(trees, root_of(made, {"usr": {"etc": tree}}), tmp_path)
    assert caught.value.path == "usr/etc/selinux/targeted"


def test_the_labels_are_those_of_the_policy_and_its_files_are_equally_old(made, trees, tmp_path):
    root = root_of(made, {"etc": selinux()})
    with load_labeler(trees, root, tmp_path) as labeler:
        assert labeler.policy == policy_id(trees, root)
        assert labeler.label(b"/usr/a", 0o100644) == b"system_u:object_r:usr_t:s0\0"
    (copy,) = tmp_path.glob("policy-*")
    assert {path.name: path.stat().st_mtime for path in copy.iterdir()} == dict.fromkeys(
        CONTEXTS, 0
    )
    with load_labeler(trees, root, tmp_path):  # a second time over the files that are there
        assert sorted(path.name for path in copy.iterdir()) == sorted(CONTEXTS)


def test_the_files_that_rule_derived_layers_are_all_named(made, trees):
    conf = b"[composefs]\nenabled=yes\n"
    root = root_of(
        made, {"usr": {"etc": selinux(), "lib": {"ostree": {"prepare-root.conf": conf}}}}
    )
    wanted = [conf, CONFIG, *CONTEXTS.values()]
    assert needed_contents(trees, root) == {made.file(data) for data in wanted}
    assert needed_contents(trees, root_of(made, {"usr": {"bin": {}}})) == frozenset()


def test_the_administrators_prepare_root_conf_comes_first(made, trees):
    on, off = b"[composefs]\nenabled=yes\n", b"[composefs]\nenabled=no\n"

    def root(**files):
        found = {name: {"ostree": {"prepare-root.conf": data}} for name, data in files.items()}
        return root_of(made, {"etc": found.get("etc", {}), "usr": {"lib": found.get("lib", {})}})

    assert allows_nonusr(trees, root(lib=on)) is True
    assert allows_nonusr(trees, root(etc=off, lib=on)) is False
    assert allows_nonusr(trees, root()) is False
