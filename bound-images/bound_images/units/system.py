"""What a root says about itself: its ``os-release``, and the processor that it is made for."""

from __future__ import annotations

from bound_images.rootfs import Root
from bound_images.units.specifiers import System, parse_os_release
from orch_frame.errors import OrchError

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
# Programs that every root has one of; the head of the file tells the processor.
PROGRAMS = ("/usr/lib/systemd/systemd", "/usr/bin/env", "/bin/sh", "/usr/bin/bash")
MAX_PROGRAM_BYTES = 64 * 1024 * 1024
# e_machine of an ELF header, and whether it is little endian -> systemd's word.
_MACHINES = {
    (62, True): "x86-64",
    (3, True): "x86",
    (183, True): "arm64",
    (40, True): "arm",
    (243, True): "riscv64",
    (258, True): "loongarch64",
    (21, True): "ppc64-le",
    (21, False): "ppc64",
    (22, False): "s390x",
}


def system_of(root: Root) -> System:
    """Read what specifiers can be known from *root*; what is missing stands for nothing."""
    for path in OS_RELEASE:
        if root.exists(path):
            return System(parse_os_release(root.read_text(path)), _architecture(root))
    return System({}, _architecture(root))


def machine_of(header: bytes) -> str | None:
    """Return systemd's word for the processor of the ELF file that begins with *header*.

    Source: elf(5), ``e_ident`` and ``e_machine``.
    """
    if len(header) < 20 or header[:4] != b"\x7fELF":
        return None
    little = header[5] == 1
    machine = int.from_bytes(header[18:20], "little" if little else "big")
    return _MACHINES.get((machine, little))


def _architecture(root: Root) -> str | None:
    for path in PROGRAMS:
        try:
            header = root.read_bytes(path, limit=MAX_PROGRAM_BYTES)[:20]
        except OrchError:
            continue
        if word := machine_of(header):
            return word
    return None
