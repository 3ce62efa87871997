"""The first thing that a program does: an interrupt may come before the rest is imported."""

from __future__ import annotations

import signal


def end_on_interrupt() -> None:
    """Let an interrupt end the process silently until the program has handlers of its own."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
