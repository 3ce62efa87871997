"""A virtual machine that boots what is deployed on a disk image, runs a script and powers off.

The script is the raw content of a disk of its own; what it prints comes back over the second serial
line, because the console's is hung up under a writer when its getty starts.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OFFSET = 1 << 20
BOOT_SECONDS = 900
PROBE_SECONDS = 10
END = "SCRIPT-END"
SCRIPT_UNIT = """\
[Unit]
Description=Run the script on the script disk, then power off
After=multi-user.target
[Service]
Type=exec
ExecStartPre=/bin/bash -c 'tr -d "\\\\000" </dev/disk/by-id/virtio-script >/run/script'
ExecStart=/bin/bash -c 'exec bash /run/script >/dev/ttyS1 2>&1'
ExecStopPost=/bin/sh -c 'echo SCRIPT-END >/dev/ttyS1; systemctl --no-block poweroff'
[Install]
WantedBy=multi-user.target
"""


class MachineError(AssertionError):
    """The machine did not boot, or its script did not come to its end."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk image with one ext4 filesystem, labelled ``root``.

    Attributes:
        path: The image file.
    """

    path: Path

    @classmethod
    def create(cls, path: Path, *, size_mib: int = 6144) -> Disk:
        with path.open("wb") as stream:
            stream.truncate(size_mib << 20)
        subprocess.run(
            ["sfdisk", "--quiet", path], input=b"start=2048, type=83, bootable\n", check=True
        )
        subprocess.run(
            [
                "mkfs.ext4", "-q", "-F", "-L", "root", "-O", "verity", "-E", f"offset={OFFSET}",
                "-b", "4096", path, str((size_mib - 1) << 8),
            ],
            check=True,
        )  # fmt: skip
        return cls(path)

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount the filesystem while the block runs."""
        with tempfile.TemporaryDirectory(prefix="disk-") as directory:
            subprocess.run(
                ["mount", "-o", f"loop,offset={OFFSET}", self.path, directory], check=True
            )
            try:
                yield Path(directory)
            finally:
                subprocess.run(["umount", directory], check=True)


def boot(
    disk: Disk, script: str, log: Path, *, images: Path | None = None, extra: Sequence[str] = ()
) -> str:
    """Boot the default entry of *disk*, run *script* in it, and return what it printed.

    The kernel is started directly with what the boot entry names, so the test depends on the entry
    and not on a boot loader.

    Raises:
        MachineError: the end of the script was not reached in time; the console's end is in it.
    """
    with tempfile.TemporaryDirectory(prefix="boot-") as directory:
        work = Path(directory)
        with disk.mounted() as root:
            kernel, initrd, options = _default_entry(root, work)
        (work / "script").write_bytes(_padded(script))
        console, output = log.with_suffix(".console"), log.with_suffix(".output")
        command = [
            "qemu-system-x86_64", *accelerator(kernel), "-m", "2048", "-smp", "1",
            "-display", "none", "-no-reboot", "-nic", "none", "-monitor", "none",
            "-serial", f"file:{console}", "-serial", f"file:{output}",
            "-drive", f"file={disk.path},format=raw,if=virtio,cache=unsafe",
            "-drive", f"file={work / 'script'},format=raw,if=none,id=script,readonly=on",
            "-device", "virtio-blk-pci,drive=script,serial=script",
            *_images_drive(images),
            "-kernel", kernel, "-initrd", initrd,
            "-append", " ".join([options, "panic=-1", *extra]),
        ]  # fmt: skip
        _run_machine(command, console)
    printed = output.read_text(errors="replace").replace("\r\n", "\n")
    if END not in printed:
        tail = console.read_text(errors="replace")[-3000:]
        raise MachineError(f"The script did not end.\n{printed[-3000:]}\n--- console\n{tail}")
    return printed.partition(END)[0]


@cache
def accelerator(kernel: Path) -> tuple[str, ...]:
    """Choose KVM where *kernel* says a word under it, else emulation.

    A nested or restricted KVM opens its device and then stops at the first instruction that it
    cannot run, so asking QEMU to fall back by itself is not enough.
    """
    fast = ("-accel", "kvm", "-cpu", "max")
    command = [
        "qemu-system-x86_64", *fast, "-m", "512", "-display", "none", "-nic", "none", "-no-reboot",
        "-monitor", "none", "-serial", "stdio", "-kernel", kernel,
        "-append", "console=ttyS0 panic=-1",
    ]  # fmt: skip
    try:
        said = subprocess.run(
            command, capture_output=True, timeout=PROBE_SECONDS, check=False
        ).stdout
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
    return fast if b"Linux version" in said else ("-accel", "tcg", "-cpu", "max")


def _run_machine(command: Sequence[object], console: Path) -> None:
    try:
        subprocess.run([str(word) for word in command], timeout=BOOT_SECONDS, check=True)
    except subprocess.TimeoutExpired as error:
        tail = console.read_text(errors="replace")[-3000:]
        raise MachineError(f"The machine did not power off.\n--- console\n{tail}") from error


def _default_entry(root: Path, work: Path) -> tuple[Path, Path, str]:
    """Copy kernel and initramfs of the default boot entry out, and return its options."""
    entries = sorted((root / "boot/loader/entries").glob("ostree-*.conf"))
    keys = dict(
        line.split(" ", 1) for line in entries[-1].read_text().splitlines() if " " in line.strip()
    )
    kernel, initrd = work / "vmlinuz", work / "initrd"
    for key, target in (("linux", kernel), ("initrd", initrd)):
        path = keys[key].strip().removeprefix("/boot").lstrip("/")  # ostree 2022.7 adds no prefix
        target.write_bytes((root / "boot" / path).read_bytes())
    return kernel, initrd, keys["options"]


def _images_drive(images: Path | None) -> list[str]:
    if images is None:
        return []
    drive = f"file={images},format=raw,if=none,id=images,readonly=on"
    return ["-drive", drive, "-device", "virtio-blk-pci,drive=images,serial=images"]


def _padded(script: str) -> bytes:
    data = script.encode()
    return data + bytes(-len(data) % 4096 + 4096)


def images_disk(tree: Path, target: Path) -> Path:
    """Make a filesystem image with the content of *tree*."""
    used = int(subprocess.check_output(["du", "-sm", tree]).split()[0])
    target.unlink(missing_ok=True)
    with target.open("wb") as stream:
        stream.truncate((used + used // 8 + 64) << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "images", "-d", tree, target], check=True)
    os.sync()
    return target
