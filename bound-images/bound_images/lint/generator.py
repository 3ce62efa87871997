"""Compare our reading of bound units with what podman's generator makes of them.

The generator follows links on the machine that it runs on, so it is shown a copy of the quadlets
of the root, with links already followed inside the root.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from bound_images.lint.findings import Finding
from bound_images.programs import Execution, Runner
from bound_images.units.library import Library
from bound_images.units.quadlet import ImageUse, Unit, UnitType
from bound_images.units.words import split_arguments
from orch_frame.errors import OrchError

PLACES = (
    "/usr/libexec/podman/quadlet",
    "/usr/lib/podman/quadlet",
    "/usr/lib/systemd/system-generators/podman-system-generator",
)
SECONDS = 60.0


def find_generator() -> str | None:
    """Return the generator of this machine, None where podman is too old to have one."""
    return next((place for place in PLACES if Path(place).exists()), None)


def services_of(library: Library, generator: str, work: Path, runner: Runner) -> dict[str, str]:
    """Return the services that the generator writes, each by the name of its quadlet.

    Args:
        library: The quadlets.
        generator: The program.
        work: An empty directory for the copy.
        runner: Starts it.
    """
    directories = [_copy(library, path, work) for path in library.directories]
    _, text = runner.run(
        generator,
        ["-dryrun"],
        what="Running podman's generator",
        # It ends with 1 when it drops a unit, and prints the others.
        execution=Execution(
            env={"QUADLET_UNIT_DIRS": ":".join(map(str, directories))}, allow=(0, 1)
        ),
        timeout=SECONDS,
    )
    blocks = (block.partition("---\n")[2] for block in re.split(r"^---", text, flags=re.M)[1:])
    found: dict[str, str] = {}
    for block in blocks:
        if match := re.search(r"^SourcePath=(.*)$", block, re.M):
            found[PurePosixPath(match[1]).name] = block
    return found


def differences(
    unit: Unit, uses: Sequence[ImageUse], services: dict[str, str]
) -> Iterator[Finding]:
    """Yield a finding where the generator drops *unit*, or does not name what we read from it."""
    text = services.get(unit.name)
    if text is None:
        yield Finding(
            "generator-refuses", f"It writes no service for {unit.name}.", unit.sources[0]
        )
        return
    if unit.type is UnitType.KUBE:
        # The generator does not look into the document.
        return
    words = set(_command_words(text)).union(*(_command_words(other) for other in services.values()))
    for use in uses:
        names = {use.reference, use.options.image_tag or use.reference}
        if not any(name in word for name in names for word in words):
            yield Finding(
                "generator-differs",
                f"It does not name {use.reference}, which we read from {unit.name}.",
                unit.sources[0],
            )


def _copy(library: Library, directory: PurePosixPath, work: Path) -> Path:
    target = work / str(directory).lstrip("/")
    target.mkdir(parents=True, exist_ok=True)
    for name in library.root.names(directory):
        inner = directory / name
        if inner.suffix == ".d" and library.root.is_dir(inner):
            _copy(library, inner, work)
            continue
        try:
            (target / name).write_bytes(library.root.read_bytes(inner))
        except OrchError:
            # What cannot be read is a finding of its own.
            continue
    return target


def _command_words(text: str) -> tuple[str, ...]:
    lines = re.findall(r"^Exec(?:Start|StartPre)=(.*)$", text, re.M)
    return tuple(word for line in lines for word in split_arguments(line) or ())
