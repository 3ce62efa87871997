"""Run the program as its users do: as a process, by its installed name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("bootc-orch")
TIMEOUT_SECONDS = 300
# Enough to read this Python and the checkout wherever they are, and nothing else of root's power.
UNPRIVILEGED = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search",
    "--bounding-set=-all,+dac_read_search", "--",
)  # fmt: skip


def at_place(layout: Path, place: str) -> tuple[str | Path, ...]:
    """Return a *prefix* that lets a command find *layout* at *place*, by a mount of its own."""
    script = f'mkdir -p {place} && mount --bind "$0" {place} && exec "$@"'
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, layout)


@dataclass(frozen=True, slots=True)
class Result:
    """How a run of the program ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.stdout.splitlines()


def bootc_orch(
    *argv: str | Path,
    status: int | None = 0,
    prefix: Sequence[str | Path] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Result:
    """Run ``bootc-orch`` with *argv* and return how it ended.

    It must end with *status*, unless that is None, and never show a traceback.  *prefix* is put
    before the command line: `UNPRIVILEGED`, or a command that makes a namespace.
    """
    done = subprocess.run(
        [str(word) for word in (*prefix, PROGRAM, *argv)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=TIMEOUT_SECONDS,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        check=False,
    )
    result = Result(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in result.stderr, result.stderr
    if status is not None:
        assert result.status == status, (
            f"{argv}: exit {result.status}\n{result.stdout}{result.stderr}"
        )
    return result
