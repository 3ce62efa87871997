"""Which files of a deployment are not those of its commit, and how they are put right."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.handmade import HandmadeRepo, Link
from support.handmade_sysroot import HandmadeSysroot

from bootc_orch.ops.checking.deployed_files import DeployedFiles, WrongFile, put_right
from bootc_orch.ops.checking.verify_objects import Verifier

TREE = {
    "usr": {"bin": {"true": b"program", "sh": Link("bash")}, "etc": {"passwd": b"root"}},
    "etc": {"passwd": b"root"},
    "readme": b"read me",
}


@pytest.fixture
def world(tmp_path):
    return HandmadeSysroot(tmp_path)


@pytest.fixture
def deployment(world):
    return world.deploy(world.made.commit(TREE))


def wrong(world, deployment, *bad, contents=True):
    found = DeployedFiles(world.made.repo, bad, contents=contents).wrong(deployment)
    return sorted(found, key=lambda file: file.path)


def replace_file(path, data):
    """Put another file in the place of *path*, whose object is left as it is."""
    path.unlink()
    path.write_bytes(data)


def test_a_deployment_as_it_was_checked_out_has_no_wrong_file(world, deployment):
    assert wrong(world, deployment) == []


def test_a_file_with_other_content_is_wrong_and_a_copy_is_not(world, deployment):
    program = world.made.file(b"program")
    replace_file(deployment.path / "usr/bin/true", b"program")
    replace_file(deployment.path / "readme", b"changed")
    assert wrong(world, deployment) == [WrongFile("readme", world.made.file(b"read me"))]
    (deployment.path / "usr/bin/true").chmod(0o600)
    assert WrongFile("usr/bin/true", program) in wrong(world, deployment)


def test_a_link_to_elsewhere_and_a_directory_for_a_file_are_wrong(world, deployment):
    for path in ("usr/bin/sh", "readme"):
        (deployment.path / path).unlink()
    (deployment.path / "usr/bin/sh").symlink_to("dash")
    (deployment.path / "readme").mkdir()
    assert wrong(world, deployment) == [
        WrongFile("readme", world.made.file(b"read me")),
        WrongFile("usr/bin/sh", world.made.link("bash")),
    ]


def test_where_contents_are_not_read_only_what_is_missing_is_wrong(world, deployment):
    replace_file(deployment.path / "readme", b"changed")
    (deployment.path / "usr/bin/true").unlink()
    assert wrong(world, deployment, contents=False) == [
        WrongFile("usr/bin/true", world.made.file(b"program"))
    ]


def test_a_file_that_is_a_damaged_object_is_wrong_with_it(world, deployment):
    program = world.made.file(b"program")
    assert wrong(world, deployment, f"{program}.file") == [WrongFile("usr/bin/true", program)]


def test_etc_belongs_to_the_machine(world, deployment):
    replace_file(deployment.path / "etc/passwd", b"mine")
    replace_file(deployment.path / "usr/etc/passwd", b"mine")
    assert [file.path for file in wrong(world, deployment)] == ["usr/etc/passwd"]


@pytest.mark.parametrize("instead", [None, b"a file", "a link"])
def test_a_missing_directory_is_named_without_what_is_below_it(world, deployment, instead):
    folder = deployment.path / "usr/bin"
    folder.rename(deployment.path / "elsewhere")
    if instead == "a link":
        folder.symlink_to("../elsewhere")
    elif instead:
        folder.write_bytes(instead)
    assert wrong(world, deployment) == [WrongFile("usr/bin", None)]


def test_a_whiteout_of_an_image_in_the_image_is_a_device_once_checked_out(world):
    made = world.deploy(world.made.commit({"usr": {".ostree-wh.gone": b"", "kept": b"1"}}))
    (made.path / "usr/.ostree-wh.gone").unlink()
    assert wrong(world, made) == []
    (made.path / "usr/kept").unlink()
    assert wrong(world, made) == [WrongFile("usr/kept", world.made.file(b"1"))]


@pytest.mark.parametrize("kind", ["commit", "dirtree"])
def test_what_cannot_be_read_of_the_commit_is_passed_over(world, deployment, kind):
    folder = world.made.tree(TREE["usr"])
    name = f"{deployment.checksum}.commit" if kind == "commit" else f"{folder}.dirtree"
    world.made.object(name).unlink()
    (deployment.path / "usr/bin/true").unlink()
    assert wrong(world, deployment) == []


def test_only_a_bare_repository_shares_files_with_deployments(world, deployment, tmp_path):
    (deployment.path / "readme").unlink()
    other = HandmadeRepo(tmp_path / "archive", "archive")
    other.commit(TREE)
    assert list(DeployedFiles(other.repo).wrong(deployment)) == []


def test_wrong_files_become_links_to_their_objects_again(world, deployment):
    program = world.made.file(b"program")
    replace_file(deployment.path / "usr/bin/true", b"changed")
    (deployment.path / "usr/bin/sh").unlink()
    found = wrong(world, deployment)
    done = put_right(world.made.repo, deployment, found, Verifier(world.made.repo, contents=True))
    assert done == found
    assert wrong(world, deployment) == []
    assert (deployment.path / "usr/bin/true").samefile(world.made.object(f"{program}.file"))
    assert (deployment.path / "usr/bin/sh").readlink() == Path("bash")
    assert list((world.made.path / "tmp").iterdir()) == []


def test_what_cannot_be_replaced_is_left_and_the_rest_is_put_right(world, deployment):
    program, readme = world.made.file(b"program"), world.made.file(b"read me")
    (deployment.path / "readme").unlink()
    (deployment.path / "usr/bin/true").unlink()
    (deployment.path / "usr/etc/passwd").unlink()
    (deployment.path / "usr/etc/passwd").mkdir()
    world.made.object(f"{program}.file").write_bytes(b"damaged as well")
    files = [
        WrongFile("usr/share", None),
        WrongFile("usr/bin/true", program),
        WrongFile("usr/etc/passwd", world.made.file(b"root")),
        WrongFile("readme", readme),
    ]
    verifier = Verifier(world.made.repo, contents=True)
    assert put_right(world.made.repo, deployment, files, verifier) == [WrongFile("readme", readme)]
    assert (deployment.path / "readme").read_bytes() == b"read me"
    assert not (deployment.path / "usr/bin/true").exists()
    assert (deployment.path / "usr/etc/passwd").is_dir()
