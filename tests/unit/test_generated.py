"""What is generated from the parser is compared, not trusted, and completion works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_completions_and_manual_page_are_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "contrib/regenerate", "--check"],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("bootc-orch expl", "explain"),
        ("bootc-orch image prune-l", "prune-layers"),
        ("bootc-orch image pull --ostree-d", "--ostree-digestfile"),
    ],
)
def test_bash_is_told_what_comes_next(words, answer):
    done = subprocess.run(
        [sys.executable, "-c", "from bootc_orch.cli.app import main; main()"],
        env={
            **os.environ,
            "_BOOTC_ORCH_COMPLETE": "complete_bash",
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
    assert loaded & {"rich", "yaml", "sh", "tenacity", "bootc_orch.ops.store"} == set()
