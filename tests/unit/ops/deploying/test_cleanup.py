"""What is collected, what is kept, and what may be removed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.handmade import digest_named
from support.scripted_ostree import IMAGE, OTHER_IMAGE, origin_of

from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.deploying.cleanup import (
    collect,
    collect_or_warn,
    find_pending,
    find_rollback,
    remove,
)
from bootc_orch.ops.deploying.pin import find_deployment, pin
from orch_frame.errors import NotFoundError, OrchError

PINNED = origin_of(IMAGE, "\n[libostree-transient]\npinned=true\n")


def images_and_layers(machine):
    refs = machine.repo.refs()
    return sorted(ref for ref in refs if "/image/" in ref), {ref for ref in refs if "/blob/" in ref}


def test_images_that_no_deployment_follows_go_with_their_layers(running, told):
    running.image(1, follow=OTHER_IMAGE)
    collect(running.sysroot, told)
    assert images_and_layers(running) == (
        [image_ref(IMAGE.image)],
        {
            blob_ref(digest_named("base quay.io/test/os:1")),
            blob_ref(digest_named("layer 1 quay.io/test/os:1")),
        },
    )
    assert told.events == [("message", "Pruned images: 1 (layers: 2, objsize: 0 bytes)")]
    assert running.ran("ostree", "admin") == [("cleanup",)]
    assert running.ran("ostree", "prune") == [("--refs-only", "--depth=0")]


def test_where_all_is_needed_nothing_is_said(running, told):
    collect(running.sysroot, told)
    assert told.events == []


def test_the_base_of_a_derived_deployment_gets_a_ref_and_one_of_nothing_goes(machine, told):
    base = machine.image(1)
    derived = machine.world.made.commit({"version": b"d"}, {"bootc.derived": base})
    machine.deploy(derived)
    prefix = "ostree/container/baseimage/bootc"
    machine.world.made.ref(f"{prefix}/7", base)
    collect(machine.sysroot, told)
    assert machine.repo.refs(prefix) == {f"{prefix}/0": base}


def test_a_failure_to_collect_is_a_warning_with_its_evidence(running, told):
    running.failing["ostree", "prune"] = (1, "error: a\nerror: b")
    collect_or_warn(running.sysroot, told)
    [(kind, text)] = told.events
    assert (kind, text.splitlines()[0]) == (
        "warning",
        "Not everything could be cleaned up: ostree exited with status 1.",
    )
    assert text.splitlines()[-2:] == ["    error: a", "    error: b"]


def test_what_is_pending_and_what_can_be_gone_back_to_are_found(machine):
    one, two = machine.image(1), machine.image(2)
    booted = machine.deploy(two)
    rollback = machine.deploy(one)
    machine.boot(booted)
    assert find_rollback(machine.sysroot) == rollback
    with pytest.raises(NotFoundError, match=r"^Nothing is pending\.$"):
        find_pending(machine.sysroot)
    staged = machine.stage(one, locked=True)
    assert find_pending(machine.sysroot) == staged


def test_without_a_second_deployment_there_is_nothing_to_go_back_to(running):
    with pytest.raises(NotFoundError, match=r"^There is no rollback deployment\.$"):
        find_rollback(running.sysroot)


def test_what_is_removed_is_announced_as_not_booting_any_more(running):
    running.note.write_text("bootc: Reboot required for image: sha256:1\n")
    remove(running.sysroot, running.stage(running.image(2), locked=False))
    assert running.order() == ["booted 1"]
    assert not running.note.exists()


def test_a_pinned_deployment_is_not_removed(running):
    pinned = running.deploy(running.image(2), origin=PINNED)
    with pytest.raises(OrchError) as caught:
        remove(running.sysroot, pinned)
    assert caught.value.summary == f"Deployment {pinned.name} is pinned."
    assert caught.value.hint == "Unpin it with: bootc-orch unpin 1"
    assert running.order() == ["booted 1", "2"]


@pytest.fixture
def three(machine):
    """A machine with something staged, something running and something to go back to."""
    one, two, three = (machine.image(number) for number in (1, 2, 3))
    machine.boot(machine.deploy(two))
    machine.deploy(one)
    machine.stage(three, locked=False)
    return machine


@pytest.mark.parametrize(
    ("which", "version"),
    [
        pytest.param("booted", "2", id="booted"),
        pytest.param("pending", "3", id="pending"),
        pytest.param("rollback", "1", id="rollback"),
        pytest.param("0", "3", id="index"),
        pytest.param("2", "1", id="last-index"),
    ],
)
def test_a_deployment_is_named_by_its_part_or_its_place(three, which, version):
    assert (find_deployment(three.sysroot, which).path / "version").read_text() == version


def test_a_deployment_is_named_by_as_much_of_its_checksum_as_is_its_own(three):
    for wanted in three.sysroot.deployments().all:
        for which in (wanted.name, wanted.checksum, wanted.checksum[:12]):
            assert find_deployment(three.sysroot, which) == wanted


def test_two_deployments_of_one_commit_are_told_apart_by_their_numbers(running):
    second = running.deploy(running.sysroot.deployments().booted.checksum)
    with pytest.raises(NotFoundError, match=r"names 2 deployments\.$"):
        find_deployment(running.sysroot, second.checksum)
    assert find_deployment(running.sysroot, f"{second.checksum[:9]}.1") == second


@pytest.mark.parametrize("which", ["9", "rollback", "pending", "0" * 64])
def test_a_name_that_fits_nothing_is_an_error_with_a_hint(running, which):
    with pytest.raises(NotFoundError) as caught:
        find_deployment(running.sysroot, which)
    assert caught.value.summary == f"{which!r} names no deployment."
    assert caught.value.hint == "List them with: bootc-orch status -v"


def test_pinning_tells_whether_it_changed_anything(running):
    before = running.sysroot.deployments().booted
    pin_booted = {"which": "booted", "lock_timeout": 0}
    assert pin(running.sysroot, pinned=True, **pin_booted) == (before, True)
    pinned = running.sysroot.deployments().booted
    assert pinned == replace(before, origin=pinned.origin)
    assert pinned.pinned
    assert pin(running.sysroot, pinned=True, **pin_booted) == (pinned, False)
    assert pin(running.sysroot, pinned=False, **pin_booted) == (pinned, True)
    assert running.ran("ostree", "admin", "pin") == [("0",), ("--unpin", "0")]


def test_what_is_only_staged_cannot_be_pinned_yet(three):
    with pytest.raises(OrchError, match="cannot be pinned before it is written out"):
        pin(three.sysroot, "pending", pinned=True, lock_timeout=0)
    assert three.ran("ostree", "admin", "pin") == []
