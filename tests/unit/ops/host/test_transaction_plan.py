"""What a transaction would do, found out without doing it."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from support.scripted_ostree import IMAGE, OTHER_IMAGE

from bootc_orch.model.host.kargs import KargsEdit
from bootc_orch.ops.deploying.bound import BoundMode
from bootc_orch.ops.deploying.wanted import Wanted
from bootc_orch.ops.difference.tree_difference import TreeDifference
from bootc_orch.ops.host.transaction import TransactionOptions
from bootc_orch.ops.host.transaction_plan import (
    _new_root,
    _plan_stored,
    plan_transaction,
    preview_transaction,
)
from bootc_orch.ops.opening.pull_plan import PullOptions
from orch_frame.errors import NotFoundError
from orch_frame.transfer import TransferOptions

WANTED = Wanted(IMAGE, IMAGE)
OPTIONS = TransactionOptions(PullOptions(TransferOptions(offline=True, lock_timeout=0)), hooks=())
NEW_KERNEL = {"usr": {"lib": {"modules": {"6.9": {"vmlinuz": b"k" * 70, "initramfs.img": b"i"}}}}}
BINDS = {"bootc": {"bound-images.d": {"app.container": b"[Container]\nImage=quay.io/app:1\n"}}}


@pytest.fixture
def changed_nothing(running):
    """Make sure in the end that a plan deployed nothing and moved no ref."""
    before = (running.order(), running.repo.refs())
    yield
    assert (running.order(), running.repo.refs()) == before
    assert running.ran("ostree", "admin") == []
    assert list((running.repo.path / "tmp").glob("bootc-orch-root*")) == []


def found(plan):
    return plan.host, plan.apps, plan.root.needed, plan.boot.needed, plan.deployed, plan.difference


def test_what_boots_next_already_needs_nothing(running, told):
    plan = plan_transaction(running.sysroot, WANTED, OPTIONS, told)
    assert found(plan) == (None, (), 0, 0, True, None)
    assert plan.wanted == WANTED


def test_the_same_image_under_another_name_is_to_be_deployed(running, told):
    running.image(1, follow=OTHER_IMAGE)
    plan = plan_transaction(running.sysroot, Wanted(OTHER_IMAGE, OTHER_IMAGE), OPTIONS, told)
    assert plan.deployed is False


def test_a_new_kernel_needs_space_and_a_known_one_does_not(running, told):
    running.image(2)
    assert found(plan_transaction(running.sysroot, WANTED, OPTIONS, told))[3] == 0
    running.image(3, tree=NEW_KERNEL)
    plan = plan_transaction(running.sysroot, WANTED, OPTIONS, told)
    assert found(plan) == (None, (), 0, 71, False, None)
    space = os.statvfs(running.root / "boot")
    assert plan.boot.free == pytest.approx(space.f_bavail * space.f_frsize, rel=0.5)


def test_an_image_that_is_not_stored_cannot_be_planned_without_fetching(running, told):
    with pytest.raises(NotFoundError, match="is not stored"):
        plan_transaction(running.sysroot, Wanted(OTHER_IMAGE, OTHER_IMAGE), OPTIONS, told)


def test_an_image_named_by_the_digest_that_is_stored_is_planned_without_opening_it(running, told):
    booted = running.repo.commit(running.sysroot.deployments().booted.checksum)
    digest = booted.text("ostree.manifest-digest")
    pinned = replace(IMAGE, image=replace(IMAGE.image, name=f"quay.io/test/os@{digest}"))
    online = replace(OPTIONS, pull=PullOptions(TransferOptions(lock_timeout=0)))
    plan = plan_transaction(running.sysroot, Wanted(pinned, IMAGE), online, told)
    assert found(plan) == (None, (), 0, 0, True, None)


@pytest.mark.usefixtures("changed_nothing")
def test_app_images_that_are_to_be_left_alone_are_not_planned(running, told):
    kernel = {"modules": {"6.1": {"vmlinuz": b"k", "initramfs.img": b"i"}}}
    commit = running.world.made.commit({"usr": {"lib": {**kernel, **BINDS}}})
    skipping = replace(OPTIONS, bound_mode=BoundMode.SKIP)
    base = running.sysroot.deployments().booted
    with _new_root(running.sysroot, commit) as root:
        assert (root.path / "usr/lib/bootc/bound-images.d/app.container").is_file()
        plan = _plan_stored(running.sysroot, WANTED, base, root, skipping)
    assert (plan.apps, plan.deployed) == ((), False)


def below(directory):
    return (directory, f"{directory}initramfs.img", f"{directory}vmlinuz")


def test_a_preview_tells_what_would_change_and_deploys_nothing(running, told):
    old = running.sysroot.deployments().booted
    running.image(2, tree={**NEW_KERNEL, "added": b""})
    wanted = replace(WANTED, kargs=KargsEdit(append=("quiet",), delete=("root",)))
    plan = preview_transaction(running.sysroot, wanted, OPTIONS, told)
    difference = plan.difference
    assert (difference.old.deployment, difference.old.version) == (old.name, "1")
    assert (difference.new.deployment, difference.new.version, difference.new.kernel) == (
        None,
        "2",
        "6.9",
    )
    assert difference.added_kargs == ("quiet",)
    assert difference.removed_kargs == ("root=/dev/vda",)
    assert difference.files == TreeDifference(
        added=("/added", *below("/usr/lib/modules/6.9/")),
        removed=below("/usr/lib/modules/6.1.0-test/"),
        changed=("/version",),
    )
    assert plan.fetched is None
    assert running.order() == ["booted 1"]
    assert running.ran("ostree", "admin") == []
