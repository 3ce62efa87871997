"""Kernel and initramfs of a tree, and the space that they need."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from support.handmade_sysroot import BOOTABLE, KERNEL_VERSION, HandmadeSysroot

from bootc_orch.ops.stored.boot_files import (
    RESERVE,
    BootFiles,
    boot_bytes_needed,
    find_boot_files,
    require_boot_space,
)
from bootc_orch.ops.stored.new_root import CommitTree
from orch_frame.errors import InvalidImageError, SpaceError

BOTH = {"vmlinuz": b"12345", "initramfs.img": b"123"}


@pytest.fixture
def world(tmp_path):
    return HandmadeSysroot(tmp_path)


def modules(kernels):
    return {"usr": {"lib": {"modules": kernels}}}


def found(world, tree):
    return find_boot_files(world.made.repo, CommitTree(world.made.repo, world.made.commit(tree)))


@pytest.mark.parametrize(
    "kernels",
    [
        pytest.param({"6.1": BOTH}, id="initramfs.img"),
        pytest.param({"6.1": {"vmlinuz": b"12345", "initrd.img": b"123"}}, id="initrd.img"),
        pytest.param({"6.1": {**BOTH, "initrd.img": b"other"}}, id="the first of both"),
        pytest.param({"6.1": BOTH, "6.0": {"modules.dep": b""}}, id="left over modules"),
        pytest.param({"6.1": {**BOTH, "kernel": {"vmlinuz": b""}}}, id="directories beside"),
    ],
)
def test_the_one_kernel_is_found_with_its_initramfs(world, kernels):
    objects = frozenset({world.made.file(b"12345"), world.made.file(b"123")})
    assert found(world, modules(kernels)) == BootFiles("6.1", objects, 8)


@pytest.mark.parametrize(
    ("tree", "count"),
    [
        pytest.param({}, 0, id="no modules"),
        pytest.param(modules({}), 0, id="none"),
        pytest.param(modules({"6.1": {"initramfs.img": b""}}), 0, id="initramfs alone"),
        pytest.param(modules({"6.1": BOTH, "6.2": BOTH}), 2, id="two"),
    ],
)
def test_a_bootable_image_has_exactly_one_kernel(world, tree, count):
    with pytest.raises(InvalidImageError) as caught:
        found(world, tree)
    assert caught.value.summary == (
        f"The image has {count} kernels in usr/lib/modules; a bootable one has one."
    )
    assert caught.value.path == "usr/lib/modules"


def test_a_kernel_without_an_initramfs_is_refused(world):
    with pytest.raises(InvalidImageError) as caught:
        found(world, modules({"6.1": {"vmlinuz": b""}}))
    assert caught.value.summary == "The image has no initramfs in usr/lib/modules/6.1."
    assert caught.value.path == "usr/lib/modules/6.1"


def test_a_version_that_cannot_stand_in_a_boot_entry_is_refused(world):
    with pytest.raises(InvalidImageError, match="The version of the kernel"):
        found(world, modules({"6.1\ninit=x": BOTH}))


def test_files_that_a_deployment_has_need_no_more_space(world):
    first = found(world, BOOTABLE)
    other = found(world, modules({KERNEL_VERSION: BOTH}))
    assert (boot_bytes_needed(world.sysroot, world.made.repo, first)) == first.size == 15
    world.deploy(world.made.commit({"usr": {}}))
    assert boot_bytes_needed(world.sysroot, world.made.repo, first) == 15
    world.deploy(world.made.commit(BOOTABLE))
    assert boot_bytes_needed(world.sysroot, world.made.repo, first) == 0
    assert boot_bytes_needed(world.sysroot, world.made.repo, other) == 8


@pytest.mark.parametrize(("missing", "enough"), [(0, True), (1, False)])
def test_what_is_needed_must_be_free_beside_a_reserve(world, monkeypatch, missing, enough):
    files = found(world, BOOTABLE)
    free = 15 + RESERVE - missing
    asked = []

    def statvfs(path):
        asked.append(path)
        return SimpleNamespace(f_bavail=free, f_frsize=1, f_bfree=1 << 40, f_bsize=4096)

    monkeypatch.setattr(os, "statvfs", statvfs)
    if enough:
        require_boot_space(world.sysroot, world.made.repo, files)
    else:
        with pytest.raises(SpaceError) as caught:
            require_boot_space(world.sysroot, world.made.repo, files)
        assert caught.value.summary == (
            f"{world.path / 'boot'} has {free} bytes free, but kernel and initramfs "
            f"{KERNEL_VERSION} need 15."
        )
        assert caught.value.path == str(world.path / "boot")
    assert asked == [world.path / "boot"]


def test_a_full_boot_takes_what_it_has_already(world, monkeypatch):
    world.deploy(world.made.commit(BOOTABLE))
    full = SimpleNamespace(f_bavail=0, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    require_boot_space(world.sysroot, world.made.repo, found(world, BOOTABLE))
