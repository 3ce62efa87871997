"""Boot loader installers: each is run by name only, and never guessed.

Source: bootupctl(8), grub-install(8), bootctl(1).
"""

from __future__ import annotations

from pathlib import Path

from bootc_orch.errors import ToolMissingError, UsageError
from bootc_orch.model.bootloader import Bootloader
from bootc_orch.process import program_exists, run

_PROGRAMS = {
    Bootloader.BOOTUPD: "bootupctl",
    Bootloader.GRUB: "grub-install",
    Bootloader.SYSTEMD: "bootctl",
}


def require_installer(loader: Bootloader) -> None:
    """Make sure, before anything is written, that the installer of *loader* is there.

    Raises:
        ToolMissingError: it is not.
    """
    program = _PROGRAMS.get(loader)
    if program is not None and not program_exists(program):
        raise ToolMissingError(program)


def install_bootloader(loader: Bootloader, root: Path, device: str | None) -> None:
    """Install *loader* for the system in *root*, on *device* where it needs one.

    Raises:
        UsageError: a device is needed, and none is given.
        ToolMissingError: the installer is not there.
        CommandError: it failed.
    """
    if loader is Bootloader.NONE:
        return
    require_installer(loader)
    if loader is Bootloader.SYSTEMD:
        run(["bootctl", "install", f"--root={root}"])
        return
    if device is None:
        raise UsageError(
            f"The boot loader {loader} needs a device.", hint="Name it with --bootloader-device."
        )
    if loader is Bootloader.GRUB:
        run(["grub-install", f"--boot-directory={root / 'boot'}", device])
        return
    run(
        [
            "bootupctl", "backend", "install", "--auto", "--write-uuid",
            "--device", device, str(root),
        ]
    )  # fmt: skip
