"""Where the program starts: the command ``bound-images``, and ``python -m bound_images``.

Nothing is imported before an interrupt is sure not to end in a traceback.
"""

from __future__ import annotations

from orch_frame.start import end_on_interrupt


def main() -> None:
    """Run the command line of this process."""
    end_on_interrupt()
    from bound_images.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
