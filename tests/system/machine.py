"""A virtual machine that boots what is deployed on a disk image, runs a script and powers off.

The script is the raw content of a disk of its own; what it prints comes back over the second serial
line, because the console's is hung up under a writer when its getty starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DISK_MIB = 6144
FORMAT = {
    "ext4": ("mkfs.ext4", "-q", "-O", "verity", "-b", "4096", "-L"),
    "vfat": ("mkfs.vfat", "-F", "32", "-n"),
}
FIRMWARE = Path("/usr/share/OVMF")
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


class Start(StrEnum):
    """What starts the kernel: the emulator, by the boot entry, or a boot loader on the disk."""

    DIRECT = "direct"
    BIOS = "bios"
    UEFI = "uefi"


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a disk.

    Attributes:
        label: What its filesystem is called.
        mount: Where it is mounted, below the root.
        kind: Its type, as sfdisk has it.
        filesystem: What it is formatted with.
        start: Where it begins, in MiB.
        size: How long it is, in MiB.
    """

    label: str
    mount: str
    kind: str
    filesystem: str
    start: int
    size: int

    @property
    def options(self) -> list[str]:
        """Where it is in a disk image, for losetup."""
        return ["--offset", str(self.start << 20), "--sizelimit", str(self.size << 20)]


_ONE = (Partition("root", "", "linux", "ext4", 1, 6142),)
_THREE = (
    Partition("root", "", "linux", "ext4", 321, 5822),
    Partition("boot", "boot", "linux", "ext4", 65, 256),
    Partition("ESP", "boot/efi", "uefi", "vfat", 1, 64),
)
LAYOUTS = {
    Start.DIRECT: ("dos", _ONE),
    Start.BIOS: ("dos", _ONE),
    Start.UEFI: ("gpt", _THREE),
}


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk image with a root filesystem, labelled ``root``.

    Attributes:
        path: The image file.
        start: How a machine starts from it.
    """

    path: Path
    start: Start

    @classmethod
    def create(cls, path: Path, start: Start = Start.DIRECT) -> Disk:
        with path.open("wb") as stream:
            stream.truncate(DISK_MIB << 20)
        label, partitions = LAYOUTS[start]
        table = [f"label: {label}"]
        table += [
            f"start={one.start}MiB, size={one.size}MiB, type={one.kind}" for one in partitions
        ]
        subprocess.run(["sfdisk", "--quiet", path], input="\n".join(table).encode(), check=True)
        disk = cls(path, start)
        for one in partitions:
            with disk.device(*one.options) as device:
                command = [*FORMAT[one.filesystem], one.label, device]
                subprocess.run(command, check=True, capture_output=True)
        return disk

    @contextmanager
    def device(self, *options: str) -> Iterator[str]:
        """Show the disk, or the part of it that *options* choose, as a block device."""
        command = ["losetup", "--find", "--show", *options, self.path]
        name = subprocess.check_output(command, text=True).strip()
        try:
            yield name
        finally:
            subprocess.run(["losetup", "--detach", name], check=True)

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount the filesystems while the block runs."""
        with tempfile.TemporaryDirectory(prefix="disk-") as directory, ExitStack() as stack:
            for one in LAYOUTS[self.start][1]:
                target = Path(directory) / one.mount
                target.mkdir(exist_ok=True)
                device = stack.enter_context(self.device(*one.options))
                how = _mounted_fat if one.filesystem == "vfat" else _mounted
                stack.enter_context(how(device, target))
            yield Path(directory)


@contextmanager
def _mounted(device: str, target: Path) -> Iterator[None]:
    subprocess.run(["mount", device, target], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


@contextmanager
def _mounted_fat(device: str, target: Path) -> Iterator[None]:
    """Mount a FAT by the kernel, or by FUSE where the kernel has none."""
    with ExitStack() as stack:
        kernel = ["mount", "-t", "vfat", device, target]
        if subprocess.run(kernel, capture_output=True, check=False).returncode:
            command = ["fusefat", "-f", "-o", f"rw+,fsname={device}", device, target]
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = stack.enter_context(subprocess.Popen(command, **silent))
            while not os.path.ismount(target):
                assert process.poll() is None, "fusefat has ended"
                time.sleep(0.1)
        try:
            yield
        finally:
            subprocess.run(["umount", target], check=True)


def boot(disk: Disk, script: str, log: Path, *, images: Path | None = None) -> str:
    """Boot the default entry of *disk*, run *script* in it, and return what it printed.

    Where the disk has no boot loader, the kernel is started directly with what the entry says.

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
            "-drive", f"file={disk.path},format=raw,if=none,id=root,cache=unsafe",
            "-device", "virtio-blk-pci,drive=root,bootindex=1",
            "-drive", f"file={work / 'script'},format=raw,if=none,id=script,readonly=on",
            "-device", "virtio-blk-pci,drive=script,serial=script",
            *_images_drive(images),
            *_start(disk, work, ("-kernel", kernel, "-initrd", initrd, "-append", options)),
        ]  # fmt: skip
        _run_machine(command, console)
    printed = output.read_text(errors="replace").replace("\r\n", "\n")
    if END not in printed:
        tail = console.read_text(errors="replace")[-3000:]
        raise MachineError(f"The script did not end.\n{printed[-3000:]}\n--- console\n{tail}")
    return printed.partition(END)[0]


def _start(disk: Disk, work: Path, direct: tuple[str | Path, ...]) -> tuple[str | Path, ...]:
    if disk.start is Start.DIRECT:
        return direct
    if disk.start is Start.BIOS:
        return ()
    code, variables = FIRMWARE / "OVMF_CODE_4M.fd", work / "variables"
    shutil.copy(FIRMWARE / "OVMF_VARS_4M.fd", variables)
    flash = "if=pflash,format=raw"
    return ("-drive", f"{flash},readonly=on,file={code}", "-drive", f"{flash},file={variables}")


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
