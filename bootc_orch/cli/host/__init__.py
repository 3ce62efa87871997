"""The commands that work on a host."""
