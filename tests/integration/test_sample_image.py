"""The image that the quick start pulls."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support.cli import bootc_orch
from support.images import FIXTURES
from support.ostree import ostree, refs, show, verify_state

SCRIPT = FIXTURES.parents[1] / "contrib/sample_image.py"


def write_sample(directory: Path) -> Path:
    subprocess.run([sys.executable, SCRIPT, directory], check=True, stdout=subprocess.DEVNULL)
    return directory


def files(layout: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(layout): path.read_bytes() for path in layout.rglob("*") if path.is_file()
    }


def test_it_is_the_same_each_time(tmp_path: Path) -> None:
    assert files(write_sample(tmp_path / "one")) == files(write_sample(tmp_path / "two"))


def test_writing_it_again_over_itself_changes_nothing(tmp_path: Path) -> None:
    before = files(write_sample(tmp_path / "image"))
    assert files(write_sample(tmp_path / "image")) == before


def test_pulled_it_is_a_system_with_its_layers_merged(
    tmp_path: Path, repo: Callable[[str], Path]
) -> None:
    path = repo("bare-user")
    image = f"oci:{write_sample(tmp_path / 'image')}"
    bootc_orch("image", "pull", "--repo", path, f"ostree-unverified-image:{image}")
    (merge,) = refs(path, "ostree/container/image")
    names = ostree("ls", f"--repo={path}", "-R", "--nul-filenames-only", merge).split("\0")
    assert {"/usr/bin/become", "/usr/bin/greet", "/usr/etc/sample.d/50-site.conf"} <= set(names)
    assert {"/usr/share/doc/notes", "/usr/etc/sample.d/10-base.conf"} & set(names) == set()
    assert ostree("cat", f"--repo={path}", merge, "/usr/etc/sample.d/50-site.conf") == (
        "colour = green\n"
    )
    assert show(path, merge).date == "2026-01-01 00:00:00 +0000"
    assert bootc_orch("image", "list", "--repo", path).lines == [image]
    verify_state(path)
