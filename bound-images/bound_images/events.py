"""What happens while images are fetched, told to whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """How far an image is."""

    RESOLVING = "resolving"
    RESOLVED = "resolved"
    PULLING = "pulling"
    CHECKING = "checking"
    DONE = "done"
    PRESENT = "present"
    FAILED = "failed"


FINAL = frozenset({State.DONE, State.PRESENT, State.FAILED})


@dataclass(frozen=True, slots=True)
class Event:
    """One step of one image.

    Attributes:
        image: The name of the image.
        state: How far it is.
        bytes: Compressed bytes of the layers that were begun so far, while pulling.
        bytes_total: Compressed bytes of all layers that are fetched; 0 where nobody knows.
        detail: What else there is to say, such as why it failed.
    """

    image: str
    state: State
    bytes: int = 0
    bytes_total: int = 0
    detail: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the event as a JSON object."""
        return {"type": "image", **asdict(self), "state": self.state.value}


Progress = Callable[[Event], None]


def silent(event: Event) -> None:
    """Show nothing."""
    del event
