"""Expand systemd's ``%`` specifiers and ``$`` variables as far as the target root decides them.

What differs from machine to machine (host name, machine id, kernel) is refused by name.
Source: systemd.unit(5), "Specifiers"; systemd.service(5), "Command lines".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bound_images.errors import DefinitionError
from bound_images.reference import printable

# What a specifier means for units of the system manager, whatever the machine.
FIXED = {
    "C": "/var/cache", "E": "/etc", "g": "root", "G": "0", "h": "/root", "L": "/var/log",
    "S": "/var/lib", "t": "/run", "T": "/tmp", "u": "root", "U": "0", "V": "/var/tmp",
}  # fmt: skip
# os-release fields; each may be missing, and then stands for nothing.
OS_RELEASE = {
    "A": "IMAGE_VERSION", "B": "BUILD_ID", "M": "IMAGE_ID", "o": "ID",
    "w": "VERSION_ID", "W": "VARIANT_ID",
}  # fmt: skip
_SPECIFIER = re.compile(r"%(.?)", re.DOTALL)
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)\}|^\$(\w+)$", re.ASCII)
_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class System:
    """What the target root says about itself.

    Attributes:
        os_release: The fields of its ``os-release``.
        architecture: systemd's word for its processor, such as ``x86-64``; None if unknown.
    """

    os_release: Mapping[str, str]
    architecture: str | None


@dataclass(frozen=True, slots=True)
class Context:
    """What a value is expanded for.

    Attributes:
        service: The name of the service that the generator would write, such as
            ``web-image.service``.
        environment: The variables that the unit itself sets.
        system: The target root.
        source: The unit's file, for messages.
    """

    service: str
    environment: Mapping[str, str]
    system: System
    source: str

    def expand(self, value: str) -> str:
        """Return *value* with specifiers and variables replaced.

        Raises:
            DefinitionError: *value* depends on what only the running machine knows, or on the
                instance of a template that has none.
        """
        return _VARIABLE.sub(self._variable, _SPECIFIER.sub(self._specifier, value))

    def _specifier(self, match: re.Match[str]) -> str:
        letter = match[1]
        if letter == "%":
            return "%"
        if letter in "iI" and self._instance is None:
            raise DefinitionError(
                f"{self.source}: %{letter} needs an instance, and this is a template without one.",
                hint="Bind a link named after an instance, or set DefaultInstance=.",
                path=self.source,
            )
        known = self._of_the_unit() | FIXED
        if letter and letter in known:
            return known[letter]
        if letter in OS_RELEASE:
            return self.system.os_release.get(OS_RELEASE[letter], "")
        if letter == "a" and self.system.architecture:
            return self.system.architecture
        raise DefinitionError(
            f"{self.source}: {printable(match[0])} stands for what only the running machine knows.",
            hint="Write the value out, or use %% for a percent sign.",
            path=self.source,
        )

    def _variable(self, match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        if name not in self.environment:
            raise DefinitionError(
                f"{self.source}: the variable {name} is not set by Environment= in the unit.",
                path=self.source,
            )
        return self.environment[name]

    @property
    def _instance(self) -> str | None:
        _, at, instance = self.service.removesuffix(".service").partition("@")
        return instance if at and instance else None

    def _of_the_unit(self) -> dict[str, str]:
        stem = self.service.removesuffix(".service")
        prefix, instance = stem.partition("@")[0], self._instance or ""
        last = prefix.rpartition("-")[2]
        return {
            "n": self.service, "N": stem, "p": prefix, "P": _unescape(prefix),
            "i": instance, "I": _unescape(instance), "j": last, "J": _unescape(last),
        }  # fmt: skip


def parse_os_release(text: str) -> dict[str, str]:
    """Read the fields of an ``os-release`` file; lines that are none are ignored."""
    fields = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
            fields[key] = re.sub(r"\\(.)", r"\1", value[1:-1] if quoted else value)
    return fields


def _unescape(name: str) -> str:
    """Undo systemd-escape: a dash is a slash, and bytes are written in hexadecimal."""
    raw = name.replace("-", "/").encode(errors="surrogateescape")
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), raw).decode(errors="replace")
