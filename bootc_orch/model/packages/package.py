"""Installed packages, and how those of one system differ from those of another.

Each package manager has a module of its own beside this one for its database and for the order of
its versions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from orch_frame.errors import LimitError

# Debian 12 consists of 64 419 packages.
PACKAGES_MAX = 65_536
# Package managers make file names of names and versions, and no file system has longer ones.
TEXT_MAX = 255
# Negative if the first version is older than the second, 0 if neither is, else positive.
Order = Callable[[str, str], int]


class PackageManager(StrEnum):
    """Who keeps a database of packages."""

    DPKG = "dpkg"
    RPM = "rpm"
    APK = "apk"


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One installed package.

    Attributes:
        name: Its name.
        architecture: As its package manager writes it; empty where it has none.
        version: All of the version, with epoch and revision.
    """

    name: str
    architecture: str
    version: str


@dataclass(frozen=True, slots=True, order=True)
class PackageChange:
    """A package of which both systems have one version, but not the same.

    Attributes:
        old: What the old system has.
        new: What the new system has.
    """

    old: Package
    new: Package


@dataclass(frozen=True, slots=True)
class PackageDifference:
    """What became of packages, each list sorted by name.

    Attributes:
        added: Packages that only the new system has.
        removed: Packages that only the old system has.
        upgraded: Packages that have another version, and none that is older.
        downgraded: Packages whose version is older than it was.
    """

    added: tuple[Package, ...] = ()
    removed: tuple[Package, ...] = ()
    upgraded: tuple[PackageChange, ...] = ()
    downgraded: tuple[PackageChange, ...] = ()

    @classmethod
    def between(cls, old: Iterable[Package], new: Iterable[Package], order: Order) -> Self:
        """Compare two systems.

        A package is the same if name and architecture are, else if the name alone leaves no doubt.
        Of a package that is installed in several versions, as a kernel may be, versions come and
        go: they are added and removed.
        """
        before, after = Counter(old), Counter(new)
        removed, added = before - after, after - before
        changes: list[PackageChange] = []
        for key in (_name_and_architecture, _name):
            found = _pairs(removed, added, key)
            removed -= Counter(change.old for change in found)
            added -= Counter(change.new for change in found)
            changes += found
        older = [one for one in changes if order(one.new.version, one.old.version) < 0]
        return cls(
            added=tuple(sorted(added.elements())),
            removed=tuple(sorted(removed.elements())),
            upgraded=tuple(sorted(set(changes) - set(older))),
            downgraded=tuple(sorted(older)),
        )


def bounded(packages: Iterable[Package], *, source: str) -> tuple[Package, ...]:
    """Collect *packages*, which the database *source* has.

    Raises:
        LimitError: there are more than `PACKAGES_MAX`, or a field has more than `TEXT_MAX`
            characters.
    """
    found: list[Package] = []
    for package in packages:
        if len(found) == PACKAGES_MAX:
            raise LimitError(f"{source} has more than {PACKAGES_MAX} packages.", path=source)
        for text in (package.name, package.architecture, package.version):
            if len(text) > TEXT_MAX:
                raise LimitError(
                    f"{source}: a package has a name or version of {len(text)} characters: "
                    f"{text[:40]!a}…",
                    path=source,
                )
        found.append(package)
    return tuple(found)


def _pairs(
    removed: Counter[Package], added: Counter[Package], key: Callable[[Package], Hashable]
) -> list[PackageChange]:
    """Pair what has gone with what has come, where exactly one of each has the same key."""
    gone, come = _group(removed, key), _group(added, key)
    return [
        PackageChange(group[0], come[at][0])
        for at, group in gone.items()
        if len(group) == 1 and len(come.get(at, ())) == 1
    ]


def _group(
    packages: Counter[Package], key: Callable[[Package], Hashable]
) -> dict[Hashable, list[Package]]:
    groups: dict[Hashable, list[Package]] = {}
    for package in packages.elements():
        groups.setdefault(key(package), []).append(package)
    return groups


def _name_and_architecture(package: Package) -> Hashable:
    return package.name, package.architecture


def _name(package: Package) -> Hashable:
    return package.name
