"""Where the program starts: the command ``bound-images``, and ``python -m bound_images``.

Nothing is imported before an interrupt is sure not to end in a traceback.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line of this process."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bound_images.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
