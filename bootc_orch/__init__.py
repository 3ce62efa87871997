"""Image-based operating systems: OCI images pulled into ostree repositories and deployed."""

from orch_frame import __version__

__all__ = ["__version__"]
