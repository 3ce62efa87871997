"""The boot loaders that an installation can bring along."""

from __future__ import annotations

from enum import StrEnum


class Bootloader(StrEnum):
    """Which installer to run."""

    NONE = "none"
    BOOTUPD = "bootupd"
    GRUB = "grub"
    SYSTEMD = "systemd"
