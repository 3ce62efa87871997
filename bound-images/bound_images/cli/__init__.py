"""The command ``bound-images``."""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process and leave it with its exit status."""
    from bound_images.__main__ import main as run

    run()


__all__ = ["main"]
