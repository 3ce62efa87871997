"""Find the package databases in the tree of a commit, and compare those of two.

Image-based systems keep them below ``/usr``, as the content of ``/var`` belongs to the machine;
images that are made with plain package managers have them in ``/var``, which an import may have
moved to ``/usr/share/factory``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bootc_orch.errors import CommandError
from bootc_orch.model.packages import apk, dpkg, rpm
from bootc_orch.model.packages.package import (
    Order,
    Package,
    PackageDifference,
    PackageManager,
    bounded,
)
from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.ops.stored.workspace import workspace
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.rpm import OLDER_FILES, SQLITE_FILES, SQLITE_NAME, list_packages
from bootc_orch.tools.rpm_sqlite import read_headers
from orch_frame.errors import InvalidImageError, LimitError, ToolError

DATABASE_LIMIT = 1 << 28
# The longest lines are lists of what a package needs, a few kilobytes.
LINE_LIMIT = 1 << 20
_RPM_DIRECTORIES = (
    "usr/share/rpm",
    "usr/lib/sysimage/rpm",
    "usr/share/factory/var/lib/rpm",
    "var/lib/rpm",
    "usr/lib/sysimage/rpm-ostree-base-db",
)
# Where each database may be, the most telling place first: what a derived layer changed is below
# /usr/share/factory, while a base that came from ostree may have the older state in /var.
PLACES = {
    PackageManager.DPKG: (
        "usr/lib/sysimage/dpkg/status",
        "usr/share/factory/var/lib/dpkg/status",
        "var/lib/dpkg/status",
    ),
    PackageManager.RPM: tuple(
        f"{directory}/{name}"
        for directory in _RPM_DIRECTORIES
        for name in (SQLITE_NAME, *OLDER_FILES)
    ),
    PackageManager.APK: ("usr/lib/apk/db/installed", "lib/apk/db/installed"),
}
_ORDERS: dict[PackageManager, Order] = {
    PackageManager.DPKG: dpkg.compare_versions,
    PackageManager.RPM: rpm.compare_versions,
    PackageManager.APK: apk.compare_versions,
}


@dataclass(frozen=True, slots=True)
class ManagedPackages:
    """What became of the packages of one package manager.

    Attributes:
        manager: Which.
        old: Where the old tree has its database; None if it has none.
        new: Where the new tree has it; None if it has none.
        difference: What differs; None if that cannot be told.
        problem: Why it cannot be told, a sentence; else None.
    """

    manager: PackageManager
    old: str | None
    new: str | None
    difference: PackageDifference | None
    problem: str | None = None


def compare_package_databases(
    repo: Repo, old: CommitTree | None, new: CommitTree
) -> tuple[ManagedPackages, ...]:
    """Compare the packages of two trees, by each package manager that either has a database of.

    A database that cannot be read is reported as such.

    Args:
        repo: Where both trees are, and a place for copies.
        old: The tree to compare with; None for nothing.
        new: The new tree.

    Raises:
        StoreDamagedError: objects of a tree are missing or damaged.
    """
    found = []
    for manager in PackageManager:
        before = find_database(old, manager) if old else None
        after = find_database(new, manager)
        if before or after:
            found.append(_compare(repo, manager, (old, before), (new, after)))
    return tuple(found)


def find_database(tree: CommitTree, manager: PackageManager) -> str | None:
    """Return the path of the database of *manager* in *tree*, or None if there is none."""
    return next((path for path in PLACES[manager] if tree.find(path)), None)


_Place = tuple[CommitTree | None, str | None]


def _compare(repo: Repo, manager: PackageManager, old: _Place, new: _Place) -> ManagedPackages:
    if _same(old, new):
        return ManagedPackages(manager, old[1], new[1], PackageDifference())
    try:
        before, after = (_read(repo, manager, *place) for place in (old, new))
    except (InvalidImageError, LimitError, ToolError, CommandError) as error:
        problem = " ".join(filter(None, (error.summary, error.hint)))
        return ManagedPackages(manager, old[1], new[1], None, problem)
    difference = PackageDifference.between(before, after, _ORDERS[manager])
    return ManagedPackages(manager, old[1], new[1], difference)


def _same(old: _Place, new: _Place) -> bool:
    """Say whether both trees have the same database; a log beside it may hold the difference."""
    (old_tree, old_path), (new_tree, new_path) = old, new
    if old_tree is None or new_tree is None or old_path is None or new_path is None:
        return False
    return all(
        old_tree.find(old_path + suffix) == new_tree.find(new_path + suffix)
        for suffix in ("", "-wal")
    )


def _read(
    repo: Repo, manager: PackageManager, tree: CommitTree | None, path: str | None
) -> tuple[Package, ...]:
    if tree is None or path is None:
        return ()
    if manager is PackageManager.RPM:
        return _read_rpm(repo, tree, path)
    parse: Callable[..., Iterable[Package]] = (
        dpkg.parse_status if manager is PackageManager.DPKG else apk.parse_installed
    )
    content = tree.content(path, limit=DATABASE_LIMIT)
    if content is None:
        return ()
    with content.open(encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
        return bounded(parse(_lines(stream, path), source=path), source=path)


def _lines(stream: IO[str], source: str) -> Iterator[str]:
    while line := stream.readline(LINE_LIMIT):
        if len(line) == LINE_LIMIT:
            raise LimitError(f"{source} has a line of more than {LINE_LIMIT} bytes.", path=source)
        yield line


def _read_rpm(repo: Repo, tree: CommitTree, path: str) -> tuple[Package, ...]:
    """Read a copy: whoever opens such a database writes beside it."""
    directory, name = str(Path(path).parent), Path(path).name
    with workspace(repo, "packages") as copy:
        for one in SQLITE_FILES if name == SQLITE_NAME else (name,):
            _copy(repo, tree, f"{directory}/{one}", copy / one)
        if name == SQLITE_NAME:
            headers = read_headers(copy / name, source=path)
            packages = (rpm.parse_header(blob, source=path) for blob in headers)
            return bounded(packages, source=path)
        listing = list_packages(copy, rpm.LISTING_FORMAT, source=path)
        found = bounded(rpm.parse_listing(listing, source=path), source=path)
    if not found:
        raise ToolError(
            f"rpm lists no package in {path}; it may have been built without this format."
        )
    return found


def _copy(repo: Repo, tree: CommitTree, path: str, target: Path) -> None:
    content = tree.content(path, limit=DATABASE_LIMIT)
    if content is not None:
        shutil.copyfile(content, target)
