"""Boot loader entries: ``/boot/loader/entries/*.conf``.

Source: the UAPI group's Boot Loader Specification, type 1, with libostree's use of ``version`` as
the order of deployments and of ``ostree=`` as the link to one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from orch_frame.errors import StoreDamagedError

_OSTREE_PATH = re.compile(r"/ostree/boot\.([01])/([^/]+)/([0-9a-f]+)/([0-9]{1,9})")
# libostree counts deployments here; Python does not convert thousands of digits.
_VERSION_DIGITS_MAX = 19


@dataclass(frozen=True, slots=True)
class BootLink:
    """Where the ``ostree=`` argument of an entry points.

    Attributes:
        bootversion: 0 or 1: which of the two link farms.
        stateroot: The stateroot's name.
        bootcsum: The checksum of kernel and initramfs.
        treeserial: The number among deployments that share the kernel.
    """

    bootversion: int
    stateroot: str
    bootcsum: str
    treeserial: int

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Read ``/ostree/boot.N/STATEROOT/BOOTCSUM/SERIAL``; None if *path* is something else."""
        match = _OSTREE_PATH.fullmatch(path)
        if match is None:
            return None
        return cls(int(match[1]), match[2], match[3], int(match[4]))

    def __str__(self) -> str:
        """Write the path as the kernel gets it."""
        return f"/ostree/boot.{self.bootversion}/{self.stateroot}/{self.bootcsum}/{self.treeserial}"


@dataclass(frozen=True, slots=True)
class BootEntry:
    """One entry.

    Attributes:
        name: The file's name.
        keys: Every key with its value, in the order of the file.
    """

    name: str
    keys: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str, *, name: str) -> Self:
        """Read an entry.

        Raises:
            StoreDamagedError: a line has a key without a value, or a control character; or the
                version is a number that no deployment can have.
        """
        keys = []
        for line in text.split("\n"):
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            key, _, value = stripped.replace("\t", " ").partition(" ")
            if not value.strip() or not key.isascii() or not stripped.isprintable():
                raise StoreDamagedError(
                    f"The boot entry {name} has a damaged line: {stripped[:80]!a}.", path=name
                )
            keys.append((key, value.strip()))
        entry = cls(name, tuple(keys))
        if entry._is_numbered() and len(entry.get("version") or "") > _VERSION_DIGITS_MAX:
            raise StoreDamagedError(
                f"The boot entry {name} has a version of more than {_VERSION_DIGITS_MAX} digits.",
                path=name,
            )
        return entry

    def get(self, key: str) -> str | None:
        """Return the first value of *key*, or None."""
        return next((value for found, value in self.keys if found == key), None)

    @property
    def version(self) -> int:
        """The entry's place: the highest is the default; 0 if it is no number."""
        return int(self.get("version") or "") if self._is_numbered() else 0

    def _is_numbered(self) -> bool:
        text = self.get("version") or ""
        return text.isdecimal() and text.isascii()

    @property
    def options(self) -> str:
        """The kernel's command line."""
        return self.get("options") or ""

    @property
    def link(self) -> BootLink | None:
        """The deployment's link; None for an entry that libostree did not write."""
        for argument in self.options.split():
            key, _, value = argument.partition("=")
            if key == "ostree":
                return BootLink.parse(value)
        return None
