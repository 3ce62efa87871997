"""The one validator for strings that reach boot entries, origin files and stateroot names.

A newline in a kernel argument or a reference would start a line of its own in
``/boot/loader/entries/*.conf`` or in an origin file, and can make a system unbootable.
"""

from __future__ import annotations

import re
import unicodedata

from orch_frame.errors import InvalidImageError, UsageError

MAX_KERNEL_ARGUMENT = 2048  # the command line limit of x86_64 Linux (COMMAND_LINE_SIZE)
MAX_VALUE = 4096
_STATEROOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def safe_text(value: str, *, what: str, limit: int = MAX_VALUE) -> str:
    """Return *value* if it can stand in one line of a boot entry or keyfile.

    Raises:
        InvalidImageError: it is longer than *limit* characters, or holds a control character
            (C0, C1, line and paragraph separators) or a lone surrogate.
    """
    if len(value) > limit:
        raise InvalidImageError(f"{what} is longer than {limit} characters.")
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise InvalidImageError(
                f"{what} holds the control character {character!a}: {value[:80]!a}."
            )
    return value


def safe_stateroot(name: str) -> str:
    """Return *name* if it can name a stateroot: a directory below ``ostree/deploy``.

    Raises:
        UsageError: it is empty, has another form, or would leave the directory.
    """
    if _STATEROOT.fullmatch(name) is None or name.endswith("."):
        raise UsageError(
            f"{name[:80]!a} cannot name a stateroot.",
            hint="Use letters, digits, '.', '_' and '-', beginning with a letter or digit.",
        )
    return name
