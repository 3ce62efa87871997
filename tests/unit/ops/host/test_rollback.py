"""What a rollback goes to, and how it is brought about with old and new versions of ostree."""

from __future__ import annotations

import socket

import pytest
from support.scripted_ostree import IMAGE, OTHER_IMAGE, origin_of

from bootc_orch.ops.host.rollback import choose_target, rollback
from orch_frame.errors import NotFoundError, OrchError, StoreDamagedError


@pytest.fixture
def updated(machine):
    """A machine that runs version 2, can go back to version 1, and has an older one beside it."""
    first, second = machine.image(1), machine.image(2)
    machine.boot(machine.deploy(second))
    machine.deploy(first, options="root=/dev/vda old")
    return machine


def go_back(machine, told, *, discard_staged=False):
    return rollback(machine.sysroot, told, discard_staged=discard_staged, lock_timeout=0)


def test_the_previous_deployment_boots_next_and_a_second_time_the_running_one(updated, told):
    first = go_back(updated, told)
    assert updated.order() == ["1", "booted 2"]
    assert first == updated.sysroot.deployments().all[0]
    assert updated.note.exists()
    assert go_back(updated, told).booted
    assert updated.order() == ["booted 2", "1"]
    assert not updated.note.exists()
    assert updated.ran("ostree", "admin") == [
        ("set-default", "1"),
        ("set-default", "1"),
    ]
    assert told.events == []


def test_a_rollback_is_written_to_the_journal(updated, told):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(updated.run / "journal"))
        first = go_back(updated, told)
        fields = dict(line.split("=", 1) for line in journal.recv(9999).decode().splitlines())
    assert fields["MESSAGE"] == f"Rollback to {IMAGE} queued"
    assert fields["MESSAGE_ID"] == "26f3b1eb24464d12aa5e7b544a6b5468"
    assert fields["BOOTC_ORCH_CHECKSUM"] == first.checksum


def test_without_a_previous_deployment_there_is_nothing_to_go_back_to(running, told):
    with pytest.raises(NotFoundError, match=r"^There is no rollback deployment\.$"):
        go_back(running, told)
    assert running.ran("ostree", "admin") == []


def test_a_staged_update_is_not_discarded_unasked(updated, told):
    staged = updated.stage(updated.image(3), locked=False)
    with pytest.raises(OrchError) as caught:
        go_back(updated, told)
    assert caught.value.summary == (
        f"The update {staged.name} is staged, and a rollback would discard it."
    )
    assert updated.order() == ["staged 3", "booted 2", "1"]


def test_a_staged_update_is_discarded_on_request_and_the_rollback_found_by_its_name(updated, told):
    updated.stage(updated.image(3), locked=False)
    first = go_back(updated, told, discard_staged=True)
    assert (first, updated.order()) == (updated.sysroot.deployments().all[0], ["1", "booted 2"])
    assert updated.ran("ostree", "admin") == [("undeploy", "0"), ("set-default", "1")]


def test_an_old_ostree_deploys_the_previous_system_once_more_and_keeps_it(updated, told):
    updated.install_ostree("2022.7")
    target = choose_target(updated.sysroot, discard_staged=False)
    first = go_back(updated, told)
    assert (first.checksum, first.serial, first.kargs) == (
        target.checksum,
        1,
        ("root=/dev/vda", "old"),
    )
    assert updated.order() == ["1", "booted 2", "1"]
    assert [kind for kind, _ in told.events] == ["warning"]
    [arguments] = updated.ran("ostree", "admin", "deploy")
    assert arguments[0] == "--os=os"
    assert arguments[2:] == (
        "--no-prune",
        "--retain",
        "--karg-none",
        "--karg-append=root=/dev/vda",
        "--karg-append=old",
        target.checksum,
    )


def test_an_old_ostree_takes_what_is_pending_off_and_keeps_it_as_the_rollback(machine, told):
    machine.install_ostree("2022.7")
    first, second = machine.image(1), machine.image(2)
    machine.deploy(first, options="root=/dev/vda old")
    machine.boot(machine.deploy(second))
    assert go_back(machine, told).booted
    assert machine.order() == ["booted 2", "1"]
    assert [words[0] for words in machine.ran("ostree", "admin")] == ["deploy", "undeploy"]
    assert "--not-as-default" in machine.ran("ostree", "admin", "deploy")[0]
    assert machine.sysroot.deployments().all[1].kargs == ("root=/dev/vda", "old")


@pytest.mark.parametrize(
    ("origin", "verbs"),
    [
        pytest.param(origin_of(IMAGE), ["undeploy"], id="the same image"),
        pytest.param(origin_of(OTHER_IMAGE), ["deploy", "undeploy"], id="another image"),
    ],
)
def test_what_is_pending_is_not_kept_twice(machine, told, origin, verbs):
    machine.install_ostree("2022.7")
    first, second = machine.image(1), machine.image(2)
    machine.deploy(first)
    machine.boot(machine.deploy(second))
    machine.deploy(first, origin=origin)
    go_back(machine, told)
    assert [words[0] for words in machine.ran("ostree", "admin")] == verbs


def test_an_old_ostree_does_not_take_a_pinned_deployment_off_its_place(machine, told):
    machine.install_ostree("2022.7")
    first, second = machine.image(1), machine.image(2)
    pinned = origin_of(IMAGE, "\n[libostree-transient]\npinned=true\n")
    machine.deploy(first, origin=pinned)
    machine.boot(machine.deploy(second))
    with pytest.raises(OrchError, match=r"is pinned\.$") as caught:
        go_back(machine, told)
    assert caught.value.hint == "Unpin it with: bootc-orch unpin 0"
    assert machine.order() == ["1", "booted 2"]


def test_an_ostree_that_reorders_nothing_is_caught(updated, told, monkeypatch):
    monkeypatch.setattr(updated, "_set_default", lambda arguments: None)
    with pytest.raises(StoreDamagedError, match=r"was to boot next, but .* does\.$"):
        go_back(updated, told)
    assert not updated.note.exists()
