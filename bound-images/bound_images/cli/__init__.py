"""The command ``bound-images``."""

from bound_images.cli.app import main

__all__ = ["main"]
