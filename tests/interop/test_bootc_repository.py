"""A repository that bootc filled can be listed, inspected, updated, pruned and copied by ours."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import at_place, bootc_orch
from support.images import FIXTURES, golden, layout_of, manifest_digest_of, manifest_of
from support.ostree import refs, show, tree, verify_state

pytestmark = pytest.mark.root

IMAGES = ("base", "derived", "derived-multi")


def place(name: str) -> str:
    return f"/var/tmp/{name}"


def layers_of(name: str) -> set[str]:
    return {layer["digest"] for layer in manifest_of(name)["layers"]}


@pytest.fixture
def bootc_repo(tmp_path: Path) -> Path:
    """The repository as bootc left it."""
    repo = tmp_path / "bootc"
    repo.mkdir()
    archive = FIXTURES / "repos/bootc-bare.tar.zst"
    subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-C", repo, "-xf", archive], check=True
    )
    return repo


@pytest.mark.parametrize("name", IMAGES)
def test_our_witness_reads_bootcs_repository_as_bootc_did(bootc_repo: Path, name: str) -> None:
    ref = f"ostree/container/image/oci_3A__2F_var/tmp/{name}"
    assert tree(bootc_repo, ref) == golden(name).tree
    assert show(bootc_repo, ref).checksum == golden(name).merge_commit


def test_list_names_the_images(bootc_repo: Path) -> None:
    assert sorted(bootc_orch("image", "list", "--repo", bootc_repo).lines) == [
        f"oci:{place(name)}" for name in IMAGES
    ]


def test_list_gives_commit_digest_and_layers_of_each(bootc_repo: Path) -> None:
    listed = bootc_orch("image", "list", "--repo", bootc_repo, "--json").json["images"]
    assert {
        entry["reference"]: (entry["commit"], entry["manifest_digest"], entry["layers"])
        for entry in listed
    } == {
        f"oci:{place(name)}": (
            golden(name).merge_commit,
            manifest_digest_of(name),
            len(manifest_of(name)["layers"]),
        )
        for name in IMAGES
    }


@pytest.mark.parametrize("name", IMAGES)
def test_inspect_shows_an_image(bootc_repo: Path, name: str) -> None:
    shown = bootc_orch("image", "inspect", "--repo", bootc_repo, f"oci:{place(name)}")
    assert manifest_digest_of(name) in shown.stdout


def test_pulling_again_changes_nothing(bootc_repo: Path, tmp_path: Path) -> None:
    before = refs(bootc_repo)
    name = "derived-multi"
    oref = f"ostree-unverified-image:oci:{place(name)}"
    result = bootc_orch(
        *("image", "pull", "--repo", bootc_repo, oref),
        prefix=at_place(layout_of(name, tmp_path / "layout"), place(name)),
    )
    assert result.lines[-1] == f"No changes in {oref} => {golden(name).merge_commit}"
    assert refs(bootc_repo) == before
    verify_state(bootc_repo)


def test_an_update_keeps_what_bootc_fetched(bootc_repo: Path, tmp_path: Path) -> None:
    """Where bootc had `derived`, the place now holds an image with more layers on the same base."""
    result = bootc_orch(
        *("image", "pull", "--repo", bootc_repo, "--var-content=keep"),
        f"ostree-unverified-image:oci:{place('derived')}",
        prefix=at_place(layout_of("derived-docker", tmp_path / "layout"), place("derived")),
    )
    shared = layers_of("derived") & layers_of("derived-docker")
    assert f"layers already present: {len(shared)}; layers needed: 1 " in result.stdout
    ref = "ostree/container/image/oci_3A__2F_var/tmp/derived"
    assert show(bootc_repo, ref).content == golden("derived-docker").merge_content
    verify_state(bootc_repo)


def test_pruning_removes_nothing_that_an_image_needs(bootc_repo: Path) -> None:
    before = refs(bootc_repo)
    bootc_orch("image", "prune-layers", "--repo", bootc_repo)
    assert refs(bootc_repo) == before
    verify_state(bootc_repo)


def test_removing_an_image_takes_only_the_layers_that_no_other_image_has(bootc_repo: Path) -> None:
    before = refs(bootc_repo, "ostree/container/blob")
    bootc_orch("image", "remove", "--repo", bootc_repo, f"oci:{place('derived-multi')}")
    kept = set(golden("base").blobs) | set(golden("derived").blobs)
    assert set(refs(bootc_repo, "ostree/container/blob")) == kept < set(before)
    verify_state(bootc_repo)


@pytest.mark.parametrize("mode", ["bare", "bare-user", "archive"])
def test_an_image_is_copied_whole(bootc_repo: Path, repo: Callable[[str], Path], mode: str) -> None:
    copy = repo(mode)
    bootc_orch(
        *("image", "copy", "--src-repo", bootc_repo, "--dest-repo", copy),
        f"ostree-unverified-image:oci:{place('derived')}",
    )
    merge = golden("derived").image_ref.replace("img", "derived")
    wanted = {*golden("derived").blobs, merge}
    theirs = refs(bootc_repo)
    assert refs(copy) == {ref: theirs[ref] for ref in wanted}
    assert tree(copy, merge) == golden("derived").tree
    verify_state(copy)
