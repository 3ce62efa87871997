"""os-release: what an operating system calls itself.

Source: os-release(5).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class OsRelease:
    """The names and versions of an operating system.

    Attributes:
        values: Every variable of the file.
    """

    values: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an os-release file; a line that is no assignment is passed over."""
        values: dict[str, str] = {}
        for line in text.split("\n"):
            name, equals, value = line.strip().partition("=")
            if not equals or name.startswith("#") or not name.isidentifier():
                continue
            try:
                words = shlex.split(value)
            except ValueError:
                continue
            values[name] = words[0] if words else ""
        return cls(tuple(values.items()))

    def get(self, name: str) -> str | None:
        """Return the variable *name*, or None."""
        return dict(self.values).get(name)

    @property
    def pretty_name(self) -> str:
        """The name for people."""
        return self.get("PRETTY_NAME") or self.get("NAME") or "Linux"
