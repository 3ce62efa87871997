"""What the tools of util-linux and of the host are asked, and what their answers mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootc_orch.tools.filesystem import filesystem_uuid, finalize
from bootc_orch.tools.immutable import is_immutable, set_immutable
from bootc_orch.tools.systemd import forget_reboot, note_reboot, reboot
from orch_frame.errors import NotFoundError

MOUNT = Path("/mnt/root")


def test_a_filesystem_is_named_by_the_last_one_mounted_there(machine, monkeypatch):
    monkeypatch.setattr(machine, "_carry_out", lambda command: "AAAA\n  BBBB \n")
    assert filesystem_uuid(MOUNT) == "BBBB"
    assert machine.commands == [
        ("findmnt", "--noheadings", "--output=UUID", "--mountpoint", "/mnt/root")
    ]


def test_a_filesystem_without_a_name_and_a_place_without_one_are_told_apart(machine, monkeypatch):
    monkeypatch.setattr(machine, "_carry_out", lambda command: "\n")
    with pytest.raises(NotFoundError, match=r"^The filesystem at /mnt/root has no UUID\.$"):
        filesystem_uuid(MOUNT)
    machine.failing["findmnt",] = (1, "")
    with pytest.raises(NotFoundError) as caught:
        filesystem_uuid(MOUNT)
    assert caught.value.summary == "Nothing is mounted at /mnt/root."
    assert "--root-mount-spec" in caught.value.hint


def test_where_nothing_is_mounted_nothing_is_finished(machine, tmp_path):
    finalize(tmp_path)
    assert machine.commands == []


def test_a_filesystem_without_flags_has_no_immutable_directory():
    set_immutable(Path("/proc"), immutable=True)
    assert is_immutable(Path("/proc")) is False


def test_a_link_to_a_directory_has_no_flags_of_its_own(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="link"):
        is_immutable(tmp_path / "link")


def test_a_reboot_is_asked_for_and_not_waited_for(machine):
    reboot()
    assert machine.commands == [("systemctl", "--no-block", "reboot")]


def test_a_note_that_cannot_be_written_or_removed_is_a_warning(machine, caplog):
    machine.note.mkdir()
    note_reboot("sha256:1")
    forget_reboot()
    assert caplog.messages == [
        f"{machine.note} cannot be written: Is a directory",
        f"{machine.note} cannot be removed: Is a directory",
    ]
