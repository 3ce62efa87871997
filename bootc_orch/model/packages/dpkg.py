"""The database of dpkg, and the order of Debian's versions.

Source: deb822(5), dpkg-query(1) for the states of a package, deb-version(7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest

from bootc_orch.model.packages.package import Package
from bootc_orch.model.packages.version_number import number_key
from orch_frame.errors import InvalidImageError

# States in which none of the files of a package but its configuration are there.
_ABSENT = ("not-installed", "config-files")
_PIECE = re.compile(r"([^0-9]*)([0-9]*)")
_Piece = tuple[tuple[int, ...], tuple[int, str]]


def parse_status(text: str, *, source: str) -> tuple[Package, ...]:
    """Read the packages that are installed from dpkg's file ``status``.

    Raises:
        InvalidImageError: a package has no name, state or version.
    """
    return tuple(
        _package(fields, source)
        for fields in _stanzas(text)
        if _state(fields, source) not in _ABSENT
    )


def compare_versions(one: str, other: str) -> int:
    """Order two Debian versions; see `bootc_orch.model.packages.package.Order`."""
    for left, right in zip(_split(one), _split(other), strict=True):
        if result := _compare_part(left, right):
            return result
    return 0


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each stanza; of a field that is continued only the first line."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif not line[0].isspace():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
    if fields:
        yield fields


def _state(fields: dict[str, str], source: str) -> str:
    words = _required(fields, "status", source).split()
    if len(words) != 3:
        raise InvalidImageError(
            f"{source}: {fields['status']!a} is not the state of a package.", path=source
        )
    return words[2]


def _package(fields: dict[str, str], source: str) -> Package:
    name, version = (_required(fields, key, source) for key in ("package", "version"))
    return Package(name, fields.get("architecture", ""), version)


def _required(fields: dict[str, str], key: str, source: str) -> str:
    if not fields.get(key):
        name = fields.get("package") or "a package without a name"
        raise InvalidImageError(f"{source}: {name} has no field {key.title()}.", path=source)
    return fields[key]


def _split(version: str) -> tuple[str, str, str]:
    """Return epoch, upstream version and revision; what is missing is as good as 0."""
    epoch, colon, rest = version.partition(":")
    upstream, dash, revision = (rest if colon else version).rpartition("-")
    if not dash:
        upstream, revision = revision, ""
    return (epoch if colon else "", upstream, revision)


def _compare_part(one: str, other: str) -> int:
    end: _Piece = ((0,), (0, ""))
    for left, right in zip_longest(_pieces(one), _pieces(other), fillvalue=end):
        if left != right:
            return -1 if left < right else 1
    return 0


def _pieces(part: str) -> Iterator[_Piece]:
    """Yield each run of other characters than digits, with the number that follows it."""
    for text, digits in _PIECE.findall(part):
        yield (*(_weight(character) for character in text), 0), number_key(digits)


def _weight(character: str) -> int:
    """Return where a character sorts: ``~`` before the end (0), letters before all others."""
    if character == "~":
        return -1
    return ord(character) + (0 if character.isascii() and character.isalpha() else 1 << 21)
