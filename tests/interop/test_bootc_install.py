"""A sysroot that ours installed is the one that bootc installs of the same image, file by file.

``sysroots/bootc-install.json`` is what bootc 1.16.9 left with ostree 2026.4, recorded by
``support.bootc_install``; where bootc is on PATH it is also run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from support.bootc_install import (
    ARGUMENTS,
    MEGABYTES,
    PLACE,
    RECORDED,
    install_with_bootc,
    sample_os,
)
from support.cli import at_place, bootc_orch
from support.injection import small_filesystem
from support.sysroot_listing import Listing, differences, listing, read

from bootc_orch.tools.ostree.repo import ostree_version

pytestmark = pytest.mark.root

# What may differ, and why.
EXPECTED = {
    ".bootc-aleph.json": "bootc's note of how the system was installed; nothing reads it",
    "ostree/bootc": "bootc makes the store of app images, with podman, also where there is none",
    "ostree/bootc/*": "the same",
    "ostree/repo/.bootc-orch.lock": "our lock",
    "ostree/repo/objects/??": "there for commits, or for none",
    "ostree/repo/objects/MERGE.commit": "its metadata names the importing program",
    "ostree/repo/extensions/bootc-orch": "what we know of layers, apart from what images bring",
    "ostree/repo/extensions/bootc-orch/*": "the same",
    "ostree/repo/objects/LAYER-*": "a layer's commit records the time of bootc's import",
}
# What an ostree before 2024.5 leaves otherwise, with bootc as with ours.
EXPECTED_OF_OLD_OSTREE = {
    "boot/loader.1/entries/ostree-1.conf": "named ostree-1-STATEROOT.conf until 2024.5",
    "boot/loader.1/entries/ostree-1-default.conf": "the same",
    "ostree/deploy/default/backing": "since 2024.3",
    "ostree/deploy/default/backing/*": "the same",
    "ostree/deploy/default/deploy/*/.ostree.cfs": "since 2023.6, in builds with composefs",
    "ostree/deploy/default/deploy/*/var": "goes to usr/share/factory, which older ones can use",
    "ostree/deploy/default/deploy/*/usr/share/factory*": "the same",
    "ostree/repo/objects/??/*.dirtree": "the same",
    "ostree/deploy/default/var": "filled by systemd-tmpfiles at the first boot since 2023.8",
    "ostree/deploy/default/var/*": "the same",
    "ostree/repo/.lock": "kept since 2024",
    "ostree/repo/tmp/cache/*": "made when first needed",
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_filesystem(tmp_path, MEGABYTES) as root:
        yield root


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    sample_os(tmp_path / "os")
    return tmp_path / "os"


def install(layout: Path, root: Path) -> Listing:
    bootc_orch("install", "to-filesystem", root, *ARGUMENTS, prefix=at_place(layout, PLACE))
    return listing(root)


def unexpected(ours: Listing, theirs: Listing) -> dict[str, str]:
    patterns = [*EXPECTED]
    if ostree_version() < (2024, 5):
        patterns += EXPECTED_OF_OLD_OSTREE
    return {
        path: how
        for path, how in differences(ours, theirs).items()
        if not any(fnmatchcase(path, pattern) for pattern in patterns)
    }


def test_the_installed_system_is_the_one_that_bootc_left(layout, disk):
    assert unexpected(install(layout, disk), read(RECORDED)) == {}


@pytest.mark.skipif(shutil.which("bootc") is None, reason="needs bootc")
def test_what_was_recorded_of_bootc_is_what_bootc_does(layout, disk):
    assert unexpected(install_with_bootc(layout, disk), read(RECORDED)) == {}
