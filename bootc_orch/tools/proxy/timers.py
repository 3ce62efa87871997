"""How long to wait for bytes: skopeo itself waits for ever.

Time counts only while nothing is there to be read, so that a slow consumer is never mistaken for a
slow source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Timers:
    """The limits of patience.

    Attributes:
        answer: Seconds to wait for the answer to a request that goes to a registry.
        local_answer: The same for other transports: an archive is unpacked before it is opened.
        first_byte: Seconds to wait for the first byte of a blob.
        stall: Seconds without a byte, once there was one.
        floor: Bytes a second, on average over `stall` seconds of waiting.
    """

    answer: float = 90.0
    local_answer: float = 1800.0
    first_byte: float = 90.0
    stall: float = 60.0
    floor: int = 1024

    @classmethod
    def of(cls, timeout: float | None) -> Self:
        """Return the limits of someone who waits *timeout* seconds for a byte; None to choose."""
        return cls() if timeout is None else cls(timeout, first_byte=timeout, stall=timeout)


class Patience:
    """The patience left for one blob."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._started = False
        self._silence = 0.0  # waited since the last byte
        self._window = 0.0  # waited since the speed was last judged
        self._window_bytes = 0

    def left(self) -> float:
        """Return the seconds that may be waited now; 0 or less: patience is at its end."""
        if not self._started:
            return self._timers.first_byte - self._silence
        if self._window >= self._timers.stall:
            if self._window_bytes < self._timers.stall * self._timers.floor:
                return 0.0
            self._window, self._window_bytes = 0.0, 0
        return self._timers.stall - max(self._silence, self._window)

    def waited(self, seconds: float) -> None:
        """Note that *seconds* were spent waiting."""
        self._silence += seconds
        self._window += seconds

    def arrived(self, count: int) -> None:
        """Note that *count* bytes were read."""
        if not self._started:
            self._started, self._window = True, 0.0
        self._silence = 0.0
        self._window_bytes += count
