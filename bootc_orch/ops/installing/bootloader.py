"""Which boot loader goes where: decided, or refused, before anything is written.

What is on the disk decides, not how this machine was started, for the disk may be another's: a
named device means BIOS, a mounted EFI system partition means UEFI, both mean both.  A loader that
would find no boot entry, or no kernel by what the entry says, is refused.
"""

from __future__ import annotations

import platform
import stat
from dataclasses import dataclass
from pathlib import Path

from bootc_orch.model.host.bootloader import Bootloader
from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.tools.bootloaders import bootctl, bootupctl, grub
from bootc_orch.tools.mounts import is_mount_point, place_of
from bootc_orch.tools.ostree.admin import require
from bootc_orch.tools.ostree.repo import ostree_version
from orch_frame.errors import OrchError, ToolError, UsageError

# Since then the kernels in boot entries are named as they are found from the root filesystem.
BOOTPREFIX_SINCE = (2023, 2)
ESP_PLACES = ("boot/efi", "efi")
# ostree switches deployments by a symbolic link in /boot.
WITHOUT_LINKS = ("vfat", "msdos", "exfat")


@dataclass(frozen=True, slots=True)
class LoaderPlan:
    """What is installed where; as it is by default, nothing.

    Attributes:
        loader: The boot loader.
        root: The root filesystem that is installed into.
        device: The disk whose first sectors a BIOS reads.
        esp: The mounted EFI system partition.
        grubs: The GRUB of each platform, if it is that.
    """

    loader: Bootloader
    root: Path
    device: str | None = None
    esp: Path | None = None
    grubs: tuple[grub.Grub, ...] = ()


def require_boot_filesystem(root: Path) -> None:
    """Make sure that ostree can deploy to what is, or will be, ``/boot`` below *root*.

    Raises:
        UsageError: it cannot.
    """
    place = place_of(root / "boot")
    if place.kind in WITHOUT_LINKS:
        raise UsageError(
            f"{root / 'boot'} is {place.kind}: ostree needs symbolic links there.",
            hint=f"Mount the EFI system partition at {root / 'boot/efi'} or {root / 'efi'}.",
            path=str(root / "boot"),
        )


def plan_bootloader(loader: Bootloader, root: Path, device: str | None) -> LoaderPlan:
    """Decide how *loader* is installed for the system that is to be in *root*.

    Raises:
        UsageError: where to install it is not said, or it could not read what is there.
        ToolError: its installer, or what that needs, is not there.
    """
    if loader is Bootloader.NONE:
        return LoaderPlan(loader, root)
    if device is not None:
        _require_block_device(device)
    esp = next((root / name for name in ESP_PLACES if is_mount_point(root / name)), None)
    if loader is Bootloader.SYSTEMD:
        return LoaderPlan(loader, root, esp=_plan_systemd_boot(root, esp))
    if loader is Bootloader.BOOTUPD:
        bootupctl.require_program()
        if device is None:
            raise UsageError(
                "bootupd needs a device.", hint="Name the disk with --bootloader-device."
            )
        _require_readable_entries(root)
        return LoaderPlan(loader, root, device)
    if device is None and esp is None:
        raise UsageError(
            "GRUB needs a disk to be installed on.",
            hint="For BIOS name the disk with --bootloader-device; for UEFI mount the EFI system "
            f"partition at {root / 'boot/efi'} or {root / 'efi'}.",
        )
    grubs = [grub.find_grub(grub.BIOS)] if device is not None else []
    if esp is not None:
        grubs.append(grub.find_grub(_efi_platform()))
    _require_readable_entries(root)
    return LoaderPlan(loader, root, device, esp, tuple(grubs))


def require_payload(plan: LoaderPlan, tree: CommitTree) -> None:
    """Make sure that the image brings along what *plan* takes from it.

    Raises:
        ToolError: it has nothing for bootupd to install, which bootupd itself passes over.
    """
    if plan.loader is Bootloader.BOOTUPD and tree.directory(bootupctl.UPDATES) is None:
        raise ToolError(
            f"The image has no boot loader for bootupd to install: {bootupctl.UPDATES} is missing.",
            hint="Build it in with: bootupctl backend generate-update-metadata",
            path=bootupctl.UPDATES,
        )


def apply_bootloader(plan: LoaderPlan, deployment: Path) -> None:
    """Install what *plan* says for the system in *deployment*.

    Raises:
        OrchError: an installer failed; the system itself is installed.
    """
    try:
        _apply(plan, deployment)
    except OrchError as error:
        error.add_note("The system itself is installed; only its boot loader is missing.")
        raise


def _apply(plan: LoaderPlan, deployment: Path) -> None:
    boot = plan.root / "boot"
    for one in plan.grubs:
        one.configure(boot, _entries(plan.root))
        if one.modules.name != grub.BIOS and plan.esp is not None:
            one.install_efi(boot, plan.esp)
        elif plan.device is not None:
            one.install_bios(boot, plan.device)
    if plan.loader is Bootloader.SYSTEMD and plan.esp is not None:
        bootctl.install(plan.esp)
    elif plan.loader is Bootloader.BOOTUPD and plan.device is not None:
        bootupctl.install(deployment, plan.root, plan.device)


def _plan_systemd_boot(root: Path, esp: Path | None) -> Path:
    """Return where it is installed, having made sure that it can read ``/boot`` there."""
    bootctl.require_program()
    if esp is None:
        raise UsageError(
            "systemd-boot needs the EFI system partition.",
            hint=f"Mount it at {root / 'efi'} or {root / 'boot/efi'}.",
        )
    if not is_mount_point(root / "boot"):
        raise UsageError(
            f"systemd-boot reads no root filesystem, and {root / 'boot'} is none of its own.",
            hint=f"Mount a partition of the type XBOOTLDR at {root / 'boot'}.",
        )
    if not bootctl.has_driver(esp):
        raise ToolError(
            f"systemd-boot by itself reads FAT only, and {root / 'boot'} is "
            f"{place_of(root / 'boot').kind}, as ostree needs it.",
            hint=f"Put an EFI driver for that filesystem into {esp / bootctl.DRIVERS}, "
            "or install with --bootloader grub.",
        )
    return esp


def _require_block_device(device: str) -> None:
    path = Path(device)
    if not path.exists() or not stat.S_ISBLK(path.stat().st_mode):
        raise UsageError(f"{device} is no block device.", path=device)


def _require_readable_entries(root: Path) -> None:
    """Make sure that GRUB finds kernels by the paths that boot entries name."""
    boot = place_of(root / "boot").path
    if boot not in ("/", "/boot"):
        raise UsageError(
            f"{root / 'boot'} is {boot} in its filesystem, where GRUB would not find the kernel.",
            hint="Mount the whole filesystem, no directory or subvolume of it.",
            path=str(root / "boot"),
        )
    if boot == "/boot":
        require(BOOTPREFIX_SINCE, "a boot loader that reads /boot on the root filesystem")


def doubt_of_entries(root: Path) -> str | None:
    """Say why what boots *root* may not find the kernels that its boot entries name.

    Nothing can be put right afterwards: ostree writes the entries anew whenever it deploys, also at
    shutdown, when nobody else looks.

    Returns:
        A sentence, or None where they are found by every boot loader that reads them.
    """
    if ostree_version() >= BOOTPREFIX_SINCE or place_of(root / "boot").path == "/":
        return None
    return (
        f"ostree {'.'.join(map(str, ostree_version()))} knows no sysroot.bootprefix, so boot "
        "entries name the kernel /ostree/… although it is at /boot/ostree/… of this filesystem: a "
        "boot loader that reads the entries as they are, such as GRUB with blscfg, does not find "
        "it.  Mount a filesystem of its own at boot, or install with ostree 2023.2 or newer."
    )


def _entries(root: Path) -> str:
    """Where the boot entries are in their filesystem."""
    return f"{place_of(root / 'boot').path.rstrip('/')}/loader/entries"


def _efi_platform() -> str:
    machine = platform.machine()
    if machine not in grub.EFI:
        raise ToolError(f"There is no GRUB for UEFI on {machine}.")
    return grub.EFI[machine]
