"""Single files and directories of a commit that is not deployed, and a checkout of all of it."""

from __future__ import annotations

import pytest
from support.handmade import HandmadeRepo, Link

from bootc_orch.errors import CommandError
from bootc_orch.ops.stored.new_root import FILE_LIMIT, CommitTree, checked_out
from orch_frame.errors import InvalidImageError, LimitError, StoreDamagedError

TREE = {"usr": {"bin": {"true": b"program"}, "lib": {}}, "top": b"1", "link": Link("top")}


@pytest.fixture
def made(tmp_path):
    return HandmadeRepo(tmp_path / "repo")


@pytest.fixture
def tree(made):
    return CommitTree(made.repo, made.commit(TREE))


def test_a_commit_that_is_missing_has_no_tree(made):
    with pytest.raises(StoreDamagedError):
        CommitTree(made.repo, "0" * 64)


def test_directories_are_found_by_their_paths(made, tree):
    names = [name for name, _, _ in tree.directory("usr").dirs]
    assert names == [b"bin", b"lib"]
    assert tree.directory("usr/bin") == made.repo.dirtree(made.tree({"true": b"program"}))
    assert tree.directory(".") == made.repo.dirtree(made.tree(TREE))
    for path in ("etc", "usr/bin/true", "usr/bin/true/x", "top"):
        assert tree.directory(path) is None


def test_files_are_found_by_their_paths(made, tree):
    assert tree.find("top") == made.file(b"1")
    assert tree.find("usr/bin/true") == made.file(b"program")
    assert tree.find("link") == made.link("top")
    for path in ("usr", "usr/bin/false", "none/x", "top/x"):
        assert tree.find(path) is None


def test_the_content_of_a_file_is_read(tree):
    assert tree.read("usr/bin/true") == b"program"
    assert tree.read("usr/bin/false") is None


def test_a_link_is_no_file_to_read(tree):
    with pytest.raises(InvalidImageError, match="link in the image is no regular file") as caught:
        tree.read("link")
    assert caught.value.path == "link"


def test_a_file_may_be_as_long_as_the_limit_and_no_longer(tree):
    assert tree.read("usr/bin/true", limit=7) == b"program"
    with pytest.raises(LimitError) as caught:
        tree.read("usr/bin/true", limit=6)
    assert caught.value.summary == "usr/bin/true in the image is longer than 6 bytes."
    assert FILE_LIMIT == 1024 * 1024


def test_content_that_is_gone_is_damage(made, tree):
    made.object(f"{made.file(b'program')}.file").unlink()
    with pytest.raises(StoreDamagedError, match="The content of usr/bin/true in commit"):
        tree.read("usr/bin/true")


def test_a_checkout_lies_beside_the_objects_and_goes_with_its_block(made, tree, programs):
    """Run for real by every switch and upgrade, as in tests/integration/host/test_host.py."""
    programs.register(["ostree", programs.any()])
    with checked_out(made.repo, tree.commit) as root:
        assert root.parent.parent == made.path / "tmp"
        assert root.parent.is_dir()
        assert [list(call) for call in programs.calls] == [
            [
                "ostree",
                "checkout",
                f"--repo={made.path}",
                "--require-hardlinks",
                tree.commit,
                str(root),
            ]
        ]
    assert list((made.path / "tmp").iterdir()) == []


def test_a_checkout_that_fails_leaves_nothing(made, tree, programs):
    programs.register(["ostree", programs.any()], returncode=1)
    with pytest.raises(CommandError), checked_out(made.repo, tree.commit):
        pytest.fail("it goes on without its tree")
    assert list((made.path / "tmp").iterdir()) == []
