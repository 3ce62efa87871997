"""The headers in a database of rpm, its listing, and the order of its versions.

Source: rpm's documentation of the header (format of packages, v4), rpm-queryformat(7),
rpm-version(7).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import zip_longest

from bootc_orch.model.packages.package import TEXT_MAX, Package
from bootc_orch.model.packages.version_number import number_key
from orch_frame.errors import InvalidImageError

# What `parse_listing` reads: one line a package, fields parted by a character no field can hold.
LISTING_FORMAT = r"%{NAME}\t%|EPOCH?{%{EPOCH}}:{}|\t%{VERSION}\t%{RELEASE}\t%|ARCH?{%{ARCH}}:{}|\n"

# rpm refuses headers with more tags.
TAGS_MAX = 0xFFFF
_INTRO = struct.Struct(">II")
_ENTRY = struct.Struct(">IIII")
_INT32, _STRING = 4, 6
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022
_PIECE = re.compile(r"~|\^|[0-9]+|[A-Za-z]+")


def parse_header(blob: bytes, *, source: str) -> Package:
    """Read a package from its header, as it stands in the database: without the magic number.

    Raises:
        InvalidImageError: it is malformed, or has no name, version or release.
    """
    try:
        values = dict(_values(blob))
    except (struct.error, ValueError) as error:
        raise InvalidImageError(
            f"{source}: the header of a package is malformed.", details=str(error), path=source
        ) from error
    return _package(
        *(values.get(tag, "") for tag in (_NAME, _EPOCH, _VERSION, _RELEASE, _ARCH)), source=source
    )


def parse_listing(text: str, *, source: str) -> Iterator[Package]:
    """Read what rpm lists in `LISTING_FORMAT`.

    Raises:
        InvalidImageError: a line is not in that form.
    """
    for line in filter(None, text.split("\n")):
        fields = line.split("\t")
        if len(fields) != 5:
            raise InvalidImageError(f"{source}: rpm lists {line[:80]!a}.", path=source)
        yield _package(*fields, source=source)


def compare_versions(one: str, other: str) -> int:
    """Order two versions with epoch and release; see `bootc_orch.model.packages.package.Order`."""
    for left, right in zip(_split(one), _split(other), strict=True):
        if result := _compare_part(left, right):
            return result
    return 0


def _values(blob: bytes) -> Iterator[tuple[int, str]]:
    """Yield the tags of a header that are of interest, with their values as text."""
    count, length = _INTRO.unpack_from(blob)
    if count > TAGS_MAX:
        raise ValueError(f"it has {count} tags")
    start = _INTRO.size + count * _ENTRY.size
    data = blob[start : start + length]
    if len(data) != length:
        raise ValueError(f"it has {len(blob)} bytes, {start + length} are announced")
    for index in range(count):
        tag, kind, offset, _ = _ENTRY.unpack_from(blob, _INTRO.size + index * _ENTRY.size)
        if tag == _EPOCH and kind == _INT32:
            yield tag, str(struct.unpack_from(">I", data, offset)[0])
        elif tag in (_NAME, _VERSION, _RELEASE, _ARCH) and kind == _STRING:
            # Many tags may share one long text.
            end = data.index(b"\0", offset, offset + TEXT_MAX + 1)
            yield tag, data[offset:end].decode(errors="backslashreplace")


def _package(
    name: str, epoch: str, version: str, release: str, architecture: str, *, source: str
) -> Package:
    if not name or not version or not release:
        raise InvalidImageError(
            f"{source}: {name or 'a package'} has no name, version or release.", path=source
        )
    prefix = f"{epoch}:" if epoch not in ("", "0") else ""
    return Package(name, architecture, f"{prefix}{version}-{release}")


def _split(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    upstream, _, release = (rest if colon else version).rpartition("-")
    return (epoch if colon else "0", upstream, release)


def _compare_part(one: str, other: str) -> int:
    for left, right in zip_longest(_PIECE.findall(one), _PIECE.findall(other), fillvalue=""):
        if result := _compare_piece(left, right):
            return result
    return 0


def _compare_piece(one: str, other: str) -> int:
    """Compare two runs of letters or of digits, or marks; the end is an empty text.

    ``~`` sorts before everything, even the end; ``^`` after the end, but before all else.
    """
    left, right = _rank(one), _rank(other)
    if left != right:
        return -1 if left < right else 1
    keys = (number_key(one), number_key(other)) if one.isdigit() else ((0, one), (0, other))
    return (keys[0] > keys[1]) - (keys[0] < keys[1])


def _rank(piece: str) -> int:
    if piece in ("~", "", "^"):
        return ("~", "", "^").index(piece)
    return 4 if piece.isdigit() else 3
