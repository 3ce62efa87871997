"""Which mounts have to be made writable, and what is seen of mounts without making any."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootc_orch.tools.mounts import (
    is_medium_read_only,
    is_mount_point,
    is_mounted_read_only,
    is_read_only_medium,
    writable_sysroot,
)

MOUNTINFO = b"""\
22 1 254:0 /ostree/deploy/os/deploy/a.0 / ro,relatime shared:1 - ext4 /dev/vda rw,discard
23 22 254:0 / /sysroot ro,relatime shared:2 - ext4 /dev/vda rw,discard
24 22 254:1 / /boot rw,relatime shared:3 - ext4 /dev/vda1 rw
25 22 254:2 / /medium rw,relatime - iso9660 /dev/sr0 ro
26 22 254:3 / /with\\040blank ro - ext4 /dev/vdb rw
27 22 254:3 / /covered ro - ext4 /dev/vdb rw
28 22 254:4 / /covered rw - ext4 /dev/vdc rw
29 22 254:5 / /errors rw,noatime - ext4 /dev/vdd rw,errors=remount-ro
"""


@pytest.mark.parametrize(
    ("point", "read_only"),
    [
        pytest.param(b"/sysroot", True, id="a read-only mount of a writable filesystem"),
        pytest.param(b"/boot", False, id="a writable mount"),
        pytest.param(b"/medium", True, id="a filesystem that is read-only itself"),
        pytest.param(b"/with blank", True, id="an escaped name"),
        pytest.param(b"/covered", False, id="the upper of two mounts is seen"),
        pytest.param(b"/errors", False, id="an option that ends in ro"),
        pytest.param(b"/sysroot/ostree", False, id="no mount point of its own"),
    ],
)
def test_a_mount_is_read_only_by_its_own_options_or_those_of_its_filesystem(point, read_only):
    assert is_mounted_read_only(MOUNTINFO, point) is read_only


def test_a_sysroot_that_is_writable_is_left_alone(tmp_path):
    """A mount namespace of its own would be seen, and needs privileges."""
    (tmp_path / "sysroot").mkdir()
    (tmp_path / "boot").mkdir()
    before = Path("/proc/thread-self/ns/mnt").readlink()
    writable_sysroot(tmp_path)
    assert Path("/proc/thread-self/ns/mnt").readlink() == before


def test_a_link_to_a_mount_point_is_one(tmp_path):
    (tmp_path / "root").symlink_to("/")
    assert is_mount_point(tmp_path / "root")
    assert not is_mount_point(tmp_path)


@pytest.mark.parametrize(
    ("path", "read_only"),
    [
        pytest.param(b"/medium", True, id="where it is mounted"),
        pytest.param(b"/medium/ostree", True, id="below"),
        pytest.param(b"/mediums", False, id="a name that begins alike"),
        pytest.param(b"/sysroot/ostree", False, id="a read-only mount of what can be written"),
        pytest.param(b"/covered/x", False, id="the upper of two mounts"),
    ],
)
def test_a_medium_is_read_only_if_its_filesystem_is_however_it_is_mounted(path, read_only):
    assert is_medium_read_only(MOUNTINFO, path) is read_only


def test_what_is_written_to_is_no_read_only_medium(tmp_path):
    assert not is_read_only_medium(tmp_path)
