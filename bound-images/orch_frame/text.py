"""Make foreign strings fit to be shown: names and messages may hold anything.

Terminal escapes and line ends in a path or a label must never reach a terminal or a log.
"""

from __future__ import annotations

import unicodedata

PRINTABLE_CHARACTERS_MAX = 256
# Controls, formatting characters (which reorder text), lone surrogates, line and paragraph ends.
_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")


def escape_text(text: str) -> str:
    """Return *text* with everything escaped that a terminal would act on."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape", "backslashreplace").decode("ascii")
        if unicodedata.category(char) in _ESCAPED
        else char
        for char in text
    )


def printable(text: bytes | str) -> str:
    """Return a name fit for a message: escaped, and at most 256 characters long."""
    if isinstance(text, bytes):
        text = text.decode(errors="backslashreplace")
    shown = escape_text(text)
    if len(shown) > PRINTABLE_CHARACTERS_MAX:
        return shown[: PRINTABLE_CHARACTERS_MAX - 1] + "…"
    return shown
