"""What a transaction decides, in which order it acts, and that a failure stages nothing."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from support.scripted_ostree import IMAGE, OTHER_IMAGE, origin_of

from bootc_orch.model.host.kargs import KargsEdit
from bootc_orch.ops.deploying.bound import BoundMode, BoundOptions
from bootc_orch.ops.deploying.wanted import Outcome, Wanted
from bootc_orch.ops.host.transaction import TransactionOptions, bound_options, run_transaction
from bootc_orch.ops.opening.pull_plan import PullOptions
from orch_frame.errors import InvalidImageError, NotFoundError, SpaceError, ToolError
from orch_frame.transfer import TransferOptions

WANTED = Wanted(IMAGE, IMAGE)
OFFLINE = TransferOptions(offline=True, lock_timeout=0)
OPTIONS = TransactionOptions(PullOptions(OFFLINE), hooks=())


def transact(machine, told, wanted=WANTED, options=OPTIONS):
    return run_transaction(machine.sysroot, wanted, options, told)


def test_the_image_that_runs_already_is_unchanged_and_nothing_is_deployed(running, told):
    result = transact(running, told)
    assert (result.outcome, result.deployment) == (Outcome.UNCHANGED, None)
    assert (result.image.config.version, result.reference) == ("1", IMAGE)
    assert running.ran("ostree", "admin") == []
    assert told.events == []


def test_a_new_version_is_staged_with_the_kernel_arguments_of_what_runs(running, told):
    new = running.image(2)
    result = transact(running, told)
    staged = running.sysroot.deployments().staged
    assert (result.outcome, result.deployment) == (Outcome.QUEUED, staged)
    assert (staged.checksum, staged.kargs, staged.locked) == (new, ("root=/dev/vda",), False)
    assert staged.origin_path.read_text() == origin_of(IMAGE)
    assert running.order() == ["staged 2", "booted 1"]
    assert told.events == [
        ("step", "deploying"),
        ("step", "cleanup"),
        ("message", "Pruned images: 0 (layers: 1, objsize: 0 bytes)"),
    ]


def test_what_is_staged_is_noted_for_other_programs_and_in_the_journal(running, told):
    commit = running.image(2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(running.run / "journal"))
        result = transact(running, told)
        fields = dict(line.split("=", 1) for line in journal.recv(9999).decode().splitlines())
    digest = str(result.image.manifest_digest)
    assert running.note.read_text() == f"bootc: Reboot required for image: {digest}\n"
    assert fields == {
        "MESSAGE": f"Staged {IMAGE} ({digest})",
        "MESSAGE_ID": "7d9f1b0c6e5a4c0f9a3e2d8b41c05e77",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "bootc-orch",
        "BOOTC_ORCH_CHECKSUM": commit,
        "BOOTC_ORCH_DIGEST": digest,
    }


def test_a_sysroot_that_is_not_running_gets_a_deployment_at_once(machine, told):
    machine.deploy(machine.image(1))
    machine.image(2)
    result = transact(machine, told)
    assert (result.outcome, result.deployment.staged) == (Outcome.QUEUED, False)
    assert machine.order() == ["2", "1"]
    assert not machine.note.exists()


def test_what_is_staged_already_is_left_as_it_is(running, told):
    staged = running.stage(running.image(2), locked=False)
    result = transact(running, told)
    assert (result.outcome, result.deployment) == (Outcome.ALREADY_STAGED, staged)
    assert running.ran("ostree", "admin") == []


def test_a_held_back_update_is_released_by_an_update_to_the_same_image(running, told):
    running.stage(running.image(2), locked=True)
    assert transact(running, told).outcome is Outcome.ALREADY_STAGED
    assert running.ran("ostree", "admin", "lock-finalization") == [("--unlock",)]
    assert running.sysroot.deployments().staged.locked is False
    assert running.note.exists()
    assert told.events == [("message", "The staged update boots next from now on.")]


def test_a_staged_update_is_held_back_where_only_a_download_is_asked_for(running, told):
    running.stage(running.image(2), locked=False)
    transact(running, told, replace(WANTED, download_only=True))
    assert running.ran("ostree", "admin", "lock-finalization") == [()]
    assert running.sysroot.deployments().staged.locked is True
    assert not running.note.exists()
    assert told.events == [("message", "The staged update is held back from now on.")]


def test_an_ostree_that_cannot_hold_back_says_so_and_leaves_what_is_staged(running, told):
    running.install_ostree("2022.7")
    running.stage(running.image(2), locked=False)
    transact(running, told, replace(WANTED, download_only=True))
    assert running.ran("ostree", "admin", "lock-finalization") == []
    [(kind, text)] = told.events
    assert kind == "warning"
    assert text.startswith("This version of ostree cannot hold back what is staged already")


def test_a_download_is_staged_and_held_back(running, told):
    running.image(2)
    result = transact(running, told, replace(WANTED, download_only=True))
    assert result.outcome is Outcome.QUEUED
    assert running.sysroot.deployments().staged.locked is True
    assert not running.note.exists()


def test_where_ostree_cannot_hold_back_a_download_is_only_stored(running, told):
    running.install_ostree("2022.7")
    running.image(2)
    result = transact(running, told, replace(WANTED, download_only=True))
    assert (result.outcome, result.deployment) == (Outcome.DOWNLOADED, None)
    assert running.order() == ["booted 1"]
    assert running.ran("ostree", "admin") == []


def test_what_was_downloaded_is_deployed_without_asking_its_source(running, told):
    running.image(2)
    online = replace(OPTIONS, pull=PullOptions(replace(OFFLINE, offline=False)))
    result = transact(running, told, replace(WANTED, from_downloaded=True), online)
    assert result.outcome is Outcome.QUEUED
    assert running.order() == ["staged 2", "booted 1"]


@pytest.mark.parametrize(
    ("wanted", "kargs"),
    [
        pytest.param(replace(WANTED, force=True), ("root=/dev/vda",), id="force"),
        pytest.param(
            replace(WANTED, kargs=KargsEdit(append=("quiet",))),
            ("root=/dev/vda", "quiet"),
            id="kernel-arguments",
        ),
    ],
)
def test_the_same_image_is_deployed_again_if_that_is_wanted(running, told, wanted, kargs):
    assert transact(running, told, wanted).outcome is Outcome.QUEUED
    staged = running.sysroot.deployments().staged
    assert (staged.serial, staged.kargs) == (1, kargs)


def test_another_image_is_followed_from_now_on_even_if_it_is_the_same_commit(running, told):
    running.image(1, follow=OTHER_IMAGE)
    result = transact(running, told, Wanted(OTHER_IMAGE, OTHER_IMAGE))
    assert result.outcome is Outcome.QUEUED
    assert running.sysroot.deployments().staged.image == OTHER_IMAGE


def nothing_was_staged(machine):
    return machine.order() == ["booted 1"] and machine.ran("ostree", "admin") == []


def test_an_image_that_is_not_stored_stages_nothing_where_none_may_be_fetched(running, told):
    wanted = Wanted(OTHER_IMAGE, OTHER_IMAGE)
    with pytest.raises(NotFoundError) as caught:
        transact(running, told, wanted)
    assert caught.value.summary == f"{OTHER_IMAGE.image} is not stored."
    assert caught.value.image == str(OTHER_IMAGE.image)
    assert nothing_was_staged(running)


@pytest.mark.root
def test_without_the_program_that_fetches_layers_nothing_is_staged(running, told):
    online = replace(OPTIONS, pull=PullOptions(replace(OFFLINE, offline=False)))
    with pytest.raises(ToolError, match="skopeo is not installed"):
        transact(running, told, options=online)
    assert nothing_was_staged(running)
    assert told.events == [("step", "opening")]


def test_an_image_that_claims_not_to_be_a_system_is_refused(running, told):
    running.world.made.image("ostree/container/image/docker_3A__2F__2F_quay_2E_io/plain", ["x"])
    plain = replace(IMAGE, image=replace(IMAGE.image, name="quay.io/plain"))
    with pytest.raises(InvalidImageError, match="no label that says that it is a bootable system"):
        transact(running, told, Wanted(plain, plain))
    assert nothing_was_staged(running)


def test_an_image_without_a_kernel_is_refused_before_it_is_staged(running, told):
    running.image(2, tree={"usr": {"lib": {}}})
    with pytest.raises(InvalidImageError, match="0 kernels"):
        transact(running, told)
    assert nothing_was_staged(running)


def test_a_composefs_that_ostree_does_not_know_is_refused_before_it_is_staged(running, told):
    running.install_ostree("2022.7")
    conf = {"prepare-root.conf": b"[composefs]\nenabled = true\n"}
    kernel = {"modules": {"6.1.0": {"vmlinuz": b"k", "initramfs.img": b"i"}}}
    running.image(2, tree={"usr": {"lib": {**kernel, "ostree": conf}}})
    with pytest.raises(ToolError, match=r"ostree 2022\.7 is too old for an image whose root"):
        transact(running, told)
    assert nothing_was_staged(running)


def test_a_deployment_that_does_not_fit_leaves_what_boots_and_says_what_to_do(running, told):
    running.image(2)
    running.failing["ostree", "admin", "deploy"] = (1, "error: No space left on device")
    with pytest.raises(SpaceError) as caught:
        transact(running, told)
    assert caught.value.summary == f"There is no space left to deploy in {running.root}."
    assert running.order() == ["booted 1"]
    assert not running.note.exists()


def test_a_failed_cleanup_is_reported_and_the_update_stays_staged(running, told):
    running.image(2)
    running.failing["ostree", "admin", "cleanup"] = (1, "error: fsync: Input/output error")
    assert transact(running, told).outcome is Outcome.QUEUED
    assert running.order() == ["staged 2", "booted 1"]
    kind, text = told.events[-1]
    assert kind == "warning"
    assert text.startswith("Not everything could be cleaned up: ostree exited with status 1.\n    ")


def test_app_images_come_anew_or_where_nothing_is_fetched_from_what_is_stored():
    online = replace(OPTIONS, pull=PullOptions(replace(OFFLINE, offline=False)))
    assert bound_options(WANTED, online) == BoundOptions(transfer=online.transfer)
    assert bound_options(WANTED, OPTIONS) == BoundOptions(transfer=OFFLINE)
    downloaded = replace(WANTED, from_downloaded=True)
    assert bound_options(downloaded, online) == BoundOptions(transfer=OFFLINE)
    skipped = replace(online, bound_mode=BoundMode.SKIP, bound_host_files=True)
    assert bound_options(downloaded, skipped) == BoundOptions(
        BoundMode.SKIP, OFFLINE, host_files=True
    )
