"""Several processes on one repository: all succeed, and nothing that lives is lost."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.cli import PROGRAM, bootc_orch
from support.ostree import refs, verify_state

pytestmark = pytest.mark.root


def together(commands: Sequence[Sequence[str | Path]]) -> list[str]:
    """Start all *commands* at once, and return what each wrote to standard error."""
    processes = [
        subprocess.Popen(
            [PROGRAM, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for argv in commands
    ]
    ended = [(process.communicate(timeout=300), process.returncode) for process in processes]
    assert [status for _, status in ended] == [0] * len(ended), ended
    return [stderr for (_, stderr), _ in ended]


def pull_of(repo: Path, layout: Path) -> list[str | Path]:
    return ["image", "pull", "--quiet", "--repo", repo, f"ostree-unverified-image:oci:{layout}"]


def test_eight_pulls_of_one_image_end_in_one_commit_k01(repo, oci_layout_of):
    target, layout = repo("bare"), oci_layout_of("derived")
    together([pull_of(target, layout)] * 8)
    assert len(refs(target)) == 11
    verify_state(target)


def test_pulls_of_images_that_share_layers_do_not_disturb_each_other_k02(repo, oci_layout_of):
    target = repo("bare")
    names = ("base", "derived", "derived-multi", "plain")
    together([pull_of(target, oci_layout_of(name)) for name in names])
    assert len(bootc_orch("image", "list", "--repo", target).lines) == 4
    verify_state(target)


def test_no_live_layer_is_pruned_while_pulls_and_removals_go_on_k03(repo, oci_layout_of):
    target = repo("bare")
    layouts = {name: oci_layout_of(name) for name in ("derived", "derived-multi", "plain")}
    stop = threading.Event()
    failures: list[str] = []

    def disturb(*argv: str | Path) -> None:
        while not stop.is_set():
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                failures.append(done.stderr)
            time.sleep(0.05)

    disturbers = [
        threading.Thread(target=disturb, args=(PROGRAM, "gc", "--repo", target)),
        threading.Thread(
            target=disturb,
            args=("ostree", "prune", f"--repo={target}", "--refs-only", "--depth=0"),
        ),
    ]
    for thread in disturbers:
        thread.start()
    try:
        for _ in range(4):
            together([pull_of(target, layout) for layout in layouts.values()])
            plain = f"oci:{layouts['plain']}"
            bootc_orch("image", "remove", "--repo", target, plain)
    finally:
        stop.set()
        for thread in disturbers:
            thread.join()
    assert failures == []
    assert len(bootc_orch("image", "list", "--repo", target).lines) == 2
    verify_state(target)


def test_an_image_under_another_name_is_not_fetched_again_k10(repo, oci_layout_of, tmp_path):
    target, layout = repo("bare"), oci_layout_of("derived")
    bootc_orch(*pull_of(target, layout))
    (tmp_path / "other").symlink_to(layout)
    plan = bootc_orch(*pull_of(target, tmp_path / "other"), "--plan", "--json").json["plan"]
    assert (plan["present"], plan["fetch"]) == (10, [])
