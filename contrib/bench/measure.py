"""Run a command once and say what it took; the only part of the bench that starts what it times."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

SAMPLING_SECONDS = 0.005
TAIL_CHARACTERS = 2000


class BenchError(Exception):
    """A command that should have succeeded did not."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run took.

    Attributes:
        wall: Seconds from start to exit.
        cpu: Seconds of processor time, user and system, of the command and its children.
    """

    wall: float
    cpu: float


@dataclass(slots=True)
class Series:
    """The samples of one command in one scenario.

    Attributes:
        scenario: What is done.
        program: By whom: ``bootc-orch``, ``floor``, ``bootc`` or ``python``.
        samples: In the order in which they were taken.
    """

    scenario: str
    program: str
    samples: list[Sample] = field(default_factory=list)

    @property
    def wall(self) -> float:
        """The median of the wall times, in seconds."""
        return median(sample.wall for sample in self.samples)

    @property
    def cpu(self) -> float:
        """The median of the processor times, in seconds."""
        return median(sample.cpu for sample in self.samples)

    def ratio(self, other: Series) -> float:
        """The median of the ratios to *other*, run by run: they share the machine's mood."""
        pairs = zip(self.samples, other.samples, strict=True)
        return median(mine.wall / theirs.wall for mine, theirs in pairs)


def run(argv: Sequence[str | Path]) -> Sample:
    """Run *argv* to its end.

    Raises:
        BenchError: it failed; the message ends with what it printed.
    """
    with tempfile.TemporaryFile() as output:
        start = time.monotonic()
        process = _start(argv, output.fileno())
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        _check(argv, process.returncode, output.fileno())
    return Sample(wall, usage.ru_utime + usage.ru_stime)


def peak_memory(argv: Sequence[str | Path]) -> int:
    """Run *argv* and return the most memory that its own process had resident, in bytes.

    Its children do not count; `os.wait4` would count the largest of them.
    """
    peak = 0
    with tempfile.TemporaryFile() as output:
        process = _start(argv, output.fileno())
        while process.poll() is None:
            peak = max(peak, _high_water(process.pid))
            time.sleep(SAMPLING_SECONDS)
        _check(argv, process.returncode, output.fileno())
    return peak


def _start(argv: Sequence[str | Path], output: int) -> subprocess.Popen[bytes]:
    # An installed program has its bytecode; a checkout would compile itself anew each time.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
    )


def _high_water(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return _kibibytes(lines) * 1024


def _kibibytes(lines: Iterable[str]) -> int:
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _check(argv: Sequence[str | Path], status: int, output: int) -> None:
    if status != 0:
        text = os.pread(output, 1 << 20, 0).decode(errors="backslashreplace")
        command = " ".join(map(str, argv))
        raise BenchError(f"{command} exited with {status}:\n{text[-TAIL_CHARACTERS:]}")
