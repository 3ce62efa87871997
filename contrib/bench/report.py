"""Show series of samples: a table for people, JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from measure import Series
from scenarios import FLOOR

COLUMNS = ("scenario", "program", "median s", "min", "max", "cpu s", "of floor", "over start")


def table(series: Sequence[Series], memory: Mapping[str, int]) -> str:
    """Return lines of aligned columns; seconds with three decimals, memory in 10^6 bytes."""
    rows = [COLUMNS, *(_row(one, series) for one in series)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines += [f"peak memory, {name}: {size / 10**6:.0f} MB" for name, size in memory.items()]
    return "\n".join(lines)


def document(
    series: Sequence[Series], memory: Mapping[str, int], *, directory: Path, runs: int
) -> dict[str, object]:
    """Return everything measured, for `json.dumps`; times in seconds, memory in bytes."""
    return {
        "version": 1,
        "directory": str(directory),
        "runs": runs,
        "machine": {
            "processors": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "series": [
            {
                "scenario": one.scenario,
                "program": one.program,
                "wall": [sample.wall for sample in one.samples],
                "cpu": [sample.cpu for sample in one.samples],
                "median_wall": one.wall,
                "median_cpu": one.cpu,
                "of_floor": _ratio(one, series),
                "over_start": _over_start(one, series),
            }
            for one in series
        ],
        "peak_memory": dict(memory),
    }


def _row(one: Series, series: Iterable[Series]) -> tuple[str, ...]:
    walls = [sample.wall for sample in one.samples]
    ratio, over = _ratio(one, series), _over_start(one, series)
    return (
        one.scenario,
        one.program,
        f"{one.wall:.3f}",
        f"{min(walls):.3f}",
        f"{max(walls):.3f}",
        f"{one.cpu:.3f}",
        "" if ratio is None else f"{ratio:.2f}",
        "" if over is None else f"{over:.3f}",
    )


def _ratio(one: Series, series: Iterable[Series]) -> float | None:
    """The part of the floor's time that *one* takes, where its scenario has a floor."""
    floors = [s for s in series if s.scenario == one.scenario and s.program == FLOOR]
    return one.ratio(floors[0]) if floors and one is not floors[0] else None


def _over_start(one: Series, series: Iterable[Series]) -> float | None:
    """The seconds that *one* takes beyond the start of the interpreter it runs in."""
    starts = [s for s in series if s.program == "python"]
    return one.wall - starts[0].wall if starts and one.program == "bootc-orch" else None
