"""The text of a unit file as podman's quadlet generator reads it; parser only, no files.

The rules differ in small things from systemd's own: a value that stands wholly in double quotes
loses them, a backslash at the end of a line joins without a space, and a comment inside a
continuation is skipped.
Source: podman 5.8, ``pkg/systemd/parser/unitfile.go``; systemd.syntax(7).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from bound_images.errors import DefinitionError
from bound_images.units.words import split_arguments, split_strings

# The white space that the generator's language trims; Python's own set has four controls more.
WHITESPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
BYTE_ORDER_MARK = "\ufeff"
TRUE_WORDS = frozenset({"1", "yes", "true", "on"})
FALSE_WORDS = frozenset({"0", "no", "false", "off"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``Key=Value`` line.

    Attributes:
        section: The section's name, without brackets.
        key: The key, as written; keys are case-sensitive.
        value: The value after continuation lines were joined, without leading white space.
        source: The file that holds the line.
        line: The number of the line that ends the setting, counted from 1.
    """

    section: str
    key: str
    value: str
    source: str
    line: int


@dataclass(frozen=True, slots=True)
class UnitFile:
    """The settings of a unit, in the order in which they were read."""

    settings: tuple[Setting, ...]
    sections: tuple[str, ...]

    def merged(self, other: UnitFile) -> UnitFile:
        """Return this unit with the settings of the drop-in *other* after its own."""
        new = tuple(name for name in other.sections if name not in self.sections)
        return UnitFile((*self.settings, *other.settings), (*self.sections, *new))

    def all_settings(self, section: str, key: str) -> tuple[Setting, ...]:
        """Return every line that sets *key*, those before the last empty assignment left out."""
        found: list[Setting] = []
        for setting in self.settings:
            if (setting.section, setting.key) == (section, key):
                found = [*found, setting] if setting.value else []
        return tuple(found)

    def last_setting(self, section: str, key: str) -> Setting | None:
        """Return the line that has the last word on *key*, which may be empty, or None."""
        lines = [s for s in self.settings if (s.section, s.key) == (section, key)]
        return lines[-1] if lines else None

    def has(self, section: str, key: str) -> bool:
        """Say whether *key* is set at all, be it to nothing."""
        return self.last_setting(section, key) is not None

    def value(self, section: str, key: str) -> str | None:
        """Return the last value of *key* without surrounding double quotes, or None."""
        setting = self.last_setting(section, key)
        return None if setting is None else _unquote(setting.value)

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Return every value of the list *key*, not split into words."""
        return tuple(setting.value for setting in self.all_settings(section, key))

    def strings(self, section: str, key: str) -> tuple[str, ...]:
        """Return the words of the list *key*, unquoted, backslashes kept."""
        return tuple(word for value in self.values(section, key) for word in split_strings(value))

    def arguments(self, section: str, key: str) -> tuple[str, ...]:
        """Return the words of the list *key*, unquoted and unescaped as a command line's.

        A value with an unknown escape is dropped whole, as the generator does.
        """
        return tuple(
            word for value in self.values(section, key) for word in split_arguments(value) or ()
        )

    def boolean(self, section: str, key: str) -> bool | None:
        """Return the truth of *key*, or None where it is not set; what is unknown is false."""
        text = self.value(section, key)
        return None if text is None else text.lower() in TRUE_WORDS

    def keys(self, section: str) -> tuple[str, ...]:
        """Return the keys that *section* sets, in order, each once."""
        return tuple(dict.fromkeys(s.key for s in self.settings if s.section == section))


def parse(text: str, *, source: str) -> UnitFile:
    """Read the unit file *source*, whose content is *text*.

    Raises:
        DefinitionError: the text begins with a byte order mark, a line is neither comment, section
            nor setting, a setting stands before the first section, or a section or key has an
            impossible name.
    """
    if text.startswith(BYTE_ORDER_MARK):
        raise DefinitionError(
            f"{source}:1: the file begins with a byte order mark.",
            hint="Save the file without one.",
            path=source,
        )
    section: str | None = None
    sections: dict[str, None] = {}
    settings: list[Setting] = []
    for number, line in _logical_lines(text):
        if _is_section(line):
            section = _section_name(line, source, number)
            sections[section] = None
        elif "=" in line[1:] and not line.startswith("="):
            if section is None:
                raise _bad_line(source, number, "a setting stands before the first section")
            settings.append(_setting(line, section, source, number))
        else:
            raise _bad_line(source, number, f"{line!r:.80} is no setting, section or comment")
    return UnitFile(tuple(settings), tuple(sections))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not comments, joined where a backslash asks for it."""
    lines = text.removesuffix("\n").split("\n")
    pending = ""
    for number, raw in enumerate(lines, start=1):
        line = raw.strip(WHITESPACE)
        if not line or line[0] in "#;":
            # Inside a continuation a comment is skipped, not joined.
            continue
        if line.endswith("\\"):
            line = line[:-1]
            if number != len(lines):
                pending += line
                continue
        line, pending = pending + line, ""
        if line and line[0] not in "#;":
            yield number, line


def _is_section(line: str) -> bool:
    head, bracket, rest = line.partition("]")
    return head.startswith("[") and bracket == "]" and not rest.strip(" \t")


def _section_name(line: str, source: str, number: int) -> str:
    name = line[1 : line.index("]")]
    if not name or "[" in name or any(unicodedata.category(c) == "Cc" for c in name):
        raise _bad_line(source, number, f"{name!r} is no name for a section")
    return name


def _setting(line: str, section: str, source: str, number: int) -> Setting:
    key, _, value = line.partition("=")
    key = key.rstrip(WHITESPACE)
    if not key or key[0] == " ":
        raise _bad_line(source, number, f"{key!r} is no name for a key")
    return Setting(section, key, value.lstrip(WHITESPACE), source, number)


def _unquote(value: str) -> str:
    value = value.rstrip(WHITESPACE)
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def _bad_line(source: str, number: int, what: str) -> DefinitionError:
    return DefinitionError(f"{source}:{number}: {what}.", path=source)
