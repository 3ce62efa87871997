"""Read one blob from the proxy's pipe: counted, timed, never more than promised."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
from collections.abc import Callable

from bootc_orch.tools.proxy.timers import Patience, Timers
from orch_frame.errors import LimitError, MismatchError, StallError

PIPE_BYTES = 1024 * 1024
# Making a pipe larger takes nearly a millisecond, which a small blob does not give back.
LARGE_BYTES = 512 * 1024
_READ_BYTES = 256 * 1024


class BlobStream:
    """The bytes of one blob, as stored.

    Args:
        descriptor: The read end of the pipe; the stream closes it.
        size: How many bytes there must be, or None if that is not known.
        conclude: Waits for the proxy's verdict, which is there once the pipe has ended, and raises
            what it says.
        subject: What is read, for errors.
        timers: How long to wait.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        size: int | None,
        conclude: Callable[[], None],
        subject: str,
        timers: Timers,
    ) -> None:
        self._descriptor = descriptor
        self._size = size
        self._conclude = conclude
        self._subject = subject
        self._patience = Patience(timers)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.count = 0
        self.ended = False
        self.abandoned = False
        os.set_blocking(descriptor, False)
        if size is not None and size > LARGE_BYTES:
            with contextlib.suppress(PermissionError):  # beyond what a user may have in pipes
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def read(self, count: int = _READ_BYTES, /) -> bytes:
        """Return some bytes, at most *count*; none at all only at the end of a whole blob.

        Raises:
            StallError: nothing came for too long, or too little.
            LimitError: there are more bytes than there must be.
            MismatchError: there are fewer, or the proxy found another digest.
            OrchError: what else the proxy says went wrong.
        """
        if self.ended:
            return b""
        while True:
            try:
                data = os.read(self._descriptor, count)
            except BlockingIOError:
                self._wait()
                continue
            break
        if data:
            self._patience.arrived(len(data))
            self.count += len(data)
            if self._size is not None and self.count > self._size:
                raise LimitError(f"{self._subject} is longer than its {self._size} bytes.")
            return data
        self.ended = True
        self._conclude()
        if self._size is not None and self.count != self._size:
            raise MismatchError(
                f"{self._subject} ended after {self.count} of its {self._size} bytes."
            )
        return b""

    def drain(self) -> None:
        """Read what is left, unless it was given up, and drop it; errors are those of `read`."""
        while not self.abandoned and self.read():
            pass

    def abandon(self) -> None:
        """Give up the rest, so that the end of the block does not wait for it."""
        self.abandoned = True

    def close(self) -> None:
        """Close the pipe; the proxy notices when it writes again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self.ended = True

    def _wait(self) -> None:
        left = self._patience.left()
        start = time.monotonic()
        if left <= 0 or not self._poll.poll(left * 1000):
            raise StallError(f"{self._subject} stalled after {self.count} bytes.")
        self._patience.waited(time.monotonic() - start)
