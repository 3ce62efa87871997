"""GRUB, where it can make its menu from boot entries: the command ``blscfg``.

GRUB 2.14 has it in its module ``blsuki``, the GRUB of Fedora and of openSUSE in one of the
command's own name; GRUB 2.06 and 2.12 as released have none.
Source: grub-install(8), the manual of GRUB, and ``command.lst`` in its module directories.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from bootc_orch.process import run
from orch_frame.below import Below
from orch_frame.errors import ToolError, ToolMissingError

BIOS = "i386-pc"
# The platform that the firmware of a machine loads, by the name that the kernel has for it.
EFI = {
    "x86_64": "x86_64-efi",
    "i686": "i386-efi",
    "aarch64": "arm64-efi",
    "armv7l": "arm-efi",
    "riscv64": "riscv64-efi",
    "loongarch64": "loongarch64-efi",
}
# Each distribution has one name; the directory in /boot goes with it.
PROGRAMS = {"grub-install": "grub", "grub2-install": "grub2"}
MODULE_DIRECTORIES = (Path("/usr/lib/grub"), Path("/usr/share/grub2"))
PACKAGES = "grub2-common on Debian, grub2-tools on Fedora"
MODULE_PACKAGES = {
    BIOS: "grub-pc-bin on Debian, grub2-pc-modules on Fedora",
    "x86_64-efi": "grub-efi-amd64-bin on Debian, grub2-efi-x64-modules on Fedora",
    "arm64-efi": "grub-efi-arm64-bin on Debian, grub2-efi-aa64-modules on Fedora",
}
# The core image finds /boot by what it probes itself, and that probe sees no partition table where
# the kernel shows none, as behind a loop device with an offset.
PARTITION_MODULES = "part_gpt part_msdos"
# Debian puts its signed image there if it has one.  That has no blscfg, and under Secure Boot, the
# only reason to have it, it loads no module either.
UNSIGNED = "--no-uefi-secure-boot"
CONFIGURATION = """\
# Written by bootc-orch. The menu is made from the boot entries of ostree, anew at every boot;
# what stands in custom.cfg beside this file comes first, such as the settings of a serial console.
set default=0
set timeout=1
if [ -f $prefix/custom.cfg ]; then
    source $prefix/custom.cfg
fi
{menu}
"""
_COMMAND = re.compile(r"\*?(?P<command>\S+): (?P<module>\S+)")


@dataclass(frozen=True, slots=True)
class Grub:
    """A GRUB for one platform that reads boot entries.

    Attributes:
        program: Its installer.
        modules: The directory of its modules, named for the platform.
        bls_module: The module that has the command ``blscfg``.
    """

    program: str
    modules: Path
    bls_module: str

    def install_bios(self, boot: Path, device: str) -> None:
        """Install into *boot* and into the first sectors of *device*.

        Raises:
            CommandError: it failed, as where a GPT has no BIOS boot partition.
        """
        run([*self._command(boot), device])

    def install_efi(self, boot: Path, esp: Path) -> None:
        """Install into *boot*, and into *esp*, the EFI system partition, where any firmware looks.

        The variables of the firmware that runs now are left alone: the disk may go elsewhere.

        Raises:
            CommandError: it failed, as where *esp* is no FAT.
        """
        run(
            [
                *self._command(boot),
                f"--efi-directory={esp}", "--removable", "--no-nvram",
                *([UNSIGNED] if UNSIGNED in run([self.program, "--help"]).text else []),
            ]
        )  # fmt: skip

    def configure(self, boot: Path, entries: str) -> None:
        """Write the configuration that reads *entries*, a path in the filesystem of *boot*."""
        boot.mkdir(parents=True, exist_ok=True)
        below, directory = Below(boot), PROGRAMS[self.program]
        below.make_directory(directory)
        text = configuration(self.bls_module, entries)
        # Readable by root alone, whatever was there: somebody may add a password.
        below.replace(f"{directory}/grub.cfg", text.encode(), mode=0o600, like_old=False)

    def _command(self, boot: Path) -> list[str | Path]:
        return [
            self.program,
            f"--directory={self.modules}",
            f"--boot-directory={boot}",
            f"--modules={PARTITION_MODULES}",
        ]


def find_grub(platform: str) -> Grub:
    """Find the GRUB of this system for *platform*.

    Raises:
        ToolMissingError: there is no installer.
        ToolError: its modules for *platform* are not there, or none of them reads boot entries.
    """
    program = next((name for name in PROGRAMS if which(name)), None)
    if program is None:
        raise ToolMissingError(next(iter(PROGRAMS)), package=PACKAGES)
    found = [place / platform for place in MODULE_DIRECTORIES if (place / platform).is_dir()]
    if not found:
        package = MODULE_PACKAGES.get(platform)
        raise ToolError(
            f"The modules of GRUB for {platform} are not installed: {_places(platform)}.",
            hint="Install the package that has them" + (f": {package}." if package else "."),
        )
    modules = found[0]
    listing = modules / "command.lst"
    commands = parse_commands(listing.read_text()) if listing.exists() else {}
    if "blscfg" not in commands:
        raise ToolError(
            f"The GRUB in {modules} cannot read boot entries: it has no command blscfg, "
            "so it would not boot the system.",
            hint="Install with GRUB 2.14 or newer, where the module blsuki has it; "
            "or with --bootloader none, and set another boot loader up.",
            path=str(listing),
        )
    return Grub(program, modules, commands["blscfg"])


def _places(platform: str) -> str:
    return " and ".join(str(place / platform) for place in MODULE_DIRECTORIES) + " are missing"


def parse_commands(text: str) -> dict[str, str]:
    """Read which module has which command; a command with options is marked with an asterisk."""
    return {
        match["command"]: match["module"]
        for match in map(_COMMAND.fullmatch, text.split("\n"))
        if match
    }


def configuration(bls_module: str, entries: str) -> str:
    """Return a ``grub.cfg`` whose menu is made from the boot entries in *entries*.

    Of its own, ``blscfg`` of GRUB looks in ``/loader/entries`` only; the one of Fedora knows no
    option, and looks in ``/boot`` next.
    """
    return CONFIGURATION.format(
        menu=f"blscfg --path {entries}" if bls_module == "blsuki" else "blscfg"
    )
