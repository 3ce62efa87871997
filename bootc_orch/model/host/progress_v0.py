"""Progress as lines of JSON for other programs.

Source: bootc's progress-v0, protocol 0.1.0: field names in camel case, type names in Pascal case,
every field present, all numbers unsigned.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

PROTOCOL = "0.1.0"
TASK_PULLING = "pulling"
TASK_IMPORTING = "importing"
TASK_STAGING = "staging"
STAGING_STEPS = ("merging", "deploying", "bound_images", "cleanup")


@dataclass(frozen=True, slots=True)
class ByteSubtask:
    """One layer of a transfer.

    Attributes:
        subtask: ``layer`` or ``ostree chunk``.
        description: The same for people.
        id: The digest, ``sha256:`` and its first twelve digits.
        bytes_cached: What was there before.
        bytes: What is there now; the layer is done when it equals the total.
        bytes_total: Its size.
    """

    subtask: str
    description: str
    id: str
    bytes_cached: int
    bytes: int
    bytes_total: int

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "subtask": self.subtask,
            "description": self.description,
            "id": self.id,
            "bytesCached": self.bytes_cached,
            "bytes": self.bytes,
            "bytesTotal": self.bytes_total,
        }


@dataclass(frozen=True, slots=True)
class StepSubtask:
    """One step of a task that has no byte count.

    Attributes:
        subtask: Its name.
        description: The same for people.
        id: What it is about.
        completed: Whether it is done.
    """

    subtask: str
    description: str
    id: str
    completed: bool

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "subtask": self.subtask,
            "description": self.description,
            "id": self.id,
            "completed": self.completed,
        }


@dataclass(frozen=True, slots=True)
class ByteProgress:
    """How far a transfer is.

    Attributes:
        id: The digest of the image's manifest.
        description: What is transferred, for people.
        bytes_cached: Bytes of layers that were there before.
        bytes: Bytes that have arrived.
        bytes_total: Bytes to fetch.
        steps_cached: Layers that were there before.
        steps: Layers that are done.
        steps_total: Layers to fetch.
        subtasks: Each layer that has started.
    """

    id: str
    description: str
    bytes_cached: int
    bytes: int
    bytes_total: int
    steps_cached: int
    steps: int
    steps_total: int
    subtasks: tuple[ByteSubtask, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "type": "ProgressBytes",
            "task": TASK_PULLING,
            "description": self.description,
            "id": self.id,
            "bytesCached": self.bytes_cached,
            "bytes": self.bytes,
            "bytesTotal": self.bytes_total,
            "stepsCached": self.steps_cached,
            "steps": self.steps,
            "stepsTotal": self.steps_total,
            "subtasks": [subtask.to_json() for subtask in self.subtasks],
        }


@dataclass(frozen=True, slots=True)
class StepProgress:
    """How far a task of steps is.

    Attributes:
        task: ``importing`` or ``staging``.
        id: What the task is about.
        description: The same for people.
        steps_cached: Steps that need not be done.
        steps: Steps that are done.
        steps_total: Steps in all.
        subtasks: Each step that has started.
    """

    task: str
    id: str
    description: str
    steps_cached: int
    steps: int
    steps_total: int
    subtasks: tuple[StepSubtask, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "type": "ProgressSteps",
            "task": self.task,
            "description": self.description,
            "id": self.id,
            "stepsCached": self.steps_cached,
            "steps": self.steps,
            "stepsTotal": self.steps_total,
            "subtasks": [subtask.to_json() for subtask in self.subtasks],
        }


def start_line() -> str:
    """The first line of a stream."""
    return line({"type": "Start", "version": PROTOCOL})


def line(event: dict[str, Any]) -> str:
    """Serialise one event, with its newline."""
    return json.dumps(event, separators=(",", ":")) + "\n"
