"""Make foreign strings fit to be shown: names and messages may hold anything."""

from __future__ import annotations

PRINTABLE_CHARACTERS_MAX = 256


def printable(text: bytes | str) -> str:
    """Return *text* with control characters and undecodable bytes escaped, at most 256 long.

    Terminal escapes and line ends in a path must never reach a terminal or a log as they are.
    """
    if isinstance(text, bytes):
        text = text.decode(errors="backslashreplace")
    shown = escape_controls(text)
    if len(shown) > PRINTABLE_CHARACTERS_MAX:
        return shown[: PRINTABLE_CHARACTERS_MAX - 1] + "…"
    return shown


def escape_controls(text: str) -> str:
    """Escape every character that is not printable, and keep the rest."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
