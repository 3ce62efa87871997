"""bootupd's installer: it puts the boot loader that an image brings along on a disk.

Source: bootupd's ``src/cli/bootupd.rs`` and ``src/bootupd.rs``.
"""

from __future__ import annotations

from pathlib import Path

from bootc_orch.process import program_exists, run
from orch_frame.errors import ToolMissingError

PROGRAM = "bootupctl"
PACKAGE = "bootupd on Fedora; Debian has none"
# What it installs, in an image; it says nothing and succeeds where that is missing.
UPDATES = "usr/lib/bootupd/updates"


def require_program() -> None:
    """Make sure that the installer is there.

    Raises:
        ToolMissingError: it is not.
    """
    if not program_exists(PROGRAM):
        raise ToolMissingError(PROGRAM, package=PACKAGE)


def install(source: Path, root: Path, device: str) -> None:
    """Install from *source*, a tree with an image's content, into *root* and on *device*.

    Raises:
        CommandError: it failed.
    """
    run(
        [
            PROGRAM, "backend", "install", "--auto", "--write-uuid",
            f"--src-root={source}", f"--device={device}", root,
        ]
    )  # fmt: skip
