"""What a boot loader needs, as read from files of GRUB and of the kernel."""

from __future__ import annotations

import pytest

from bootc_orch.tools.bootloaders.grub import configuration, parse_commands
from bootc_orch.tools.mounts import Place, parse_place

MOUNTINFO = b"""\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /tmp rw shared:12 master:3 - tmpfs tmpfs rw
31 30 7:1 / /tmp/new rw - ext4 /dev/loop1 rw
32 31 7:2 / /tmp/new/boot rw - vfat /dev/loop2 rw
33 30 7:3 /@system /tmp/sub\\040volume rw - btrfs /dev/loop3 rw
34 33 7:3 / /tmp/sub\\040volume rw - xfs /dev/loop4 rw
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        pytest.param(b"/", Place("/", "ext4"), id="root"),
        pytest.param(b"/srv/new/boot", Place("/srv/new/boot", "ext4"), id="directory"),
        pytest.param(b"/tmp/new", Place("/", "ext4"), id="mount-point"),
        pytest.param(b"/tmp/newer", Place("/newer", "tmpfs"), id="similar-name"),
        pytest.param(b"/tmp/new/boot/loader", Place("/loader", "vfat"), id="nested"),
        pytest.param(b"/tmp/sub volume/boot", Place("/boot", "xfs"), id="the-upper-of-two"),
    ],
)
def test_a_path_is_found_in_the_filesystem_that_holds_it(path, place):
    assert parse_place(MOUNTINFO, path) == place


def test_a_subvolume_is_part_of_the_path_in_the_filesystem():
    lower = MOUNTINFO[: MOUNTINFO.index(b"34 33")]
    assert parse_place(lower, b"/tmp/sub volume/boot") == Place("/@system/boot", "btrfs")


def test_the_module_of_a_command_is_found_with_and_without_its_mark():
    text = "*blscfg: blsuki\nlscoreboot: cbls\n\n"
    assert parse_commands(text) == {"blscfg": "blsuki", "lscoreboot": "cbls"}


@pytest.mark.parametrize(
    ("module", "command"),
    [
        pytest.param("blsuki", "blscfg --path /boot/loader/entries", id="grub-2.14"),
        pytest.param("blscfg", "blscfg", id="fedora"),
    ],
)
def test_each_blscfg_is_called_in_its_own_way(module, command):
    assert configuration(module, "/boot/loader/entries").splitlines()[-1] == command
