"""Find the quadlet units of a root, and merge their drop-ins in, as podman's generator does.

Source: podman 5.8, ``cmd/quadlet/main.go`` and ``pkg/systemd/quadlet/unitdirs.go``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath

from bound_images.errors import DefinitionError
from bound_images.rootfs import Root
from bound_images.units.kube import MAX_YAML_BYTES
from bound_images.units.quadlet import Unit, UnitType
from bound_images.units.unitfile import UnitFile, parse
from orch_frame.errors import OrchError

# The first directory that has a file of a name wins.
SEARCH_PATH = (
    PurePosixPath("/run/containers/systemd"),
    PurePosixPath("/etc/containers/systemd"),
    PurePosixPath("/usr/share/containers/systemd"),
)
# Units of users, which the generator of the system manager leaves alone.
USER_UNITS = PurePosixPath("/etc/containers/systemd/users")
SUFFIXES = frozenset(f".{kind}" for kind in UnitType)


class Library:
    """The quadlet units of one root.

    Args:
        root: The tree.
        extra: Directories that are searched after the generator's own, for units that are bound
            but never run from where they lie.
    """

    def __init__(self, root: Root, *, extra: tuple[PurePosixPath, ...] = ()) -> None:
        self.root = root
        self._extra = extra

    @cached_property
    def directories(self) -> tuple[PurePosixPath, ...]:
        """Every directory that is searched, sub-directories included, links resolved."""
        found: dict[PurePosixPath, None] = {}
        for start in SEARCH_PATH:
            self._collect(start, found)
        return tuple(found)

    @cached_property
    def paths(self) -> dict[str, PurePosixPath]:
        """Where the generator finds the unit of each name."""
        found: dict[str, PurePosixPath] = {}
        for directory in (*self.directories, *self._extra):
            for name in self.root.names(directory):
                if PurePosixPath(name).suffix in SUFFIXES:
                    found.setdefault(name, directory / name)
        return found

    def find(self, name: str) -> Unit | None:
        """Return the unit called *name*, or None if no directory has it.

        Raises:
            DefinitionError: the file or one of its drop-ins cannot be read as a unit.
        """
        path = self.paths.get(name)
        return None if path is None else self.load(name, path)

    def load(self, name: str, path: PurePosixPath) -> Unit:
        """Read the file at *path* as the unit *name*, and its drop-ins.

        Raises:
            DefinitionError: a file cannot be read as a unit.
        """
        unit = self._parse(path)
        sources = [str(path)]
        for drop_in in self._drop_ins(name, path.parent):
            unit = unit.merged(self._parse(drop_in))
            sources.append(str(drop_in))
        return Unit(name, path, unit, tuple(sources))

    def read(self, path: PurePosixPath) -> str:
        """Return the text of a Kubernetes document.

        Raises:
            DefinitionError: it is missing, too long, or no text.
        """
        try:
            return self.root.read_text(path, limit=MAX_YAML_BYTES)
        except OrchError as error:
            raise DefinitionError(error.summary, path=str(path)) from error

    def _parse(self, path: PurePosixPath) -> UnitFile:
        try:
            text = self.root.read_text(path)
        except OrchError as error:
            raise DefinitionError(error.summary, path=str(path)) from error
        return parse(text, source=str(path))

    def _collect(self, start: PurePosixPath, found: dict[PurePosixPath, None]) -> None:
        try:
            directory = self.root.resolve(start).path
        except DefinitionError:
            return
        skipped = directory in found or directory.suffix == ".d" or directory == USER_UNITS
        if skipped or not self.root.is_dir(directory):
            return
        found[directory] = None
        for name in self.root.names(directory):
            self._collect(directory / name, found)

    def _drop_ins(self, name: str, own: PurePosixPath) -> Iterator[PurePosixPath]:
        """Yield the drop-ins of the unit *name* in the order in which they are merged."""
        searched = tuple(dict.fromkeys((*self.directories, own, *self._extra)))
        chosen: dict[str, PurePosixPath] = {}
        for subdirectory in drop_in_directories(name):
            for directory in searched:
                for file in self.root.names(directory / subdirectory):
                    if file.endswith(".conf"):
                        chosen.setdefault(file, directory / subdirectory / file)
        yield from (chosen[file] for file in sorted(chosen))


def drop_in_directories(name: str) -> tuple[str, ...]:
    """Return the names of the drop-in directories of the unit *name*, the most specific first.

    ``a-b@x.container`` has ``a-b@x.container.d``, ``a-b@.container.d``, ``a-@.container.d``,
    ``a-.container.d`` and ``container.d``.
    """
    stem, _, suffix = name.rpartition(".")
    prefix, at, instance = stem.partition("@")
    broad = [f"{suffix}.d"]
    parts = prefix.split("-")
    for length in range(1, len(parts)):
        truncated = "-".join(parts[:length]) + "-"
        broad.append(f"{truncated}.{suffix}.d")
        if at:
            broad.append(f"{truncated}@.{suffix}.d")
    if instance:
        broad.append(f"{prefix}@.{suffix}.d")
    return (f"{name}.d", *reversed(broad))
