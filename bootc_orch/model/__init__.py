"""Frozen data with its parsers and formats; no input or output."""
