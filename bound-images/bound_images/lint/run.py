"""Run all rules over a root."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bound_images.lint.findings import RULES, Finding
from bound_images.lint.generator import differences, find_generator, services_of
from bound_images.lint.tree import findings_about_store, findings_in_tree, shadow, store_for_all
from bound_images.lint.units import findings_in_unit, findings_in_use
from bound_images.programs import Runner
from bound_images.rootfs import Root
from bound_images.units.library import Library
from bound_images.units.quadlet import Unit, images_of
from bound_images.units.scan import BOUND_DIRECTORY, EntryReader, scan
from bound_images.where import private_directory
from orch_frame.errors import OrchError, UsageError


def lint(
    root: Root,
    *,
    skip: Collection[str] = (),
    generator: str | None = None,
    runner: Runner | None = None,
) -> tuple[Finding, ...]:
    """Return what is wrong with the definitions of *root*, the worst first.

    Args:
        root: The root.
        skip: Rules to leave out.
        generator: podman's generator; None to look for it.
        runner: Starts it.

    Raises:
        UsageError: *skip* names a rule that there is not.
    """
    if unknown := sorted(set(skip) - RULES.keys()):
        raise UsageError(f"There is no rule {unknown[0]}.", hint=f"Rules: {', '.join(RULES)}.")
    found = dict.fromkeys(_findings(root, generator or find_generator(), runner or Runner()))
    kept = (finding for finding in found if finding.rule not in skip)
    return tuple(sorted(kept, key=lambda f: (-f.severity.rank, f.path, f.line, f.rule)))


def _findings(root: Root, generator: str | None, runner: Runner) -> Iterator[Finding]:
    reader = EntryReader(root)
    library = Library(root)
    in_tree = tuple(findings_in_tree(library))
    yield from in_tree
    yield from _scan_findings(root, known={finding.path for finding in in_tree})
    names = root.names(BOUND_DIRECTORY)
    if names:
        yield from findings_about_store(library)
    with private_directory() as work:
        services = services_of(library, generator, work, runner) if generator else None
        for name in names:
            yield from _entry_findings(reader, library, name, services)


def _scan_findings(root: Root, *, known: Collection[str]) -> Iterator[Finding]:
    """Yield a finding for each entry that cannot be read, but for files that are in *known*."""
    for error in scan(root).errors:
        path = error.path or str(BOUND_DIRECTORY)
        if path in known:
            continue
        place, _, rest = error.summary.partition(": ")
        line = place.removeprefix(f"{path}:")
        message = rest if place in (path, f"{path}:{line}") else error.summary
        yield Finding(
            "definition",
            f"{message} {error.hint or ''}".rstrip(),
            path,
            int(line) if line.isdigit() else 0,
        )


def _entry_findings(
    reader: EntryReader, library: Library, name: str, services: dict[str, str] | None
) -> Iterator[Finding]:
    try:
        unit, own_library = reader.unit_of_entry(name)
        uses = images_of(unit, own_library)
        records = reader.images_of_entry(name)
    except OrchError:
        # Reported by the scan already.
        return
    yield from shadow(library, unit.path)
    everybody = store_for_all(library.root) is not None
    units: dict[str, Unit] = {unit.name: unit, **{use.unit.name: use.unit for use in uses}}
    for each in units.values():
        yield from findings_in_unit(each, store_for_all=everybody)
    for use, record in zip(uses, records, strict=True):
        yield from findings_in_use(use, record.reference)
    if services is not None and unit.path.parent in library.directories:
        yield from differences(unit, uses, services)
