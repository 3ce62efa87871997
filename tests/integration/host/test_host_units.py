"""The units and examples in ``contrib`` do what they say."""

from __future__ import annotations

import json
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


# What `systemd-analyze security` gives each of them at most, of 10; without any limits it is 9.6.
EXPOSURE = {
    CONTRIB / "systemd/bootc-orch-status.service": 2.0,
    CONTRIB / "systemd/bootc-orch-update.service": 6.2,
    CONTRIB / "bound-images/bound-images.service": 6.0,
}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", EXPOSURE, ids=lambda path: path.name)
def test_a_unit_is_allowed_no_more_than_it_needs(unit, tmp_path):
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/usr/bin/bootc-orch", str(PROGRAM)))
    threshold = round(EXPOSURE[unit] * 10)
    done = subprocess.run(
        [
            "systemd-analyze", "security", "--offline=true", "--no-pager",
            f"--threshold={threshold}", copy,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", EXPOSURE, ids=lambda path: path.name)
def test_what_a_unit_is_allowed_has_its_reason(unit):
    text = unit.read_text()
    assert "# Left open: " in text
    exempt = {"MemoryDenyWriteExecute", "ProtectKernelModules"}
    exempt |= {"NoNewPrivileges", "ProtectSystem", "RestrictNamespaces", "RestrictSUIDSGID"}
    unset = {key for key in exempt if f"\n{key}=" not in text}
    assert [key for key in sorted(unset) if key not in text] == []


def test_the_example_configuration_is_valid():
    config = Config.parse((CONTRIB / "config/config.yaml").read_text(), source="config.yaml")
    assert config.policy == "stage"


def privileges_of(unit: Path) -> list[str]:
    """Return what starts a program with the capabilities of *unit*, and no others."""
    lines = unit.read_text().splitlines()
    found = [line.partition("=")[2] for line in lines if line.startswith("CapabilityBoundingSet=")]
    names = [name.removeprefix("CAP_").lower() for name in " ".join(found).split()]
    return ["setpriv", f"--bounding-set=-all,{','.join(f'+{name}' for name in names)}"]


@pytest.mark.root
def test_the_status_is_told_with_the_privileges_of_its_unit(tmp_path):
    system = System.installed(tmp_path / "sysroot", make_os(tmp_path / "os", 1))
    try:
        unit = CONTRIB / "systemd/bootc-orch-status.service"
        argv = [*privileges_of(unit), PROGRAM, "status", "--json", "--sysroot", system.path]
        told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        assert json.loads(told) == system.status()
    finally:
        system.release()


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
            [
                *privileges_of(CONTRIB / "systemd/bootc-orch-update.service"),
                PROGRAM, "--config", config, "auto-update", "--sysroot", system.path,
            ],
            check=True,
        )  # fmt: skip
        assert system.versions() == versions
    finally:
        system.release()
