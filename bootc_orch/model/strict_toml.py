"""Read TOML of a stranger: nothing that takes the standard parser long, or fails in it.

The parser recurses into arrays, converts numbers of any length, and compares each part of a dotted
key with all parts before it.  So brackets and dots are counted before it sees the document.

Source: TOML v1.0.0.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from orch_frame.errors import InvalidImageError

MAX_DEPTH = 64
MAX_DOTS = 1000
# Strings and comments are skipped, their ends optional: what is open is refused by the parser.
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5})?'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5})?"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+"
    r"|[\[\]{}.]",
    re.DOTALL,
)


def loads(text: str, *, source: str) -> dict[str, Any]:
    """Parse *text*, the content of the file *source*.

    Raises:
        InvalidImageError: it is not TOML, is nested deeper than `MAX_DEPTH`, has more than
            `MAX_DOTS` dots outside of strings, or a number that is too long.
    """
    _check_shape(text, source)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers and dates that are none
        raise InvalidImageError(f"{source} is not TOML: {error}.", path=source) from error


def _check_shape(text: str, source: str) -> None:
    depth = dots = 0
    for match in _TOKEN.finditer(text):
        match match[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case ".":
                dots += 1
        if depth > MAX_DEPTH:
            raise InvalidImageError(f"{source} is nested deeper than {MAX_DEPTH}.", path=source)
        if dots > MAX_DOTS:
            raise InvalidImageError(f"{source} has more than {MAX_DOTS} dots.", path=source)
