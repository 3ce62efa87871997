"""Whether programs still move bytes: what moves none is stalled, however long all of it may take.

Source: proc(5), ``/proc/PID/io`` and ``/proc/PID/stat``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# A second; less is what the runtime of a program does to pass the time.
FLOOR_BYTES = 1024
MOST_SECONDS_BETWEEN_LOOKS = 1.0
PROC = Path("/proc")


class Movement:
    """When the programs of one command last moved bytes; safe to use from several threads.

    They share it, for one of them may wait for a lock of the store that another one holds.
    """

    def __init__(self) -> None:
        self._last = time.monotonic()

    def note(self) -> None:
        """Note that bytes were moved just now."""
        self._last = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since bytes were moved."""
        return time.monotonic() - self._last


@contextmanager
def watched(
    session: int, seconds: float | None, movement: Movement, stalled: Callable[[], None]
) -> Iterator[None]:
    """Call *stalled* once if nothing has moved for *seconds* while the block runs.

    Args:
        session: The session of the processes to look at.
        seconds: How long to wait; None to look at nothing.
        movement: Where movement is noted, that of other sessions as well.
        stalled: Ends the processes.
    """
    if not seconds:
        yield
        return
    ended = threading.Event()
    movement.note()
    watch = threading.Thread(
        target=_watch, args=(session, seconds, movement, stalled, ended), daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def _watch(
    session: int,
    seconds: float,
    movement: Movement,
    stalled: Callable[[], None],
    ended: threading.Event,
) -> None:
    interval = min(seconds / 4, MOST_SECONDS_BETWEEN_LOOKS)
    seen = moved_bytes(session)
    while not ended.wait(interval):
        now = moved_bytes(session)
        if abs(now - seen) >= FLOOR_BYTES * interval or waits_for_disk(session):
            movement.note()
        seen = now
        if movement.silence >= seconds:
            stalled()
            return


def moved_bytes(session: int) -> int:
    """Return the bytes that the processes of *session*, and their ended children, have moved.

    Those that went through sockets and pipes count like those of files.
    """
    return sum(map(_moved_by, _members(session)))


def waits_for_disk(session: int) -> bool:
    """Say whether a process of *session* waits for a disk: a flush moves no bytes, and may last."""
    return any(
        _state_and_session(stat)[0] == "D"
        for process in _members(session)
        for stat in process.glob("task/*/stat")
    )


def _members(session: int) -> list[Path]:
    found = (path for path in PROC.iterdir() if path.name.isdecimal())
    return [path for path in found if _state_and_session(path / "stat")[1] == session]


def _state_and_session(stat: Path) -> tuple[str, int]:
    """Read the state and the session of a process or thread; no session if it has ended."""
    try:
        _, _, rest = stat.read_text(errors="replace").rpartition(")")
    except OSError:
        return "", -1
    state, _parent, _group, session = rest.split()[:4]
    return state, int(session)


def _moved_by(process: Path) -> int:
    try:
        lines = (process / "io").read_text().splitlines()
    except OSError:  # it has ended, and its parent has its figures
        return 0
    figures = dict(line.split(": ") for line in lines)
    return int(figures["rchar"]) + int(figures["wchar"])
