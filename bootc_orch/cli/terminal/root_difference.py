"""Print what a new root changes: a summary first, then each package, and on request each path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from orch_frame.output import mode

if TYPE_CHECKING:
    from bootc_orch.model.packages.package import Package, PackageChange, PackageDifference
    from bootc_orch.ops.difference.package_databases import ManagedPackages
    from bootc_orch.ops.difference.root_difference import RootDifference, System
    from bootc_orch.ops.difference.tree_difference import TreeDifference

DIGITS = 12


def summary_lines(found: RootDifference) -> Iterator[str]:
    """Say in a line each what becomes of version, kernel, packages and files."""
    yield f"Compared with: {_deployment_text(found.old)}"
    yield f"Version: {_change_text(found.old, found.new, 'version')}"
    yield f"Kernel: {_change_text(found.old, found.new, 'kernel')}"
    kargs = [*(f"-{arg}" for arg in found.removed_kargs), *(f"+{arg}" for arg in found.added_kargs)]
    yield f"Kernel arguments: {' '.join(kargs) or 'unchanged'}"
    if not found.packages:
        yield "Packages: unknown, as there is no database of dpkg, rpm or apk"
    for managed in found.packages:
        yield f"Packages ({managed.manager}): {_managed_text(found, managed)}"
    yield f"Files and directories: {_files_text(found.files)}"


def detail_lines(found: RootDifference) -> Iterator[str]:
    """Name each package that differs, what is lost first; in verbose mode each path too.

    Of a first system every package is new: those are named in verbose mode only.
    """
    if found.old is not None or mode.verbose:
        for managed in found.packages:
            if managed.difference is not None:
                yield from _package_lines(managed.difference)
    if mode.verbose:
        files = found.files
        for what, paths in (
            ("removed", files.removed),
            ("changed", files.changed),
            ("added", files.added),
        ):
            yield from (f"  {what}: {path}" for path in paths)


def difference_json(found: RootDifference) -> dict[str, Any]:
    """Describe for programs what a new root changes."""
    return {
        "old": _system_json(found.old) if found.old else None,
        "new": _system_json(found.new),
        "kernel_arguments": {
            "added": list(found.added_kargs),
            "removed": list(found.removed_kargs),
        },
        "packages": [_managed_json(managed) for managed in found.packages],
        "files": {
            "added": list(found.files.added),
            "removed": list(found.files.removed),
            "changed": list(found.files.changed),
        },
    }


def _deployment_text(old: System | None) -> str:
    if old is None:
        return "nothing, as there is no deployment to take over from"
    checksum, _, serial = (old.deployment or "").partition(".")
    name = f"deployment {checksum[:DIGITS]}.{serial}"
    return f"version {old.version} ({name})" if old.version else name


def _change_text(before: System | None, after: System, what: Literal["version", "kernel"]) -> str:
    new: str = getattr(after, what) or "unknown"
    old: str = new if before is None else getattr(before, what) or "unknown"
    if old != new:
        return f"{old} -> {new}"
    return new if before is None or new == "unknown" else f"{new}, unchanged"


def _managed_text(found: RootDifference, managed: ManagedPackages) -> str:
    difference = managed.difference
    if difference is None:
        return f"unknown: {managed.problem}"
    text = _counts(
        ("removed", len(difference.removed)),
        ("downgraded", len(difference.downgraded)),
        ("upgraded", len(difference.upgraded)),
        ("added", len(difference.added)),
    )
    if managed.new is None:
        return f"{text} (the new system has no such database)"
    if managed.old is None and found.old is not None:
        return f"{text} (the old system has no such database)"
    return text


def _files_text(files: TreeDifference) -> str:
    return _counts(
        ("removed", len(files.removed)),
        ("changed", len(files.changed)),
        ("added", len(files.added)),
    )


def _counts(*counts: tuple[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts if count) or "unchanged"


def _package_lines(difference: PackageDifference) -> Iterator[str]:
    changes = (*difference.downgraded, *difference.upgraded)
    packages = (*difference.removed, *difference.added, *(change.new for change in changes))
    names = Counter(package.name for package in packages)

    def name(package: Package) -> str:
        """Add the architecture where the name alone stands for several packages."""
        ambiguous = names[package.name] > 1 and package.architecture
        return f"{package.name}:{package.architecture}" if ambiguous else package.name

    def change_line(what: str, change: PackageChange) -> str:
        return f"  {what}: {name(change.new)} {change.old.version} -> {change.new.version}"

    yield from (f"  removed: {name(one)} {one.version}" for one in difference.removed)
    yield from (change_line("downgraded", one) for one in difference.downgraded)
    yield from (change_line("upgraded", one) for one in difference.upgraded)
    yield from (f"  added: {name(one)} {one.version}" for one in difference.added)


def _system_json(system: System) -> dict[str, Any]:
    return {
        "deployment": system.deployment,
        "version": system.version,
        "kernel": system.kernel,
    }


def _managed_json(managed: ManagedPackages) -> dict[str, Any]:
    found = managed.difference
    return {
        "manager": str(managed.manager),
        "old_database": f"/{managed.old}" if managed.old else None,
        "new_database": f"/{managed.new}" if managed.new else None,
        "problem": managed.problem,
        "added": [_package_json(one) for one in found.added] if found else None,
        "removed": [_package_json(one) for one in found.removed] if found else None,
        "upgraded": [_change_json(one) for one in found.upgraded] if found else None,
        "downgraded": [_change_json(one) for one in found.downgraded] if found else None,
    }


def _package_json(package: Package) -> dict[str, str]:
    return {
        "name": package.name,
        "architecture": package.architecture,
        "version": package.version,
    }


def _change_json(change: PackageChange) -> dict[str, str]:
    return {
        "name": change.new.name,
        "architecture": change.new.architecture,
        "old_version": change.old.version,
        "new_version": change.new.version,
    }
