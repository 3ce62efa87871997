"""What an installation refuses, decides and leaves, on a root in a directory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.handmade_sysroot import BOOTABLE, HandmadeSysroot
from support.scripted_ostree import IMAGE, OTHER_IMAGE

import bound_images
from bootc_orch.ops.deploying.bound import BoundOptions
from bootc_orch.ops.host.transaction import TransactionOptions
from bootc_orch.ops.installing.install import (
    InstallRequest,
    _add_mount,
    all_kargs,
    check_root,
    host_kargs,
    install,
    prepare_root,
)
from bootc_orch.ops.installing.install_plan import plan_install, preview_install
from bootc_orch.ops.opening.pull_plan import PullOptions
from bootc_orch.ops.stored.new_root import CommitTree
from bound_images import Record, SyncPlan, SyncResult, default_lock
from orch_frame.below import Below
from orch_frame.errors import NotFoundError, UsageError
from orch_frame.transfer import TransferOptions

PULL = PullOptions(TransferOptions(offline=True, lock_timeout=0))
OPTIONS = TransactionOptions(PULL, hooks=())


@pytest.fixture
def request_for(machine):
    """A request for the root of the machine, whose repository an installation has left there."""
    root = machine.root
    return InstallRequest(root, IMAGE, IMAGE, root_spec="LABEL=root", finalize=False)


@pytest.mark.root
def test_a_root_is_made_into_a_sysroot_that_follows_the_target(machine, request_for, told):
    commit = machine.image(1, follow=OTHER_IMAGE)
    wanted = replace(
        request_for, source=OTHER_IMAGE, target=OTHER_IMAGE, kargs=("quiet",), stateroot="new"
    )
    found = install(wanted, PULL, BoundOptions(), told)
    assert (found.image.commit, found.deployment.checksum) == (commit, commit)
    assert found.deployment.image == OTHER_IMAGE
    assert found.deployment.stateroot == "new"
    assert found.deployment.kargs == ("root=LABEL=root", "rw", "quiet")
    assert machine.ran("ostree", "config") == [
        ("set", "sysroot.bootloader", "none"),
        ("set", "sysroot.bootprefix", "true"),
        ("set", "sysroot.readonly", "true"),
    ]
    assert [words[0] for words in machine.ran("ostree", "admin")] == ["os-init", "deploy"]
    assert told.events == [("step", "opening"), ("step", "deploying")]
    assert not (found.deployment.path / "etc/fstab").exists()


@pytest.mark.root
def test_app_images_are_brought_in_before_the_first_deployment_is_made(
    machine, request_for, told, monkeypatch
):
    unit = {"app.container": b"[Container]\nImage=quay.io/app:1\n"}
    lib = {**BOOTABLE["usr"]["lib"], "bootc": {"bound-images.d": unit}}
    commit = machine.image(1, tree={"usr": {"lib": lib}})
    before = []

    def sync(root, store, lock, options, *, progress):
        before.append((machine.order(), sorted(path.name for path in root.path.iterdir())))
        lock.parent.mkdir(parents=True)
        lock.write_text("{}")
        # What another process leaves meanwhile takes the name that was foreseen.
        (machine.root / f"ostree/deploy/default/deploy/{commit}.0").mkdir(parents=True)
        return SyncResult(SyncPlan(()), Record(()))

    monkeypatch.setattr(bound_images, "sync", sync, raising=False)
    found = install(request_for, PULL, BoundOptions(), told)
    assert before == [([], ["usr", "version"])]
    assert found.deployment.name == f"{commit}.1"
    record = default_lock(machine.sysroot.store_path, found.deployment.name)
    assert [(path, path.read_text()) for path in record.parent.iterdir()] == [(record, "{}")]
    assert ("step", "bound_images") in told.events


def test_a_root_that_has_a_deployment_is_refused(machine, request_for, told):
    machine.deploy(machine.image(1))
    with pytest.raises(UsageError) as caught:
        install(request_for, PULL, BoundOptions(), told)
    assert caught.value.summary == f"{machine.root} has a deployment already."
    assert machine.commands == []


@pytest.mark.root
def test_an_image_that_is_not_there_leaves_a_root_that_boots_nothing(machine, request_for, told):
    with pytest.raises(NotFoundError, match="is not stored, and fetching is switched off"):
        install(request_for, PULL, BoundOptions(), told)
    assert machine.order() == []


@pytest.mark.root
def test_an_old_ostree_is_warned_of_where_boot_is_part_of_the_root(machine, request_for, told):
    machine.install_ostree("2022.7")
    machine.image(1)
    install(request_for, PULL, BoundOptions(), told)
    [warning] = [text for kind, text in told.events if kind == "warning"]
    assert warning.startswith("ostree 2022.7 knows no sysroot.bootprefix")


def test_a_new_root_gets_its_repository_and_stateroot_once(machine, tmp_path, monkeypatch):
    root = tmp_path / "fresh"
    root.mkdir()
    answer = machine._carry_out

    def make(command):
        if command[:3] == ("ostree", "admin", "init-fs"):
            HandmadeSysroot(root)
        elif "os-init" in command:
            (root / "ostree/deploy" / command[-1]).mkdir()
        else:
            return answer(command)
        return ""

    monkeypatch.setattr(machine, "_carry_out", make)
    wanted = InstallRequest(root, IMAGE, IMAGE)
    for _ in range(2):
        assert prepare_root(wanted).path == root
    verbs = [command[2] for command in machine.commands if command[1] == "admin"]
    assert verbs == ["init-fs", "os-init"]
    assert machine.commands[0] == ("ostree", "admin", "init-fs", "--modern", str(root))


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        pytest.param(["etc", "boot"], "is not empty: it holds etc.", id="foreign"),
        pytest.param(["ostree", "var"], "is not empty: it holds ostree.", id="ostree and more"),
        pytest.param(["ostree"], None, id="unfinished"),
        pytest.param(["boot", "efi", "lost+found"], None, id="a new filesystem"),
    ],
)
def test_a_root_is_used_if_it_is_new_or_unfinished(tmp_path, names, complaint):
    root = tmp_path / "root"
    for name in names:
        (root / name).mkdir(parents=True)
    wanted = InstallRequest(root, IMAGE, IMAGE)
    if complaint is None:
        check_root(wanted)
        return
    with pytest.raises(UsageError) as caught:
        check_root(wanted)
    assert caught.value.summary == f"{root} {complaint}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, b"new\n", id="none"),
        pytest.param(b"", b"new\n", id="empty"),
        pytest.param(b"old\n", b"old\nnew\n", id="whole lines"),
        pytest.param(b"\xff old", b"\xff old\nnew\n", id="a line that does not end"),
    ],
)
def test_boot_is_added_to_the_table_of_mounts_on_a_line_of_its_own(tmp_path, before, after):
    (tmp_path / "etc").mkdir()
    table = tmp_path / "etc/fstab"
    if before is not None:
        table.write_bytes(before)
    _add_mount(Below(tmp_path), b"new\n")
    assert table.read_bytes() == after


def test_a_root_that_is_nowhere_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"is no directory\.$"):
        check_root(InstallRequest(tmp_path / "nothing", IMAGE, IMAGE))


@pytest.mark.parametrize(
    ("changes", "kargs"),
    [
        pytest.param({"root_spec": "LABEL=x"}, ("root=LABEL=x", "rw"), id="given"),
        pytest.param({"root_spec": ""}, (), id="none wanted"),
        pytest.param({"root_spec": None}, ("root=UUID=7b2d-11ee", "rw"), id="asked for"),
        pytest.param({"boot_spec": ""}, ("root=LABEL=root", "rw"), id="no boot"),
    ],
)
def test_the_kernel_is_told_how_to_find_the_root(request_for, changes, kargs):
    assert host_kargs(replace(request_for, **changes)) == kargs


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"boot_spec": "LABEL=boot"}, "but nothing is mounted at", id="boot"),
        pytest.param({"kargs": ("a b",)}, "is not one kernel argument", id="blank"),
        pytest.param({"kargs": ("ostree=x",)}, "belongs to the deployment itself", id="reserved"),
        pytest.param({"root_spec": "a b"}, "is not one kernel argument", id="root"),
    ],
)
def test_arguments_that_would_not_boot_are_refused(request_for, changes, complaint):
    with pytest.raises(UsageError, match=complaint):
        host_kargs(replace(request_for, **changes))


@pytest.mark.parametrize(
    ("place", "disable", "kargs"),
    [
        pytest.param("etc", True, ("m", "selinux=0", "image", "own"), id="etc"),
        pytest.param("usr", True, ("m", "selinux=0", "image", "own"), id="usr-etc"),
        pytest.param("none", True, ("m", "image", "own"), id="no-selinux"),
        pytest.param("etc", False, ("m", "image", "own"), id="kept"),
    ],
)
def test_the_first_arguments_are_the_roots_the_images_and_the_administrators(
    machine, request_for, place, disable, kargs
):
    selinux = {"selinux": {"config": b"SELINUX=enforcing\n"}}
    bootc = {"bootc": {"kargs.d": {"1.toml": b'kargs = ["image"]\n'}}}
    tree = {
        "etc": selinux if place == "etc" else {},
        "usr": {"lib": bootc, "etc": selinux if place == "usr" else {}},
    }
    wanted = replace(request_for, disable_selinux=disable, kargs=("own",))
    found = CommitTree(machine.repo, machine.world.made.commit(tree))
    assert all_kargs(wanted, ("m",), found) == kargs


@pytest.mark.root
def test_a_preview_shows_what_would_be_installed_and_deploys_nothing(machine, request_for, told):
    machine.image(1)
    plan = preview_install(replace(request_for, kargs=("quiet",)), OPTIONS, told)
    assert (plan.difference.old, plan.difference.new.version) == (None, "1")
    assert plan.difference.added_kargs == ("root=LABEL=root", "rw", "quiet")
    assert (plan.deployed, plan.wanted.stateroot, plan.wanted.force) == (False, "default", True)
    assert machine.order() == []


def test_a_plan_of_an_image_that_is_there_needs_nothing(machine, request_for, told):
    machine.image(1)
    plan = plan_install(request_for, OPTIONS, told)
    assert (plan.host, plan.apps, plan.root.needed, plan.boot.needed) == (None, None, 0, None)
    assert machine.commands == []
