"""The command ``status``, run in process on a machine in files."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from bootc_orch.cli.host.status import app
from bootc_orch.model.host.document import canonical_json
from bootc_orch.ops.host.status import only_booted, read_host
from orch_frame import output


@pytest.fixture
def status(machine):
    """Run the command on the machine; return what it printed and its exit status."""

    def run(*argv):
        output.reset()
        result = CliRunner().invoke(app, [*argv, "--sysroot", str(machine.root)])
        return result.stdout, result.exit_code

    return run


@pytest.fixture
def updated(machine):
    """A machine that runs one version and has another one staged."""
    machine.boot(machine.deploy(machine.image(1)))
    machine.stage(machine.image(2), locked=False)
    return machine


@pytest.mark.parametrize("argv", [("--json",), ("--format", "json")])
def test_programs_get_bootcs_document_in_one_line(updated, status, argv):
    host = read_host(updated.sysroot)
    assert status(*argv) == (f"{canonical_json(host.to_json())}\n", 0)


def test_off_a_terminal_the_document_is_yaml(updated, status):
    text, code = status()
    assert (yaml.safe_load(text), code) == (read_host(updated.sysroot).to_json(), 0)


def test_people_get_a_block_for_each_deployment(updated, status):
    text, _ = status("--format", "humanreadable")
    titles = [line for line in text.splitlines() if line.endswith("quay.io/test/os:1")]
    assert titles == ["  Staged image: quay.io/test/os:1", "● Booted image: quay.io/test/os:1"]


def test_only_what_runs_is_shown_on_request(updated, status):
    text, _ = status("--json", "--booted")
    assert json.loads(text) == only_booted(read_host(updated.sysroot)).to_json()


def test_a_pending_update_is_told_by_the_status_on_request(updated, status):
    assert status("--pending-exit-77")[1] == 77
    staged = updated.sysroot.deployments().staged
    updated.stage(staged.checksum, locked=True)
    assert status("--pending-exit-77")[1] == 0


def test_a_directory_that_is_no_system_has_an_empty_document(status, machine, tmp_path):
    (machine.root / "ostree/repo").rename(tmp_path / "gone")
    text, code = status("--json")
    assert (json.loads(text)["status"]["booted"], code) == (None, 0)
