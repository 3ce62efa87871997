"""The database of apk, and the order of Alpine's versions.

Source: apk-package(5) for the database, which is the index with more fields; apk-tools' tests and
documentation of versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from bootc_orch.model.packages.dpkg import compare_versions as compare_loosely
from bootc_orch.model.packages.package import Package
from bootc_orch.model.packages.version_number import number_key
from orch_frame.errors import InvalidImageError

# Sorts as what it stands for does; only keys of the same thing are compared.
_Key = tuple[int | str, ...]

_FIELDS = ("P", "V", "A")
_VERSION = re.compile(
    r"(?P<numbers>[0-9]+(?:\.[0-9]+)*)(?P<letter>[a-z]?)"
    r"(?P<suffixes>(?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-9]*)*)"
    r"(?:~[0-9a-f]+)?(?:-r(?P<revision>[0-9]+))?"
)
_SUFFIX = re.compile(r"_([a-z]+)([0-9]*)")
# Where a suffix sorts; a version without one is 0.
_SUFFIXES = {"alpha": -4, "beta": -3, "pre": -2, "rc": -1}
_SUFFIXES |= {"cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}
_NO_SUFFIX: _Key = (0, *number_key(""))


def parse_installed(lines: Iterable[str], *, source: str) -> Iterator[Package]:
    """Read the packages from the lines of apk's file ``installed``.

    ``P:`` is the name, ``V:`` the version, ``A:`` the machine.

    Raises:
        InvalidImageError: a package has no name or no version.
    """
    for fields in _stanzas(lines):
        if not fields.get("P") or not fields.get("V"):
            raise InvalidImageError(
                f"{source}: {fields.get('P') or 'a package'} has no name or no version.",
                path=source,
            )
        yield Package(fields["P"], fields.get("A", ""), fields["V"])


def compare_versions(one: str, other: str) -> int:
    """Order two versions of apk; see `bootc_orch.model.packages.package.Order`.

    What is no such version is compared as a Debian one, which comes close.
    """
    left, right = _VERSION.fullmatch(one), _VERSION.fullmatch(other)
    if left is None or right is None:
        return compare_loosely(one, other)
    return (
        _compare_numbers(left["numbers"].split("."), right["numbers"].split("."))
        or _compare((left["letter"],), (right["letter"],))
        or _compare_suffixes(left["suffixes"], right["suffixes"])
        or _compare(_revision(left), _revision(right))
    )


def _stanzas(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield `_FIELDS` of each stanza that has anything.

    The files of the package follow its own fields, under some of the same letters.
    """
    fields: dict[str, str] = {}
    begun = False
    for line in lines:
        if not line.strip():
            if begun:
                yield fields
            fields, begun = {}, False
            continue
        begun = True
        key, _, value = line.partition(":")
        if key in _FIELDS:
            fields.setdefault(key, value.strip())
    if begun:
        yield fields


def _compare_numbers(one: list[str], other: list[str]) -> int:
    """Compare components: with a leading zero, but for the first, they are decimal fractions."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if index and (left.startswith("0") or right.startswith("0")):
            result = _compare((left,), (right,))
        else:
            result = _compare(number_key(left), number_key(right))
        if result:
            return result
    return _compare((len(one),), (len(other),))


def _compare_suffixes(one: str, other: str) -> int:
    pairs = zip_longest(_suffixes(one), _suffixes(other), fillvalue=_NO_SUFFIX)
    return next((result for pair in pairs if (result := _compare(*pair))), 0)


def _suffixes(text: str) -> list[_Key]:
    return [(_SUFFIXES[name], *number_key(digits)) for name, digits in _SUFFIX.findall(text)]


def _revision(match: re.Match[str]) -> _Key:
    return match["revision"] is not None, *number_key(match["revision"] or "")


def _compare(one: _Key, other: _Key) -> int:
    return (one > other) - (one < other)
