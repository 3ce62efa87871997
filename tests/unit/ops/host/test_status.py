"""The status of a sysroot, of its deployments and of what their commits record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.handmade import digest_named
from support.scripted_ostree import IMAGE, OTHER_IMAGE, origin_of

from bootc_orch.model.host.document import (
    BootOrder,
    EntryStatus,
    Host,
    HostSpec,
    ImageStatus,
    UsrOverlay,
)
from bootc_orch.ops.host.status import is_ostree_system, only_booted, read_host, unbooted_host
from bootc_orch.ops.opening.open_image import go_architecture
from bootc_orch.ops.stored.notes import write_cached_update
from bootc_orch.ops.stored.store import CachedUpdate, commit_state
from bound_images import default_lock
from orch_frame.errors import NotFoundError

CREATED = "2025-01-02T03:04:05Z"


def image_status(number, reference=IMAGE, timestamp=CREATED):
    name = reference.image.name
    digest = digest_named(f"manifest base {name} layer {number} {name}")
    return ImageStatus(reference, str(digest), go_architecture(), str(number), timestamp)


def entry(deployment, image, **more):
    return EntryStatus(deployment.checksum, deployment.serial, "os", image, **more)


def test_a_running_machine_tells_what_is_staged_running_and_to_go_back_to(machine):
    one, two, three = (machine.image(number) for number in (1, 2, 3))
    booted = machine.deploy(two)
    rollback = machine.deploy(one)
    other = machine.deploy(one, stateroot="elsewhere")
    machine.boot(booted)
    staged = machine.stage(three, origin=origin_of(OTHER_IMAGE), locked=True)
    assert read_host(machine.sysroot) == Host(
        HostSpec(OTHER_IMAGE, BootOrder.DEFAULT),
        staged=entry(staged, replace(image_status(3), image=OTHER_IMAGE), download_only=True),
        booted=entry(booted, image_status(2)),
        rollback=entry(rollback, image_status(1)),
        others=(replace(entry(other, image_status(1)), stateroot="elsewhere"),),
    )


def test_what_boots_next_instead_of_what_runs_is_told(machine):
    first = machine.deploy(machine.image(1))
    machine.boot(machine.deploy(machine.image(2)))
    host = read_host(machine.sysroot)
    assert (host.rollback_queued, host.spec.boot_order) == (True, BootOrder.ROLLBACK)
    assert host.next_boot == first.name
    assert host.spec.image == IMAGE


def test_a_sysroot_that_does_not_run_has_only_other_deployments(machine):
    made = machine.deploy(machine.image(1))
    assert read_host(machine.sysroot) == Host(HostSpec(), others=(entry(made, image_status(1)),))


def test_what_a_check_found_is_told_with_the_image_that_was_looked_at(running):
    newer = commit_state(running.repo, running.image(2))
    booted = running.sysroot.deployments().booted
    update = CachedUpdate(newer.manifest_digest, newer.manifest, newer.config)
    write_cached_update(running.repo, booted.checksum, update)
    assert read_host(running.sysroot).booted == entry(
        booted, image_status(1), cached_update=image_status(2)
    )


@pytest.mark.parametrize(
    ("origin", "more"),
    [
        pytest.param(
            "[origin]\nrefspec=debian:stable\n", {"refspec": "debian:stable"}, id="branch"
        ),
        pytest.param("[origin]\nunlocked=hotfix\n", {}, id="nothing"),
        pytest.param(
            origin_of(IMAGE, "\n[packages]\nrequested=vim;\n"), {"incompatible": True}, id="layered"
        ),
    ],
)
def test_what_follows_no_image_alone_is_told_as_what_it_is(machine, origin, more):
    made = machine.deploy(machine.image(1), origin=origin)
    assert read_host(machine.sysroot).others == (entry(made, None, **more),)


@pytest.mark.parametrize(
    ("origin", "image", "sentence"),
    [
        pytest.param(
            "[origin]\ncontainer-image-reference=nonsense\n", None, "names no image", id="reference"
        ),
        pytest.param("nonsense", None, "line 1 is not a keyfile line.", id="no keyfile"),
    ],
)
def test_damage_is_left_out_with_a_warning_and_hides_nothing_else(
    machine, caplog, origin, image, sentence
):
    commit = machine.image(1)
    intact = machine.deploy(commit)
    path = machine.deploy(commit).origin_path
    path.write_text(origin)
    found = read_host(machine.sysroot).others
    assert found[0] == entry(intact, image_status(1))
    assert (found[1].serial, found[1].image) == (1, image)
    [warning] = set(caplog.messages)
    assert sentence in warning
    assert str(path) in warning


def test_a_commit_that_is_none_of_an_image_is_warned_of(machine, caplog):
    commit = machine.world.made.commit({"version": b"x"})
    made = machine.deploy(commit)
    assert read_host(machine.sysroot).others == (entry(made, None),)
    assert caplog.messages == [
        f"Deployment {made.name}: Commit {commit} is none of a container image."
    ]


@pytest.mark.parametrize(
    ("labels", "timestamp"),
    [
        pytest.param({}, CREATED, id="config"),
        pytest.param(
            {"org.opencontainers.image.created": "2024-01-01T00:00:00Z"},
            "2024-01-01T00:00:00Z",
            id="label",
        ),
        pytest.param(
            {"org.opencontainers.image.created": "yesterday"}, CREATED, id="label-that-is-no-date"
        ),
    ],
)
def test_the_date_of_an_image_is_that_of_its_label_if_it_is_one(machine, labels, timestamp):
    made = machine.deploy(machine.image(1, labels=labels))
    expected = image_status(1, timestamp=timestamp)
    assert read_host(machine.sysroot).others == (entry(made, expected),)


def test_an_overlay_over_usr_is_told(machine):
    origin = origin_of(IMAGE) + "unlocked=hotfix\n"
    machine.boot(machine.deploy(machine.image(1), origin=origin))
    assert read_host(machine.sysroot).usr_overlay == UsrOverlay("readWrite", "persistent")


def test_only_what_runs_is_shown_on_request(machine):
    machine.boot(machine.deploy(machine.image(2)))
    machine.deploy(machine.image(1))
    host = read_host(machine.sysroot)
    assert only_booted(host) == replace(host, rollback=None)


def test_a_directory_without_a_repository_is_no_system(machine, tmp_path):
    assert is_ostree_system(machine.root)
    assert not is_ostree_system(tmp_path)
    assert unbooted_host(tmp_path) == Host(HostSpec())
    with pytest.raises(NotFoundError, match="is no directory"):
        is_ostree_system(tmp_path / "nothing")


def test_a_record_of_app_images_that_cannot_be_read_is_warned_of(running, caplog):
    booted = running.sysroot.deployments().booted
    lock = default_lock(running.sysroot.store_path, booted.name)
    lock.parent.mkdir(parents=True)
    lock.write_text("nonsense")
    assert read_host(running.sysroot).booted.bound_images == ()
    [message] = caplog.messages
    assert message.startswith(f"Deployment {booted.name}: ")
