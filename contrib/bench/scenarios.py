"""What is measured: programs run in turn, several times, on repositories prepared for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import programs
from measure import Series, peak_memory, run
from programs import Bootc, BootcOrch, Image, Puller

Argv = Sequence[str | Path]
FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Bench:
    """The place and the contenders.

    Attributes:
        directory: An empty directory on the file system that is measured.
        runs: How often each command is run.
        ours: This project's command.
        bootc: The one to compare with, if there is one.
    """

    directory: Path
    runs: int
    ours: BootcOrch
    bootc: Bootc | None

    @property
    def pullers(self) -> tuple[Puller, ...]:
        """Those that can pull."""
        return (self.ours,) if self.bootc is None else (self.ours, self.bootc)

    def starts(self) -> list[Series]:
        """Time the interpreter alone, and ``--version``."""
        return self._in_turn(
            [
                (Series("start", "python"), lambda: [sys.executable, "-c", "pass"]),
                (Series("--version", self.ours.name), self.ours.version),
            ]
        )

    def fresh(self, name: str, image: Image) -> list[Series]:
        """Time a pull of *image* into an empty repository, beside the floor."""
        layers, scenario = image.layers(), f"fresh pull of {name}"
        target = self.directory / "target"

        def unpack() -> Argv:
            programs.remove(target)
            target.mkdir()
            return programs.unpack(target, layers)

        def pull(puller: Puller) -> Callable[[], Argv]:
            def prepare() -> Argv:
                programs.remove(target)
                programs.create_repository(target)
                return puller.pull(target, image)

            return prepare

        contenders = [(Series(scenario, FLOOR), unpack)]
        contenders += [(Series(scenario, each.name), pull(each)) for each in self.pullers]
        series = self._in_turn(contenders)
        programs.remove(target)
        return series

    def update(self, name: str, base: Image, app: Image) -> list[Series]:
        """Time what happens on a repository that already holds *base*.

        The update to *app*; its merge alone (all layers there, the image not); the pull of what is
        there already; the list of images.
        """
        return [
            series for puller in self.pullers for series in self._update(name, base, app, puller)
        ]

    def memory(self, image: Image) -> int:
        """Return the peak memory of this project's process in a fresh pull of *image*, in bytes."""
        target = self.directory / "target"
        programs.create_repository(target)
        peak = peak_memory(self.ours.pull(target, image))
        programs.remove(target)
        return peak

    def _update(self, name: str, base: Image, app: Image, puller: Puller) -> Iterable[Series]:
        repo = self.directory / "repo"
        programs.remove(repo)
        programs.create_repository(repo)
        run(puller.pull(repo, base))
        before = programs.refs(repo)

        def added() -> frozenset[str]:
            return programs.refs(repo) - before

        def without_app() -> Argv:
            programs.delete_refs(repo, added())
            return puller.pull(repo, app)

        def without_image() -> Argv:
            programs.delete_image_refs(repo, added())
            return puller.pull(repo, app)

        steps = [
            (Series(f"update of {name}", puller.name), without_app),
            (Series(f"merge alone of {name}", puller.name), without_image),
            (Series(f"nothing new in {name}", puller.name), lambda: puller.pull(repo, app)),
        ]
        if isinstance(puller, BootcOrch):
            steps.append((Series(f"image list of {name}", puller.name), lambda: puller.list(repo)))
        series = self._in_turn(steps)
        programs.remove(repo)
        return series

    def _in_turn(self, contenders: Sequence[tuple[Series, Callable[[], Argv]]]) -> list[Series]:
        """Run each once, then each once more, and so on: a slow moment of the machine hits all."""
        for _ in range(self.runs):
            for series, prepare in contenders:
                series.samples.append(run(prepare()))
        return [series for series, _ in contenders]
