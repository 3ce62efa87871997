"""What is generated from the parser is compared, not trusted, and completion works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def test_completions_and_manual_page_are_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "contrib/regenerate", "--check"],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(
    not shutil.which("man") or not (shutil.which("pandoc") or shutil.which("go-md2man")),
    reason="needs man, and pandoc or go-md2man",
)
@pytest.mark.parametrize("page", ["bootc-orch.8", "bound-images.8"])
@pytest.mark.parametrize("renderer", ["pandoc", "go-md2man"])
def test_manual_pages_render_without_a_warning(page, renderer, tmp_path):
    if not shutil.which(renderer):
        pytest.skip(f"{renderer} is not installed")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "basename", "mkdir", "sed", renderer):
        (tools / tool).symlink_to(shutil.which(tool))
    made = subprocess.run(
        [ROOT / "contrib/render-man", tmp_path],
        env={**os.environ, "PATH": str(tools)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, "")
    shown = subprocess.run(
        ["man", "--warnings", "-l", tmp_path / page],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stderr == ""
    text = re.sub(".\x08", "", shown.stdout)
    assert text.split()[0] == page.replace(".8", "(8)")
    assert "--json" in text
    assert "commands: generated" not in text


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("bound-images expl", "explain"),
        ("bound-images sync --prefer-l", "--prefer-locked"),
        ("bootc-orch expl", "explain"),
        ("bootc-orch image prune-l", "prune-layers"),
        ("bootc-orch image pull --ostree-d", "--ostree-digestfile"),
    ],
)
def test_bash_is_told_what_comes_next(words, answer):
    package = words.split()[0].replace("-", "_")
    done = subprocess.run(
        [sys.executable, "-m", package],
        env={
            **os.environ,
            f"_{package.upper()}_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [answer]


def test_version_is_answered_without_the_heavy_modules():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bootc_orch", "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.stdout.startswith("bootc-orch ")
    assert loaded & {"rich", "yaml", "sh", "tenacity", "bootc_orch.ops.stored.store"} == set()
