r"""Split a value into words as systemd and podman's generator do: quotes, and C escapes.

Two flavours: `split_strings` (``Yaml=``, ``WantedBy=``) removes quotes and keeps backslashes;
`split_arguments` (``PodmanArgs=``, ``Mount=``) also reads escapes such as ``\x20``.
Source: systemd.service(5), "Command lines"; systemd's ``extract_first_word()`` as in podman 5.8.
"""

from __future__ import annotations

import re

SEPARATORS = " \t\n\r"
SURROGATES = range(0xD800, 0xE000)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "s": " ",
}  # fmt: skip
_NUMBER = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})")


class _BadEscapeError(ValueError):
    """An escape sequence that nobody knows."""


def split_strings(value: str) -> tuple[str, ...]:
    """Return the words of *value* without quotes; backslashes are ordinary characters.

    Where a quote is not closed, the generator drops the whole value, and so does this.
    """
    words, complete = _split(value, escapes=False)
    return words if complete else ()


def split_arguments(value: str) -> tuple[str, ...] | None:
    """Return the words of *value* without quotes and escapes, or None for an unknown escape.

    A quote that is not closed, and a backslash at the very end, are let pass.
    """
    try:
        return _split(value, escapes=True)[0]
    except _BadEscapeError:
        return None


def _split(value: str, *, escapes: bool) -> tuple[tuple[str, ...], bool]:
    """Return the words, and whether the last one was complete."""
    words: list[str] = []
    rest = value.lstrip(SEPARATORS)
    complete = True
    while rest and complete:
        word, rest, complete = _first_word(rest, escapes=escapes)
        if not word:
            # The generator takes an empty word for the end of the list.
            break
        words.append(word)
        rest = rest.lstrip(SEPARATORS)
    return tuple(words), complete


def _first_word(text: str, *, escapes: bool) -> tuple[str, str, bool]:
    """Return the first word of *text*, what follows it, and whether all its quotes were closed."""
    word: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\0":
            return "".join(word), "", True
        at += 1
        if escapes and char == "\\":
            piece, length = _unescape(text, at)
            word.append(piece)
            at += length
        elif quote:
            quote = _in_quote(char, quote, word)
        elif char in "\"'":
            quote = char
        elif char in SEPARATORS:
            return "".join(word), text[at:], True
        else:
            word.append(char)
    return "".join(word), "", not quote


def _in_quote(char: str, quote: str, word: list[str]) -> str:
    if char == quote:
        return ""
    word.append(char)
    return quote


def _unescape(text: str, at: int) -> tuple[str, int]:
    """Read the escape whose backslash stands before *at*; return its character and its length."""
    if at == len(text):
        return "", 0
    if text[at] in _SIMPLE:
        return _SIMPLE[text[at]], 1
    match = _NUMBER.match(text, at)
    if match is None:
        raise _BadEscapeError
    number = int(match[4], 8) if match[4] else int(match[1] or match[2] or match[3], 16)
    limit = 0xFF if match[4] else 0x10FFFF
    if not 0 < number <= limit:
        raise _BadEscapeError
    return "\N{REPLACEMENT CHARACTER}" if number in SURROGATES else chr(number), len(match[0])
