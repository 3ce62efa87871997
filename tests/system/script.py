"""Scripts that run in the machine under test, and what each of their steps printed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(
    r"^== (?P<name>[\w-]+)\n(?P<text>.*?)^== end (?P=name) (?P<status>\d+)\n", re.M | re.S
)
PREAMBLE = """\
mkdir -p /var/mnt/images
mount -o ro /dev/disk/by-id/virtio-images /var/mnt/images
cd /var/mnt/images
python3 /usr/libexec/test-registry.py 5000 app=$PWD/app os=$PWD/os 2>/dev/null &
cd /
registry=$!
for try in $(seq 100); do (: >/dev/tcp/127.0.0.1/5000) 2>/dev/null && break; sleep 0.2; done
"""
CLOSING = "kill $registry\numount /var/mnt/images\n"


@dataclass(frozen=True, slots=True)
class Step:
    """What one step printed, both streams, and its exit status."""

    text: str
    status: int

    def json(self) -> Any:
        """The JSON document that it printed; other lines, such as warnings, are passed over."""
        [line] = [line for line in self.text.splitlines() if line.startswith("{")]
        return json.loads(line)


def script(**steps: str) -> str:
    """Write a script of named steps, in order, with the registry running."""
    parts = [
        f"echo '== {name}'\n( {command}\n) 2>&1 </dev/null | cat\n"  # no terminal, no colours
        f'echo "== end {name} ${{PIPESTATUS[0]}}"\n'
        for name, command in steps.items()
    ]
    return PREAMBLE + "".join(parts) + CLOSING


def steps_of(output: str) -> dict[str, Step]:
    """Read what a script printed."""
    return {
        match["name"]: Step(match["text"], int(match["status"])) for match in _STEP.finditer(output)
    }
