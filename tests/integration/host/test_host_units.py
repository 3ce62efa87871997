"""The units and examples in ``contrib`` do what they say."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.cli import PROGRAM
from support.host import System, make_os

from bootc_orch.config import Config

CONTRIB = Path(__file__).parents[3] / "contrib"
UNITS = sorted((CONTRIB / "systemd").iterdir())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_every_unit(tmp_path):
    for unit in UNITS:
        text = unit.read_text().replace("/usr/bin/bootc-orch", str(PROGRAM))
        (tmp_path / unit.name).write_text(text)
    drop_in = tmp_path / "bootc-orch-update.timer.d"
    drop_in.mkdir()
    shutil.copy(CONTRIB / "config/10-maintenance-window.conf", drop_in)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / unit.name for unit in UNITS)],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_configuration_is_valid():
    config = Config.parse((CONTRIB / "config/config.yaml").read_text(), source="config.yaml")
    assert config.policy == "stage"


@pytest.mark.root
@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        pytest.param("check", ["1"], id="check"),
        pytest.param("stage", ["2", "1"], id="stage"),
    ],
)
def test_an_automatic_update_does_what_the_policy_says(tmp_path, policy, versions):
    layout = tmp_path / "os"
    system = System.installed(tmp_path / "sysroot", make_os(layout, 1))
    try:
        layout.rename(tmp_path / "old")
        make_os(layout, 2)
        config = tmp_path / "config.yaml"
        config.write_text(f"policy: {policy}\n")
        subprocess.run(
            [PROGRAM, "--config", config, "auto-update", "--sysroot", system.path], check=True
        )
        assert system.versions() == versions
    finally:
        system.release()
