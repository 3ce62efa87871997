"""The images, made once for all boots."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from system.installer import Installer
from system.machine import images_disk
from system.os_images import Images, build_images


@dataclass(frozen=True, slots=True)
class Laboratory:
    """What every machine needs.

    Attributes:
        images: The images.
        installer: Runs the program outside of a machine.
        disk: A disk with the images, for the inside.
        directory: Room for disks and logs.
    """

    images: Images
    installer: Installer
    disk: Path
    directory: Path


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Laboratory]:
    directory = Path(tempfile.mkdtemp(prefix="bootc-orch-boot-", dir="/var/tmp"))
    try:
        images = build_images(directory / "images")
        installer = Installer(directory / "installer", images, images.program)
        disk = images_disk(directory / "images", directory / "images.disk")
        yield Laboratory(images, installer, disk, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
