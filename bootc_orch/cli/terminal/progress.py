"""Show the progress of an operation: live on a terminal, else as plain lines."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bootc_orch.cli.terminal.progress_stream import JsonLinesProgress
from bootc_orch.cli.terminal.render import short_digest, size_text
from bootc_orch.model.image.difference import LayerDifference
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.ops.stored.progress import NullProgress, Progress, Step, Transfer
from orch_frame.output import complain, mode, say, say_unless_quiet

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from bootc_orch.model.digest import Digest

REFRESH_SECONDS = 0.1
PLAIN_INTERVAL_SECONDS = 10.0
STEP_TEXTS = {
    Step.OPENING: "Opening the image",
    Step.IMPORTING: "Importing layers",
    Step.MERGING: "Merging layers",
    Step.PUBLISHING: "Publishing the image",
    Step.BOUND_IMAGES: "Fetching bound images",
    Step.DEPLOYING: "Deploying",
    Step.CLEANUP: "Cleaning up",
}


@contextmanager
def reporting(progress_fd: int | None = None) -> Iterator[Progress]:
    """Yield what an operation reports to, and take the display down when the block ends.

    Lines that scripts read go to standard output; the display, on standard error, is live where
    that is a terminal.  *progress_fd* gets lines of JSON beside them.
    """
    receivers: list[Progress] = [Lines()]
    live = _live_display()
    if live is not None:
        receivers.append(live)
    stream = JsonLinesProgress(progress_fd) if progress_fd is not None else None
    if stream is not None:
        receivers.append(stream)
    try:
        yield Several(receivers)
    finally:
        if live is not None:
            live.close()
        if stream is not None:
            stream.close()


def _live_display() -> RichProgress | PlainProgress | None:
    if mode.quiet or mode.json:
        return None
    return RichProgress() if sys.stderr.isatty() else PlainProgress()


class Several:
    """Passes each event on to several receivers, one thread at a time."""

    def __init__(self, receivers: Sequence[Progress]) -> None:
        self._receivers = tuple(receivers)
        self._lock = threading.Lock()

    def planned(self, transfer: Transfer) -> None:
        """Pass it on."""
        with self._lock:
            for receiver in self._receivers:
                receiver.planned(transfer)

    def layer_started(self, digest: Digest, *, kind: LayerKind, size: int) -> None:
        """Pass it on."""
        with self._lock:
            for receiver in self._receivers:
                receiver.layer_started(digest, kind=kind, size=size)

    def layer_advanced(self, digest: Digest, count: int) -> None:
        """Pass it on."""
        with self._lock:
            for receiver in self._receivers:
                receiver.layer_advanced(digest, count)

    def layer_done(self, digest: Digest) -> None:
        """Pass it on."""
        with self._lock:
            for receiver in self._receivers:
                receiver.layer_done(digest)

    def step(self, step: Step) -> None:
        """Pass it on."""
        with self._lock:
            for receiver in self._receivers:
                receiver.step(step)

    def message(self, text: str) -> None:
        """Pass it on."""
        with self._lock:
            for receiver in self._receivers:
                receiver.message(text)

    def warning(self, text: str) -> None:
        """Pass it on."""
        with self._lock:
            for receiver in self._receivers:
                receiver.warning(text)


class Lines(NullProgress):
    """The lines that scripts read, on standard output, and warnings."""

    def planned(self, transfer: Transfer) -> None:
        """Print the difference to the stored version, if there is one, and what is fetched."""
        if not mode.quiet:
            say_transfer(transfer)

    def message(self, text: str) -> None:
        """Print the line."""
        say_unless_quiet(text)

    def warning(self, text: str) -> None:
        """Print the warning on standard error."""
        complain(f"warning: {text}")


def say_transfer(transfer: Transfer) -> None:
    """Print what differs from the stored version, and what there is to fetch."""
    if transfer.difference is not None:
        for line in difference_lines(transfer.difference):
            say(line)
    say(layers_line(transfer))


def layers_line(transfer: Transfer) -> str:
    """Say how many layers are there and how many will be fetched, in bootc's words."""
    return (
        f"layers already present: {transfer.present}; "
        f"layers needed: {transfer.needed} ({size_text(transfer.needed_bytes)})"
    )


def difference_lines(difference: LayerDifference) -> tuple[str, ...]:
    """Describe how a new version's layers differ from the stored one's, in bootc's words."""
    return (
        f"Total new layers: {difference.total:<4}  Size: {size_text(difference.total_size)}",
        f"Removed layers:   {difference.removed:<4}  Size: {size_text(difference.removed_size)}",
        f"Added layers:     {difference.added:<4}  Size: {size_text(difference.added_size)}",
    )


class PlainProgress(NullProgress):
    """A line on standard error for each step and finished layer, and a sign of life between."""

    def __init__(self) -> None:
        self._needed = 0
        self._done = 0
        self._sizes: dict[Digest, int] = {}
        self._arrived: dict[Digest, int] = {}
        self._next_sign = 0.0

    def planned(self, transfer: Transfer) -> None:
        """Remember how many layers there are to come."""
        self._needed = transfer.needed
        self._next_sign = time.monotonic() + PLAIN_INTERVAL_SECONDS

    def layer_started(self, digest: Digest, *, kind: LayerKind, size: int) -> None:
        """Start counting."""
        self._sizes[digest] = size
        self._arrived[digest] = 0

    def layer_advanced(self, digest: Digest, count: int) -> None:
        """Say now and then how far the transfer is."""
        self._arrived[digest] += count
        now = time.monotonic()
        if now >= self._next_sign:
            self._next_sign = now + PLAIN_INTERVAL_SECONDS
            complain(f"Fetched {size_text(sum(self._arrived.values()))} so far")

    def layer_done(self, digest: Digest) -> None:
        """Name the layer."""
        self._done += 1
        size = size_text(self._sizes.get(digest, 0))
        complain(f"Fetched layer {self._done}/{self._needed}: {short_digest(str(digest))} ({size})")

    def step(self, step: Step) -> None:
        """Name the step."""
        complain(STEP_TEXTS[step])

    def close(self) -> None:
        """Nothing needs taking down."""


class RichProgress(NullProgress):
    """A live display on a terminal: one bar for all, one for each layer under way."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._total: TaskID | None = None
        self._tasks: dict[Digest, TaskID] = {}
        self._pending: dict[Digest, int] = {}
        self._arrived: dict[Digest, int] = {}
        self._next_refresh = 0.0

    def planned(self, transfer: Transfer) -> None:
        """Start the display, if there is anything to wait for."""
        if transfer.needed:
            self._total = self._display().add_task("Fetching", total=transfer.needed_bytes)

    def layer_started(self, digest: Digest, *, kind: LayerKind, size: int) -> None:
        """Show a bar for the layer; a retry starts its old one again."""
        bars = self._display()
        self._arrived[digest] = self._pending[digest] = 0
        if digest in self._tasks:
            bars.reset(self._tasks[digest], total=size)
            self._refresh()
            return
        name = f"{kind} {short_digest(str(digest))}"
        self._tasks[digest] = bars.add_task(name, total=size)

    def layer_advanced(self, digest: Digest, count: int) -> None:
        """Move the bars, but not for every block."""
        self._pending[digest] += count
        self._arrived[digest] += count
        now = time.monotonic()
        if now >= self._next_refresh:
            self._next_refresh = now + REFRESH_SECONDS
            self._refresh()

    def layer_done(self, digest: Digest) -> None:
        """Take the layer's bar away."""
        self._refresh()
        task = self._tasks.pop(digest, None)
        self._pending.pop(digest, None)
        if self._bars is not None and task is not None:
            self._bars.remove_task(task)

    def step(self, step: Step) -> None:
        """Name the step on the line for all."""
        if self._bars is not None and self._total is not None:
            self._bars.update(self._total, description=STEP_TEXTS[step])

    def close(self) -> None:
        """Take the display down, and leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()

    def _refresh(self) -> None:
        if self._bars is None:
            return
        for digest, count in self._pending.items():
            if count and digest in self._tasks:
                self._bars.advance(self._tasks[digest], count)
            self._pending[digest] = 0
        if self._total is not None:
            self._bars.update(self._total, completed=sum(self._arrived.values()))

    def _display(self) -> Bars:
        if self._bars is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )
            from rich.progress import Progress as Bars

            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._bars.start()
        return self._bars
