"""The database of dpkg, and the order of Debian's versions.

Source: deb822(5), dpkg-query(1) for the states of a package, deb-version(7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from bootc_orch.model.packages.package import Package
from bootc_orch.model.packages.version_number import number_key
from orch_frame.errors import InvalidImageError

# States in which none of the files of a package but its configuration are there.
_ABSENT = ("not-installed", "config-files")
_FIELDS = ("package", "status", "architecture", "version")
_PIECE = re.compile(r"([^0-9]*)([0-9]*)")
_Piece = tuple[tuple[int, ...], tuple[int, str]]


def parse_status(lines: Iterable[str], *, source: str) -> Iterator[Package]:
    """Read the packages that are installed from the lines of dpkg's file ``status``.

    Raises:
        InvalidImageError: a package has no name, state or version.
    """
    for fields in _stanzas(lines):
        if _state(fields, source) not in _ABSENT:
            yield _package(fields, source)


def compare_versions(one: str, other: str) -> int:
    """Order two Debian versions; see `bootc_orch.model.packages.package.Order`."""
    for left, right in zip(_split(one), _split(other), strict=True):
        if result := _compare_part(left, right):
            return result
    return 0


def _stanzas(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield `_FIELDS` of each stanza that has anything; they stand on one line each."""
    fields: dict[str, str] = {}
    begun = False
    for line in lines:
        if not line.strip():
            if begun:
                yield fields
            fields, begun = {}, False
        elif not line[0].isspace():
            begun = True
            name, _, value = line.partition(":")
            if (key := name.lower()) in _FIELDS:
                fields[key] = value.strip()
    if begun:
        yield fields


def _state(fields: dict[str, str], source: str) -> str:
    words = _require(fields, "status", source).split()
    if len(words) != 3:
        raise InvalidImageError(
            f"{source}: {fields['status']!a} is not the state of a package.", path=source
        )
    return words[2]


def _package(fields: dict[str, str], source: str) -> Package:
    name, version = (_require(fields, key, source) for key in ("package", "version"))
    return Package(name, fields.get("architecture", ""), version)


def _require(fields: dict[str, str], key: str, source: str) -> str:
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
