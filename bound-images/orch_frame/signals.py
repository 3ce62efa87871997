"""Let signals end the program through its cleanup, wherever it waits.

Python runs a handler between two instructions.  A signal that arrives just before a blocking call
is noted, but the call goes on; with Python 3.14 that is not even rare.  So a thread watches for
signals that were noted and not handled, and sends another one, without effect of its own, that
interrupts the call.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NUDGE = signal.SIGURG
NUDGE_SECONDS = 0.1
_received: list[int] = []


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to end.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


def install_signal_handlers(on_signal: Callable[[], None] = lambda: None) -> None:
    """Let SIGINT, SIGTERM and SIGHUP raise `Interrupted`; a second one ends the program at once.

    A signal that is ignored from the start, as under nohup, stays so.

    Args:
        on_signal: Called in the handler, before anything is unwound.
    """
    handled = threading.Event()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        handled.set()
        _received.append(number)
        for other in _heeded():
            signal.signal(other, signal.SIG_DFL)
        on_signal()
        raise Interrupted(number)

    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(NUDGE, lambda *_: None)
    for number in _heeded():
        signal.signal(number, interrupt)
    threading.Thread(target=_watch, args=(reader, handled), daemon=True).start()


def interrupted_status(otherwise: int) -> int:
    """Return the exit status that says which signal ended the program, if one did.

    The parser takes any interrupt for one from the keyboard as long as it reads arguments.
    """
    return 128 + _received[0] if _received else otherwise


def _heeded() -> list[signal.Signals]:
    return [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]


def _watch(reader: int, handled: threading.Event) -> None:
    """Nudge the main thread from the arrival of an ending signal until that is handled."""
    main = threading.main_thread().ident
    while not handled.is_set():
        arrived = os.read(reader, 64)
        if main is not None and any(number in ENDING for number in arrived):
            while not handled.wait(NUDGE_SECONDS):
                signal.pthread_kill(main, NUDGE)
