"""Whoever is not root gets the same tree: owners and modes are kept beside the files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.cli import UNPRIVILEGED, bootc_orch
from support.images import DEBIAN_IMAGES, golden, layout_of, small_images
from support.ostree import init_repo, refs, show, verify_state

pytestmark = pytest.mark.root  # to become somebody else

NOBODY = 65534
IMAGES = (
    *(name for name in small_images() if name != "derived-multimember-gzip"),
    *(pytest.param(name, marks=pytest.mark.debian_images) for name in DEBIAN_IMAGES[-1:]),
)


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory for nobody; those that pytest makes are closed to all but root."""
    with TemporaryDirectory(prefix="nobody-") as path:
        yield Path(path)


@pytest.mark.parametrize("mode", ["bare-user", "archive"])
@pytest.mark.parametrize("name", IMAGES)
def test_nobody_pulls_the_golden_tree(name: str, mode: str, home: Path, tmp_path: Path) -> None:
    repo = init_repo(home / "repo", mode)
    for path in (home, repo, *repo.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    layout = layout_of(name, tmp_path / "layout")
    bootc_orch(
        *("image", "pull", "--repo", repo, "--var-content=keep"),
        f"ostree-unverified-image:oci:{layout}",
        prefix=UNPRIVILEGED,
        env={"HOME": str(home)},
    )
    (merge,) = refs(repo, "ostree/container/image")
    assert show(repo, merge).content == golden(name).merge_content
    assert {ref: show(repo, ref).content for ref in refs(repo, "ostree/container/blob")} == {
        ref: blob["content"] for ref, blob in golden(name).blobs.items()
    }
    assert {path.stat().st_uid for path in repo.rglob("*") if not path.is_symlink()} == {NOBODY}
    verify_state(repo)
