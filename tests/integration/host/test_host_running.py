"""Host commands on a machine that runs from a sysroot: what is staged, pending, gone back to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from support.cli import UNPRIVILEGED
from support.host import HOST_SCHEMA, Machine, MakeOs, System, make_os

from bootc_orch.tools.ostree.admin import LOCKING_SINCE
from bootc_orch.tools.ostree.repo import ostree_version

pytestmark = pytest.mark.root


@pytest.fixture
def machine(tmp_path: Path, os_image: MakeOs) -> Iterator[Machine]:
    """A machine that runs version 1."""
    system = System.installed(tmp_path / "sysroot", os_image(), "--karg", "quiet")
    yield Machine(system, tmp_path / "machine")
    system.release()


@pytest.fixture
def updated(machine: Machine, os_image: MakeOs) -> Machine:
    """A machine that runs version 2 and has version 1 to go back to."""
    machine.switch(os_image(2))
    machine.reboot()
    assert machine.parts() == {"booted": "2", "rollback": "1"}
    return machine


def reboot_note(machine: Machine) -> str | None:
    path = machine.run_directory / "reboot-required"
    return path.read_text() if path.exists() else None


def test_an_update_is_staged_noted_and_boots(machine, os_image):
    machine.switch(os_image(2))
    assert machine.parts() == {"staged": "2", "booted": "1"}
    staged = machine.status()["status"]["staged"]
    expected = f"bootc: Reboot required for image: {staged['image']['imageDigest']}\n"
    assert reboot_note(machine) == expected
    assert machine.run("status", "--pending-exit-77", status=77).stdout
    jsonschema.Draft202012Validator(HOST_SCHEMA).validate(machine.status())
    machine.reboot()
    assert machine.parts() == {"booted": "2", "rollback": "1"}
    machine.run("status", "--pending-exit-77")
    machine.system.check()


def test_status_needs_no_privileges_while_an_update_is_staged(machine, os_image):
    machine.switch(os_image(2))
    found = machine.run("status", "--json", prefix=UNPRIVILEGED)
    assert (found.json, found.stderr) == (machine.status(), "")


def test_a_queued_rollback_can_be_taken_back_and_queued_again(updated):
    for _ in range(2):
        assert "Next boot: rollback deployment" in updated.run("rollback").lines
        assert updated.status()["status"]["rollbackQueued"] is True
        assert updated.status()["spec"]["bootOrder"] == "rollback"
        assert reboot_note(updated)
        updated.run("status", "--pending-exit-77", status=77)
        assert "Next boot: current deployment" in updated.run("rollback").lines
        assert updated.status()["status"]["rollbackQueued"] is False
        assert updated.parts() == {"booted": "2", "rollback": "1"}
        assert reboot_note(updated) is None
    updated.run("rollback")
    updated.reboot()
    assert updated.parts()["booted"] == "1"
    assert updated.parts()["rollback"] == "2"
    updated.system.check()


def test_what_is_first_by_another_tool_is_kept_when_it_is_put_off(updated):
    """Without ``set-default`` it has to be deployed once more, behind what is running."""
    old = updated.status()["status"]["rollback"]
    commit = old["ostree"]["checksum"]
    origin = next(updated.system.path.glob(f"ostree/deploy/*/deploy/{commit}.*.origin"))
    subprocess.run(
        [*updated.enter, "ostree", "admin", "deploy", "--os=default",
         f"--origin-file=/sysroot/{origin.relative_to(updated.system.path)}", commit],
        check=True,
        capture_output=True,
    )  # fmt: skip
    assert updated.status()["status"]["rollbackQueued"] is True
    updated.run("rollback")
    assert updated.parts() == {"booted": "2", "rollback": "1"}
    updated.system.check()


def test_a_staged_update_is_only_dropped_by_a_rollback_when_that_is_asked_for(updated, os_image):
    updated.switch(os_image(3))
    refused = updated.run("rollback", status=1)
    assert "--discard-staged" in refused.stderr
    assert updated.parts() == {"staged": "3", "booted": "2", "rollback": "1"}
    updated.run("rollback", "--discard-staged")
    assert updated.status()["status"]["staged"] is None
    assert updated.status()["status"]["rollbackQueued"] is True


def test_removing_what_is_pending_takes_the_note_of_the_reboot_back(updated, os_image):
    updated.switch(os_image(3))
    [removed] = updated.run("cleanup", "--pending", "--json").json["removed"]
    assert removed
    assert updated.parts() == {"booted": "2", "rollback": "1"}
    assert reboot_note(updated) is None
    assert "Nothing is pending" in updated.run("cleanup", "--pending", status=66).stderr


def test_a_deployment_is_pinned_by_its_part_or_name(updated, os_image):
    assert "names no deployment" in updated.run("pin", "pending", status=66).stderr
    ostree = updated.status()["status"]["rollback"]["ostree"]
    name = f"{ostree['checksum']}.{ostree['deploySerial']}"
    pinned = updated.run("pin", "rollback", "--json").json["deployment"]
    assert pinned == {"name": name, "pinned": True, "changed": True}
    assert updated.run("pin", name, "--json").json["deployment"]["changed"] is False
    assert "is pinned" in updated.run("cleanup", "--rollback", status=1).stderr
    updated.switch(os_image(3))
    assert "before it is written out" in updated.run("pin", "pending", status=1).stderr
    updated.reboot()
    assert updated.parts() == {"booted": "3", "rollback": "2", "other0": "1"}


def test_kernel_arguments_are_changed_in_what_is_staged(machine, os_image):
    machine.switch(os_image(2))
    changed = machine.run(
        "kargs", "--append", "one=1", "--replace", "root=LABEL=new", "--json"
    ).json
    assert changed["kargs"] == ["root=LABEL=new", "rw", "quiet", "one=1"]
    assert changed["changed"] is True
    assert machine.parts() == {"staged": "2", "booted": "1"}
    missing = machine.run("kargs", "--delete", "nowhere", "--json")
    assert "nowhere is not among the kernel arguments" in missing.stderr
    assert (missing.json["changed"], missing.json["deployment"]) == (False, None)
    machine.reboot()
    assert "root=LABEL=new rw quiet one=1 ostree=" in machine.system.boot_entries()[0]


def test_a_change_of_kernel_arguments_alone_is_due_at_the_next_boot(machine):
    machine.run("kargs", "--append", "one=1")
    assert reboot_note(machine)
    machine.run("status", "--pending-exit-77", status=77)


def test_downloading_only_lets_the_running_system_boot_again(machine, os_image):
    layout = Path(machine.status()["status"]["booted"]["image"]["image"]["image"])
    layout.rename(layout.with_name("old"))
    make_os(layout, 2)
    machine.run("upgrade", "--download-only")
    machine.run("status", "--pending-exit-77")
    assert reboot_note(machine) is None
    staged = machine.status()["status"]["staged"]
    if ostree_version() < LOCKING_SINCE:
        assert staged is None
    else:
        assert staged["downloadOnly"] is True
    layout.rename(layout.with_name("gone"))
    machine.run("upgrade", "--from-downloaded")
    assert machine.parts() == {"staged": "2", "booted": "1"}
    assert machine.status()["status"]["staged"]["downloadOnly"] is False
    assert reboot_note(machine)


def test_what_is_staged_already_is_held_back_or_that_is_said_to_be_impossible(machine, os_image):
    layout = Path(machine.status()["status"]["booted"]["image"]["image"]["image"])
    layout.rename(layout.with_name("old"))
    make_os(layout, 2)
    machine.run("upgrade")
    held = machine.run("upgrade", "--download-only")
    locked = machine.status()["status"]["staged"]["downloadOnly"]
    assert locked is (ostree_version() >= LOCKING_SINCE)
    assert ("cannot hold back" in held.stderr) is not locked
    assert (reboot_note(machine) is None) is locked


def test_a_machine_reboots_only_into_its_own_sysroot(machine, os_image):
    image = os_image(2)
    for argv in (
        ("switch", "--transport", "oci", image.partition(":")[2], "--apply"),
        ("upgrade", "--apply"),
        ("rollback", "--apply"),
        ("auto-update", "--policy", "apply"),
    ):
        refused = machine.system.run(*argv, status=2)
        assert "does not run from" in refused.stderr
    assert machine.parts() == {"booted": "1"}
    assert machine.systemctl() == []
    assert "Rebooting system" in machine.switch(image, "--apply").lines
    assert machine.systemctl()[-1] == "--no-block reboot"


def test_a_new_stateroot_finds_the_root_of_the_one_that_runs(machine, os_image):
    subprocess.run(
        ["ostree", "admin", "os-init", f"--sysroot={machine.system.path}", "other"], check=True
    )
    image = os_image(2).partition(":")[2]
    machine.run("deploy", "--stateroot", "other", "--image", image, "--transport", "oci")
    assert machine.run("kargs").lines == ["root=LABEL=root rw"]
    machine.reboot()
    assert machine.parts() == {"booted": "2", "other0": "1"}


def test_another_stateroot_that_boots_next_is_pending(machine, os_image):
    subprocess.run(
        ["ostree", "admin", "os-init", f"--sysroot={machine.system.path}", "other"], check=True
    )
    machine.system.run(
        "deploy", "--imgref", f"ostree-unverified-image:{os_image(2)}", "--stateroot", "other"
    )
    status = machine.status()["status"]
    assert (status["rollbackQueued"], status["rollback"]) == (False, None)
    assert machine.parts() == {"booted": "1", "other0": "2"}
    shown = machine.run("status", "--pending-exit-77", "--format", "humanreadable", status=77)
    assert "boots next" in shown.stdout


class Document:
    """The document of a machine in a file, to be edited."""

    def __init__(self, machine: Machine, path: Path) -> None:
        self.machine = machine
        self.path = path
        self.path.write_text(machine.run("status", "--format", "yaml").stdout)

    def edit(self, old: str, new: str, *argv: str, status: int = 0):
        text = self.path.read_text()
        assert old in text
        self.path.write_text(text.replace(old, new))
        return self.machine.run("edit", "--filename", self.path, *argv, status=status)


def test_an_edited_boot_order_is_carried_out_and_told(updated, tmp_path):
    document = Document(updated, tmp_path / "host.yaml")
    assert document.edit("", "").lines == ["Edit cancelled, no changes made."]
    queued = document.edit("bootOrder: default", "bootOrder: rollback", "--json")
    assert queued.json["rollback"]["queued"] is True
    assert updated.status()["spec"]["bootOrder"] == "rollback"
    back = document.edit("bootOrder: rollback", "bootOrder: default")
    assert "Next boot: current deployment" in back.lines
    assert updated.parts() == {"booted": "2", "rollback": "1"}


def test_an_edited_image_is_staged(updated, tmp_path, os_image):
    document = Document(updated, tmp_path / "host.yaml")
    old = updated.status()["spec"]["image"]["image"]
    text = document.path.read_text().partition("status:")[0]
    document.path.write_text(text)
    done = document.edit(old, os_image(3).partition(":")[2])
    assert any(line.startswith("Queued for next boot:") for line in done.lines)
    assert updated.parts() == {"staged": "3", "booted": "2", "rollback": "1"}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        pytest.param("bootOrder: default", "bootOrder: last", "default or rollback", id="order"),
        pytest.param("kind: BootcHost", "kind: Other", "not a BootcHost", id="kind"),
        pytest.param("spec:", "spec: [", "no YAML", id="yaml"),
        pytest.param(
            "transport: oci\n  boot", "transport: ftp\n  boot", "transport", id="transport"
        ),
    ],
)
def test_an_edit_that_cannot_be_meant_changes_nothing(updated, tmp_path, old, new, complaint):
    refused = Document(updated, tmp_path / "host.yaml").edit(old, new, status=2)
    assert complaint in refused.stderr
    assert updated.parts() == {"booted": "2", "rollback": "1"}


def test_usr_can_be_made_writable_until_the_next_boot(machine):
    made = machine.run("usr-overlay", "--read-only", "--json").json
    assert made["usr_overlay"] == {"read_only": True}
    assert machine.status()["status"]["usrOverlay"] == {
        "accessMode": "readOnly",
        "persistence": "transient",
    }
    assert "has an overlay already" in machine.run("usr-overlay", status=1).stderr


def test_a_staged_deployment_that_cannot_be_read_is_named(machine):
    (machine.run_directory / "ostree").mkdir()
    (machine.run_directory / "ostree/staged-deployment").write_bytes(b"garbage")
    shown = machine.run("status", "--json")
    assert shown.json["status"]["booted"]["image"]["version"] == "1"
    assert "staged-deployment cannot be understood" in shown.stderr
    assert "hint:" in machine.run("kargs", "--append", "a=b", status=65).stderr
