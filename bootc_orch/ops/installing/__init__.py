"""Make a new system from an image."""
