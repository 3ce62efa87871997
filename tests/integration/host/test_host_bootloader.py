"""Boot loaders put on disks by their real installers, and refused where they would boot nothing.

Whether what they installed boots is for the system tests to say.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cli import Result, bootc_orch
from support.host import make_os

from bootc_orch.tools.bootloaders.grub import BIOS, EFI, MODULE_DIRECTORIES
from bootc_orch.tools.ostree.repo import ostree_version

pytestmark = pytest.mark.root
MIB = 1 << 20
MODULES = MODULE_DIRECTORIES[0] / BIOS
UPDATES = "usr/lib/bootupd/updates"
has_blscfg = "blscfg:" in (MODULES / "command.lst").read_text() if MODULES.is_dir() else False
with_blscfg = pytest.mark.skipif(not has_blscfg, reason="this GRUB has no blscfg")
without_blscfg = pytest.mark.skipif(has_blscfg, reason="this GRUB has blscfg")


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk with a root filesystem, and perhaps one for ``/boot`` behind it.

    Attributes:
        image: The disk as a file.
        device: The disk as a block device.
        root: Where its root filesystem is mounted.
    """

    image: Path
    device: str
    root: Path

    def start_sector(self) -> bytes:
        with self.image.open("rb") as stream:
            return stream.read(512)

    def entry(self) -> dict[str, str]:
        """The boot entry."""
        [path] = (self.root / "boot/loader/entries").iterdir()
        return dict(line.split(" ", 1) for line in path.read_text().splitlines())


MakeDisk = Callable[..., Disk]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Make a disk with a partition table and filesystems: ``disk(boot=True)``."""
    with ExitStack() as stack:

        def attach(*options: str) -> str:
            command = ["losetup", "--find", "--show", *options, str(tmp_path / "disk")]
            device = subprocess.check_output(command, text=True).strip()
            stack.callback(subprocess.run, ["losetup", "--detach", device], check=True)
            return device

        def mount(target: Path, start: int, size: int) -> None:
            device = attach("--offset", str(start * MIB), "--sizelimit", str(size * MIB))
            subprocess.run(["mkfs.ext4", "-q", device], check=True)
            target.mkdir(exist_ok=True)
            subprocess.run(["mount", device, target], check=True)
            stack.callback(subprocess.run, ["umount", target], check=True)

        def make(*, boot: bool = False) -> Disk:
            image, root = tmp_path / "disk", tmp_path / "root"
            image.touch()
            os.truncate(image, 192 * MIB)
            table = b"start=1MiB,size=128MiB,type=linux\nstart=129MiB,type=linux\n"
            subprocess.run(["sfdisk", "--quiet", image], input=table, check=True)
            mount(root, 1, 128)
            if boot:
                mount(root / "boot", 129, 62)
            return Disk(image, attach(), root)

        yield make


@pytest.fixture
def programs(tmp_path: Path) -> Callable[..., Callable[[], list[str]]]:
    """Put a scripted program first on PATH; what is returned reads its calls, one argv a line."""
    directory, calls = tmp_path / "programs", tmp_path / "calls"
    directory.mkdir()
    calls.touch()

    def script(name: str, body: str = "exit 0") -> Callable[[], list[str]]:
        (directory / name).write_text(f'#!/bin/sh\necho "$*" >>{calls}\n{body}\n')
        (directory / name).chmod(0o755)
        return lambda: calls.read_text().splitlines()

    return script


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Result]:
    """Install a small image: ``install(root, "--bootloader", "grub", status=69)``."""

    def run(root: Path, *argv: str | Path, status: int = 0, files: object = None) -> Result:
        image = make_os(tmp_path / "os", files=files)  # type: ignore[arg-type]
        path = f"{tmp_path / 'programs'}:{os.environ['PATH']}"
        return bootc_orch(
            "install", "to-filesystem", root, "--source-imgref", image,
            "--bound-images", "skip", *argv, status=status, env={"PATH": path},
        )  # fmt: skip

    return run


def refused(result: Result, root: Path) -> str:
    """Return what was said about a refusal that left nothing behind."""
    left = {path.name for path in root.iterdir()} - {"lost+found", "boot", "efi"}
    assert left == set()
    return result.stderr


def kernel(disk: Disk) -> Path:
    """The kernel that the boot entry names, as GRUB follows it from the partition it is on."""
    mount = disk.root / "boot" if os.path.ismount(disk.root / "boot") else disk.root
    return (mount / disk.entry()["linux"].lstrip("/")).resolve(strict=True)


@with_blscfg
def test_grub_is_installed_on_a_disk_and_reads_boot_entries(disk, install):
    made = disk()
    assert made.start_sector()[:2] == b"\0\0"
    install(made.root, "--bootloader", "grub", "--bootloader-device", made.device)
    assert b"GRUB" in made.start_sector()
    configuration = made.root / "boot/grub/grub.cfg"
    assert configuration.read_text().splitlines()[-1] == "blscfg --path /boot/loader/entries"
    subprocess.run(["grub-script-check", configuration], check=True)
    assert configuration.stat().st_mode & 0o777 == 0o600
    assert (made.root / "boot/grub/i386-pc/blsuki.mod").exists()
    assert kernel(made).read_bytes() == b"kernel" * 100
    with pytest.raises(OSError, match="Read-only"):
        (made.root / "written").touch()


@with_blscfg
def test_grub_reads_boot_entries_from_a_partition_of_their_own(disk, install):
    made = disk(boot=True)
    install(made.root, "--bootloader", "grub", "--bootloader-device", made.device)
    configuration = made.root / "boot/grub/grub.cfg"
    assert configuration.read_text().splitlines()[-1] == "blscfg --path /loader/entries"
    assert kernel(made).read_bytes() == b"kernel" * 100


@without_blscfg
def test_a_grub_that_reads_no_boot_entries_is_refused(disk, install):
    made = disk()
    result = install(
        made.root, "--bootloader", "grub", "--bootloader-device", made.device, status=69
    )
    said = refused(result, made.root)
    assert f"{MODULES} cannot read boot entries: it has no command blscfg" in said
    assert "GRUB 2.14" in said
    assert made.start_sector()[:2] == b"\0\0"


@pytest.mark.skipif(
    (MODULE_DIRECTORIES[0] / EFI[platform.machine()]).is_dir(), reason="there is a GRUB for UEFI"
)
def test_missing_modules_of_grub_are_named_with_their_package(disk, install):
    made = disk()
    (made.root / "efi").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "esp", made.root / "efi"], check=True)
    try:
        result = install(made.root, "--bootloader", "grub", status=69)
    finally:
        subprocess.run(["umount", made.root / "efi"], check=True)
    said = refused(result, made.root)
    assert f"The modules of GRUB for {EFI[platform.machine()]} are not installed" in said
    assert "Install the package that has them: grub-efi-" in said


def test_a_boot_partition_is_found_again_by_the_installed_system(disk, install):
    made = disk(boot=True)
    install(made.root)
    [deployment] = (made.root / "ostree/deploy/default/deploy").glob("*.0")
    uuid = subprocess.check_output(
        ["findmnt", "--noheadings", "--output=UUID", made.root / "boot"], text=True
    ).strip()
    assert (deployment / "etc/fstab").read_text() == f"UUID={uuid} /boot auto ro 0 0\n"
    assert f"boot=UUID={uuid}" in made.entry()["options"].split()
    assert kernel(made).read_bytes() == b"kernel" * 100


def test_a_named_boot_partition_that_is_not_mounted_is_refused(disk, install):
    made = disk()
    result = install(made.root, "--boot-mount-spec", "LABEL=boot", status=2)
    assert f"nothing is mounted at {made.root / 'boot'}" in refused(result, made.root)


@pytest.mark.parametrize(
    ("loader", "complaint"),
    [
        pytest.param("grub", "GRUB needs a disk to be installed on", id="grub"),
        pytest.param("bootupd", "bootupd needs a device", id="bootupd"),
        pytest.param("systemd", "systemd-boot needs the EFI system partition", id="systemd"),
    ],
)
def test_a_boot_loader_without_a_place_is_refused(disk, install, programs, loader, complaint):
    made = disk()
    for name in ("bootupctl", "bootctl"):
        programs(name)
    result = install(made.root, "--bootloader", loader, status=2)
    assert complaint in refused(result, made.root)


def test_what_is_no_disk_is_refused(disk, install):
    made = disk()
    result = install(made.root, "--bootloader", "grub", "--bootloader-device", made.image, status=2)
    assert "is no block device" in refused(result, made.root)


def test_a_root_that_is_part_of_a_filesystem_is_refused(disk, install, programs):
    made = disk()
    programs("bootupctl")
    inner = made.root / "inner"
    inner.mkdir()
    result = install(
        inner, "--root-mount-spec", "LABEL=x", "--bootloader", "bootupd",
        "--bootloader-device", made.device, status=2,
    )  # fmt: skip
    assert f"{inner / 'boot'} is /inner/boot in its filesystem" in refused(result, inner)


def test_each_missing_installer_is_named_with_its_package(disk, install, tmp_path):
    made = disk()
    only = tmp_path / "programs"
    only.mkdir()
    for name in ("ostree", "skopeo", "findmnt", "setpriv"):
        (only / name).symlink_to(shutil.which(name))
    for loader, program, package in (
        ("grub", "grub-install", "grub2-common on Debian"),
        ("bootupd", "bootupctl", "bootupd on Fedora"),
        ("systemd", "bootctl", "systemd-boot on Debian"),
    ):
        result = bootc_orch(
            "install", "to-filesystem", made.root, "--source-imgref", "oci:/nowhere",
            "--bootloader", loader, "--bootloader-device", made.device,
            status=69, env={"PATH": str(only)},
        )  # fmt: skip
        assert f"{program} is not installed" in result.stderr
        assert package in refused(result, made.root)


def test_bootupd_installs_what_the_image_brings(disk, install, programs):
    made = disk(boot=True)  # so that the kernel is found also by what an old ostree writes
    calls = programs("bootupctl")
    install(
        made.root, "--bootloader", "bootupd", "--bootloader-device", made.device,
        files={f"{UPDATES}/BIOS.json": b"{}"},
    )  # fmt: skip
    [deployment] = (made.root / "ostree/deploy/default/deploy").glob("*.0")
    assert calls() == [
        f"backend install --auto --write-uuid --src-root={deployment} --device={made.device} "
        f"{made.root}"
    ]


def test_bootupd_that_fails_leaves_an_installed_system(disk, install, programs):
    made = disk(boot=True)
    programs("bootupctl", "echo no space on the ESP >&2; exit 1")
    result = install(
        made.root, "--bootloader", "bootupd", "--bootloader-device", made.device,
        files={f"{UPDATES}/BIOS.json": b"{}"}, status=1,
    )  # fmt: skip
    assert "no space on the ESP" in result.stderr
    assert "only its boot loader is missing" in result.stderr
    assert made.entry()["version"] == "1"


def test_an_image_without_a_boot_loader_for_bootupd_is_refused(disk, install, programs):
    made = disk(boot=True)
    calls = programs("bootupctl")
    result = install(
        made.root, "--bootloader", "bootupd", "--bootloader-device", made.device, status=69
    )
    assert f"{UPDATES} is missing" in result.stderr
    assert calls() == []
    assert not list((made.root / "boot").glob("loader/entries/*"))


@pytest.mark.skipif(ostree_version() >= (2023, 2), reason="this ostree names kernels with /boot")
def test_an_ostree_whose_entries_miss_the_kernel_is_refused(disk, install, programs):
    made = disk()
    programs("bootupctl")
    result = install(
        made.root, "--bootloader", "bootupd", "--bootloader-device", made.device, status=69
    )
    assert "2023.2 or newer is needed" in refused(result, made.root)


class TestSystemdBoot:
    """It reads FAT and what it has drivers for; ostree needs links, which FAT lacks."""

    @pytest.fixture
    def prepared(self, disk: MakeDisk) -> Iterator[Disk]:
        """A disk with a boot partition, and a filesystem at ``/efi`` for what is installed."""
        made = disk(boot=True)
        esp = made.root / "efi"
        esp.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "esp", esp], check=True)
        yield made
        subprocess.run(["umount", esp], check=True)

    def test_it_is_refused_where_it_reads_no_boot_entries(self, prepared, install, programs):
        calls = programs("bootctl")
        result = install(prepared.root, "--bootloader", "systemd", status=69)
        said = refused(result, prepared.root)
        assert "systemd-boot by itself reads FAT only" in said
        assert "is ext4" in said
        assert str(prepared.root / "efi/EFI/systemd/drivers") in said
        assert calls() == []

    def test_it_is_refused_without_a_boot_partition(self, disk, install, programs):
        made = disk()
        programs("bootctl")
        (made.root / "efi").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "esp", made.root / "efi"], check=True)
        try:
            result = install(made.root, "--bootloader", "systemd", status=2)
        finally:
            subprocess.run(["umount", made.root / "efi"], check=True)
        assert "XBOOTLDR" in refused(result, made.root)

    def test_its_installer_sees_the_partition_alone(self, prepared, install, programs):
        drivers = prepared.root / "efi/EFI/systemd/drivers"
        drivers.mkdir(parents=True)
        (drivers / "ext4_x64.efi").touch()
        calls = programs("bootctl", 'find "${2#--root=}" -type f | grep -q ext4_x64 && exit 0')
        install(prepared.root, "--bootloader", "systemd")
        [call] = calls()
        verb, root, *rest = call.split()
        assert verb == "install"
        assert rest == ["--esp-path=/efi", "--no-variables", "--entry-token=literal:ostree"]
        assert not Path(root.removeprefix("--root=")).exists()

    @pytest.mark.skipif(shutil.which("bootctl") is None, reason="there is no bootctl")
    def test_the_real_installer_puts_it_where_firmware_looks(self, prepared, install, monkeypatch):
        drivers = prepared.root / "efi/EFI/systemd/drivers"
        drivers.mkdir(parents=True)
        (drivers / "ext4_x64.efi").touch()
        monkeypatch.setenv("SYSTEMD_RELAX_ESP_CHECKS", "1")  # a tmpfs instead of a FAT
        install(prepared.root, "--bootloader", "systemd")
        assert (prepared.root / "efi/EFI/BOOT/BOOTX64.EFI").read_bytes()[:2] == b"MZ"
        assert not (prepared.root / "etc").exists()
