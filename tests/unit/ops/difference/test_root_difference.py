"""What a new root changes for the system that it takes the place of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.handmade import image_metadata
from support.handmade_sysroot import BOOTABLE, KERNEL_VERSION, HandmadeSysroot

from bootc_orch.model.packages.package import Package, PackageDifference, PackageManager
from bootc_orch.ops.difference.package_databases import ManagedPackages
from bootc_orch.ops.difference.root_difference import RootDifference, System, compare_roots
from bootc_orch.ops.difference.tree_difference import TreeDifference

STATUS = b"Package: one\nStatus: install ok installed\nVersion: 1\n"
PACKAGES = {"var": {"lib": {"dpkg": {"status": STATUS}}}}
VERSION = "org.opencontainers.image.version"


@pytest.fixture
def world(tmp_path):
    return HandmadeSysroot(tmp_path)


def versioned(world, tree, version):
    return world.made.commit(tree, image_metadata(["one"], {VERSION: version}))


def test_versions_kernels_arguments_packages_and_files_are_compared(world):
    old = world.deploy(versioned(world, BOOTABLE, "1"), options="root=x a a b=1")
    new = versioned(world, {**BOOTABLE, **PACKAGES}, "2")
    assert compare_roots(world.made.repo, old, new, ("root=x", "a", "b=2", "c", "c")) == (
        RootDifference(
            old=System(old.name, "1", KERNEL_VERSION),
            new=System(None, "2", KERNEL_VERSION),
            added_kargs=("b=2", "c", "c"),
            removed_kargs=("a", "b=1"),
            packages=(
                ManagedPackages(
                    PackageManager.DPKG,
                    None,
                    "var/lib/dpkg/status",
                    PackageDifference(added=(Package("one", "", "1"),)),
                ),
            ),
            files=TreeDifference(
                ("/var/", "/var/lib/", "/var/lib/dpkg/", "/var/lib/dpkg/status"), (), ()
            ),
        )
    )


def test_a_first_system_takes_the_place_of_none(world):
    new = versioned(world, {"a": b"1"}, "1")
    assert compare_roots(world.made.repo, None, new, ("root=x",)) == RootDifference(
        old=None,
        new=System(None, "1", None),
        added_kargs=("root=x",),
        removed_kargs=(),
        packages=(),
        files=TreeDifference(("/a",), (), ()),
    )


def test_what_does_not_say_its_version_or_has_no_kernel_is_compared_all_the_same(world):
    old = world.deploy(world.made.commit({"usr": {}}))
    staged = replace(old, options="")
    found = compare_roots(world.made.repo, staged, old.checksum, ())
    assert (found.old, found.new) == (System(old.name, None, None), System(None, None, None))
    assert (found.files, found.packages) == (TreeDifference((), (), ()), ())
