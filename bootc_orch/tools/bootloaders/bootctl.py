"""systemd-boot's installer.

Source: bootctl(1), systemd-boot(7).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bootc_orch.process import program_exists, run
from bootc_orch.tools.mounts import bind
from orch_frame.below import Below
from orch_frame.errors import ToolMissingError

PROGRAM = "bootctl"
PACKAGE = "systemd-boot on Debian, systemd-boot-unsigned on Fedora"
# Where it finds drivers for other filesystems than FAT, below the EFI system partition.
DRIVERS = Path("EFI/systemd/drivers")


def require_program() -> None:
    """Make sure that the installer is there.

    Raises:
        ToolMissingError: it is not.
    """
    if not program_exists(PROGRAM):
        raise ToolMissingError(PROGRAM, package=PACKAGE)


def has_driver(esp: Path) -> bool:
    """Say whether there is a driver for some other filesystem on the EFI system partition."""
    return any(name.endswith(".efi") for name in Below(esp).names(DRIVERS))


def install(esp: Path) -> None:
    """Install systemd-boot on the EFI system partition that is mounted at *esp*.

    The installer sees nothing but the partition: what else it writes below a root is for systems
    that kernel-install updates, and systemd 262 refuses a ``/boot/loader`` that is a link, as
    ostree's is.  The variables of the firmware that runs now are left alone: the disk may go
    elsewhere.

    Raises:
        CommandError: it failed, as where *esp* is no FAT.
    """
    with tempfile.TemporaryDirectory(prefix="bootc-orch-") as directory:
        root = Path(directory)
        (root / "efi").mkdir()
        with bind(esp, root / "efi"):
            run(
                [
                    PROGRAM, "install", f"--root={root}", "--esp-path=/efi", "--no-variables",
                    "--entry-token=literal:ostree",  # else systemd 262 wants a machine or an OS ID
                ]
            )  # fmt: skip
