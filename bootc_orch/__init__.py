"""Image-based operating systems: OCI images pulled into ostree repositories and deployed."""

__version__ = "0.1.0"
