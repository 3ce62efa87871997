"""The commands that work on images and repositories."""
