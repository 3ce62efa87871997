"""Which boot loader goes where, and what is refused before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootc_orch.model.host.bootloader import Bootloader
from bootc_orch.ops.installing.bootloader import (
    LoaderPlan,
    _efi_platform,
    apply_bootloader,
    plan_bootloader,
    require_boot_filesystem,
    require_payload,
)
from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.tools.bootloaders import bootctl, grub
from bootc_orch.tools.bootloaders.grub import Grub, find_grub
from orch_frame.errors import OrchError, ToolError, ToolMissingError, UsageError

PATHS = ("grub-install", "grub2-install", "bootctl", "bootupctl")


@pytest.fixture
def programs(machine, monkeypatch, tmp_path):
    """Have installers on PATH, and a place for the modules of GRUB."""
    monkeypatch.setattr(grub, "MODULE_DIRECTORIES", (tmp_path / "grub", tmp_path / "grub2"))

    def add(*names):
        for name in names:
            (tmp_path / "bin" / name).touch(mode=0o755)

    return add


@pytest.fixture
def modules(tmp_path):
    """Write the list of commands of GRUB for a platform."""

    def write(platform, listing="*blscfg: blsuki\n", place="grub"):
        directory = tmp_path / place / platform
        directory.mkdir(parents=True)
        if listing is not None:
            (directory / "command.lst").write_text(listing)
        return directory

    return write


def refusal(loader, root, device=None):
    with pytest.raises(OrchError) as caught:
        plan_bootloader(loader, root, device)
    return type(caught.value), caught.value.summary


def test_no_boot_loader_needs_nothing(tmp_path):
    wanted = LoaderPlan(Bootloader.NONE, tmp_path)
    assert plan_bootloader(Bootloader.NONE, tmp_path, "/dev/nothing") == wanted
    apply_bootloader(wanted, tmp_path)


@pytest.mark.parametrize("device", ["/dev/null", "/nowhere"])
def test_what_is_no_disk_is_refused(tmp_path, device):
    found = refusal(Bootloader.GRUB, tmp_path, device)
    assert found == (UsageError, f"{device} is no block device.")


def test_grub_needs_to_be_told_a_disk_or_to_see_a_system_partition(tmp_path):
    assert refusal(Bootloader.GRUB, tmp_path) == (
        UsageError,
        "GRUB needs a disk to be installed on.",
    )


def test_systemd_boot_needs_its_installer_and_a_system_partition(programs, tmp_path):
    assert refusal(Bootloader.SYSTEMD, tmp_path) == (ToolMissingError, "bootctl is not installed.")
    programs("bootctl")
    assert refusal(Bootloader.SYSTEMD, tmp_path) == (
        UsageError,
        "systemd-boot needs the EFI system partition.",
    )


def test_bootupd_needs_its_installer_and_a_disk(programs, tmp_path):
    assert refusal(Bootloader.BOOTUPD, tmp_path) == (
        ToolMissingError,
        "bootupctl is not installed.",
    )
    programs("bootupctl")
    assert refusal(Bootloader.BOOTUPD, tmp_path) == (UsageError, "bootupd needs a device.")


def test_an_image_that_brings_nothing_for_bootupd_is_refused(machine, tmp_path):
    plan = LoaderPlan(Bootloader.BOOTUPD, tmp_path, "/dev/vda")
    made = machine.world.made
    bare = CommitTree(machine.repo, made.commit({"usr": {}}))
    with pytest.raises(ToolError, match=r"usr/lib/bootupd/updates is missing\.$"):
        require_payload(plan, bare)
    require_payload(replace(plan, loader=Bootloader.GRUB), bare)
    payload = {"usr": {"lib": {"bootupd": {"updates": {"EFI.json": b"{}"}}}}}
    require_payload(plan, CommitTree(machine.repo, made.commit(payload)))


def test_a_directory_on_a_filesystem_with_links_can_be_boot(tmp_path):
    require_boot_filesystem(tmp_path)


def test_grub_is_found_by_either_name_with_the_modules_that_read_boot_entries(programs, modules):
    programs("grub2-install")
    directory = modules("i386-pc", "blscfg: blscfg\n", place="grub2")
    assert find_grub("i386-pc") == Grub("grub2-install", directory, "blscfg")
    programs("grub-install")
    first = modules("i386-pc")
    assert find_grub("i386-pc") == Grub("grub-install", first, "blsuki")


def missing(platform):
    with pytest.raises(ToolError) as caught:
        find_grub(platform)
    return type(caught.value), caught.value.summary, caught.value.hint


@pytest.mark.usefixtures("programs")
def test_a_grub_that_is_not_installed_is_named_with_its_package():
    assert missing("i386-pc") == (
        ToolMissingError,
        "grub-install is not installed.",
        "Install the package that provides grub-install: "
        "grub2-common on Debian, grub2-tools on Fedora.",
    )


def test_modules_that_are_not_installed_are_named_with_their_package(programs, tmp_path):
    programs("grub-install")
    places = f"{tmp_path}/grub/i386-pc and {tmp_path}/grub2/i386-pc"
    assert missing("i386-pc") == (
        ToolError,
        f"The modules of GRUB for i386-pc are not installed: {places} are missing.",
        "Install the package that has them: grub-pc-bin on Debian, grub2-pc-modules on Fedora.",
    )
    assert missing("arm-efi")[2] == "Install the package that has them."


@pytest.mark.parametrize("listing", ["normal: normal\n", None])
def test_a_grub_that_cannot_read_boot_entries_is_refused(programs, modules, listing):
    programs("grub-install")
    directory = modules("i386-pc", listing)
    _, summary, _ = missing("i386-pc")
    assert summary == (
        f"The GRUB in {directory} cannot read boot entries: it has no command blscfg, "
        "so it would not boot the system."
    )


@pytest.fixture
def installer(machine, monkeypatch):
    """Have GRUB's installer do nothing but be noted; its help has the words that are given."""
    answers = {"grub-install": "--removable --no-nvram\n"}
    carry_out = machine._carry_out
    monkeypatch.setattr(
        machine, "_carry_out", lambda c: answers[c[0]] if c[0] in answers else carry_out(c)
    )
    return answers


def test_grub_is_configured_and_installed_for_each_platform(machine, installer, programs, tmp_path):
    programs("grub-install")
    root = tmp_path / "new"
    bios = Grub("grub-install", Path("/m/i386-pc"), "blsuki")
    efi = Grub("grub-install", Path("/m/x86_64-efi"), "blsuki")
    plan = LoaderPlan(Bootloader.GRUB, root, "/dev/vda", root / "efi", (bios, efi))
    apply_bootloader(plan, root)
    common = (f"--boot-directory={root}/boot", "--modules=part_gpt part_msdos")
    wanted = ("grub-install", "--directory=/m/x86_64-efi", *common)
    assert machine.commands == [
        ("grub-install", "--directory=/m/i386-pc", *common, "/dev/vda"),
        ("grub-install", "--help"),
        (*wanted, f"--efi-directory={root}/efi", "--removable", "--no-nvram"),
    ]
    written = root / "boot/grub/grub.cfg"
    assert written.stat().st_mode & 0o777 == 0o600
    assert written.read_text().splitlines()[-1].startswith("blscfg --path /")
    assert written.read_text().splitlines()[-1].endswith("/loader/entries")


def test_a_grub_that_prefers_a_signed_image_is_told_not_to(machine, installer, programs, tmp_path):
    programs("grub-install")
    installer["grub-install"] = "      --no-uefi-secure-boot\n"
    Grub("grub-install", Path("/m/x86_64-efi"), "blsuki").install_efi(tmp_path, tmp_path / "efi")
    assert machine.commands[-1][-1] == "--no-uefi-secure-boot"


def test_an_installer_that_fails_says_that_the_system_itself_is_there(
    machine, installer, programs, tmp_path
):
    programs("grub-install")
    machine.failing["grub-install",] = (1, "error: no BIOS boot partition")
    bios = Grub("grub-install", Path("/m/i386-pc"), "blsuki")
    plan = LoaderPlan(Bootloader.GRUB, tmp_path, "/dev/vda", None, (bios,))
    with pytest.raises(OrchError, match="grub-install exited with status 1") as caught:
        apply_bootloader(plan, tmp_path)
    assert caught.value.__notes__ == [
        "The system itself is installed; only its boot loader is missing."
    ]


def test_bootupd_installs_from_the_deployment(machine, installer, programs, tmp_path):
    programs("bootupctl")
    installer["bootupctl"] = ""
    apply_bootloader(LoaderPlan(Bootloader.BOOTUPD, tmp_path, "/dev/vda"), Path("/deployment"))
    assert machine.commands == [
        (
            "bootupctl", "backend", "install", "--auto", "--write-uuid",
            "--src-root=/deployment", "--device=/dev/vda", str(tmp_path),
        )
    ]  # fmt: skip


def test_the_firmware_of_each_machine_loads_its_own_platform(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert _efi_platform() == "arm64-efi"
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    with pytest.raises(ToolError, match=r"^There is no GRUB for UEFI on s390x\.$"):
        _efi_platform()


def test_a_driver_on_the_system_partition_is_seen(tmp_path):
    assert not bootctl.has_driver(tmp_path)
    drivers = tmp_path / "EFI/systemd/drivers"
    drivers.mkdir(parents=True)
    (drivers / "README").touch()
    assert not bootctl.has_driver(tmp_path)
    (drivers / "ext4x64.efi").touch()
    assert bootctl.has_driver(tmp_path)
