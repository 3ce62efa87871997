"""Write the progress of an operation to a descriptor, as lines of JSON for another program.

Source: bootc's progress-v0; its records are in `bootc_orch.model.host.progress_v0`.
"""

from __future__ import annotations

import os
import select
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootc_orch.model.host import progress_v0
from bootc_orch.model.host.progress_v0 import (
    STAGING_STEPS,
    TASK_IMPORTING,
    TASK_STAGING,
    ByteProgress,
    ByteSubtask,
    StepProgress,
    StepSubtask,
)
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.ops.stored.progress import NullProgress, Step, Transfer
from orch_frame.errors import UsageError

if TYPE_CHECKING:
    from bootc_orch.model.digest import Digest

LOSSY_INTERVAL_SECONDS = 0.2
STAGING_TOTAL = 3
FIRST_FREE_DESCRIPTOR = 3
SHOWN_DIGITS = len("sha256:") + 12
# What progress-v0 calls staging, by its names; everything before belongs to its importing.
_STAGING = {
    Step.DEPLOYING: "deploying",
    Step.BOUND_IMAGES: "bound_images",
    Step.CLEANUP: "cleanup",
}
_IMPORTING = (Step.IMPORTING, Step.MERGING, Step.PUBLISHING)


@dataclass(slots=True)
class _Layer:
    """A layer under way."""

    kind: LayerKind
    size: int
    arrived: int = 0


class JsonLinesProgress(NullProgress):
    """Writes each event to *descriptor*; at most five a second of those that may be lost.

    Raises:
        UsageError: *descriptor* is not open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = _checked(descriptor)
        self._transfer: Transfer | None = None
        self._layers: dict[Digest, _Layer] = {}
        self._done_bytes = 0
        self._done_layers = 0
        self._next_event = 0.0
        self._importing = False
        self._staged: list[str] = []
        self._write(progress_v0.start_line())

    def planned(self, transfer: Transfer) -> None:
        """Tell how much there is to fetch."""
        self._transfer = transfer
        self._write_bytes()

    def layer_started(self, digest: Digest, *, kind: LayerKind, size: int) -> None:
        """Start counting, from zero again after a retry."""
        self._layers[digest] = _Layer(kind, size)

    def layer_advanced(self, digest: Digest, count: int) -> None:
        """Tell how far it is, unless that was told just now or the reader is slow."""
        self._layers[digest].arrived += count
        now = time.monotonic()
        if now >= self._next_event and self._is_ready():
            self._next_event = now + LOSSY_INTERVAL_SECONDS
            self._write_bytes()

    def layer_done(self, digest: Digest) -> None:
        """Tell that the layer is done; never left out."""
        layer = self._layers.get(digest)
        if layer is None:
            return
        layer.arrived = layer.size
        self._done_layers += 1
        self._write_bytes()
        self._done_bytes += layer.size
        del self._layers[digest]

    def step(self, step: Step) -> None:
        """Tell that the step starts and that the one before is done; never left out."""
        if step in _IMPORTING and not self._importing:
            self._importing = True
            self._write_steps(TASK_IMPORTING, "Importing image", ("importing",), total=1, done=0)
        elif step is Step.CLEANUP and not self._staged:  # of a pull that is not deployed
            self._finish_import()
        elif step in _STAGING:
            self._finish_import()
            if not self._staged:
                self._staged.append(STAGING_STEPS[0])
            self._staged.append(_STAGING[step])
            self._write_staging(done=len(self._staged) - 1)

    def close(self) -> None:
        """Complete the last step; the descriptor stays the caller's."""
        self._finish_import()
        if self._staged:
            self._write_staging(done=len(self._staged))
        self._descriptor = None

    def _finish_import(self) -> None:
        if self._importing:
            self._importing = False
            self._write_steps(TASK_IMPORTING, "Importing image", ("importing",), total=1, done=1)

    def _write_staging(self, *, done: int) -> None:
        self._write_steps(
            TASK_STAGING, "Deploying image", tuple(self._staged), total=STAGING_TOTAL, done=done
        )

    def _write_steps(
        self, task: str, description: str, names: tuple[str, ...], *, total: int, done: int
    ) -> None:
        subtasks = tuple(
            StepSubtask(subtask=name, description=name, id=name, completed=index < done)
            for index, name in enumerate(names)
        )
        event = StepProgress(
            task=task,
            id=self._id,
            description=description,
            steps_cached=0,
            steps=min(done, total),
            steps_total=total,
            subtasks=subtasks,
        )
        self._write(progress_v0.line(event.to_json()))

    def _write_bytes(self) -> None:
        transfer = self._transfer
        if transfer is None:
            return
        event = ByteProgress(
            id=self._id,
            description="Pulling image",
            bytes_cached=transfer.present_bytes,
            bytes=self._done_bytes + sum(layer.arrived for layer in self._layers.values()),
            bytes_total=transfer.needed_bytes,
            steps_cached=transfer.present,
            steps=self._done_layers,
            steps_total=transfer.needed,
            subtasks=tuple(_subtask(digest, layer) for digest, layer in self._layers.items()),
        )
        self._write(progress_v0.line(event.to_json()))

    @property
    def _id(self) -> str:
        return str(self._transfer.manifest_digest) if self._transfer else ""

    def _is_ready(self) -> bool:
        """Say whether the reader has room; a slow one must not hold up the operation."""
        if self._descriptor is None:
            return False
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(0))

    def _write(self, line: str) -> None:
        """Write a line; an error ends the stream, not the operation."""
        if self._descriptor is None:
            return
        data = line.encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self._descriptor = None


def _subtask(digest: Digest, layer: _Layer) -> ByteSubtask:
    name = "layer" if layer.kind is LayerKind.DERIVED else "ostree chunk"
    return ByteSubtask(
        subtask=name,
        description=f"{name} {digest}",
        id=str(digest)[:SHOWN_DIGITS],
        bytes_cached=0,
        bytes=layer.arrived,
        bytes_total=layer.size,
    )


def _checked(descriptor: int) -> int:
    try:
        os.fstat(descriptor)
    except OSError as error:
        raise UsageError(
            f"--progress-fd {descriptor} is not open.",
            hint="Open it in the shell, as with: --progress-fd 3 3>progress.json",
        ) from error
    if descriptor < FIRST_FREE_DESCRIPTOR:
        raise UsageError(f"--progress-fd must be at least {FIRST_FREE_DESCRIPTOR}.")
    return descriptor
