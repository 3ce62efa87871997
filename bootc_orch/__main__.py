"""Where the program starts: the command ``bootc-orch``, and ``python -m bootc_orch``.

Nothing is imported before an interrupt is sure not to end in a traceback.
"""

from __future__ import annotations

from orch_frame.start import end_on_interrupt


def main() -> None:
    """Run the command line of this process."""
    end_on_interrupt()
    from bootc_orch.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
