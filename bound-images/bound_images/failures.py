"""What podman and skopeo write when they fail: the evidence in it, and the error that it means.

The words are those of ``orch_frame/tool_words.py``.
Source: measured with podman 4.3.1 and 5.8.6, skopeo 1.9.3 and 1.22.
"""

from __future__ import annotations

import json
import re

from bound_images.errors import CommandError
from orch_frame.errors import OrchError
from orch_frame.tool_words import meaning_of

# How Go quotes the message of a log line; JSON's rules do for nearly all of it.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ERROR_LINE = re.compile(r"^Error:|level=fatal|^FATA")
_LOG_PREFIX = re.compile(r'^time="[^"]*" level=\w+ msg=')
MAX_EVIDENCE = 4096
UNMARKED_LINES = 5


def error_of(what: str, status: int, stderr: str, *, image: str | None = None) -> OrchError:
    """Return the error for a program that ended with *status* after writing *stderr*.

    Args:
        what: What was being done, to begin the summary with: "Pulling quay.io/a:1".
        status: The exit status; negative for a signal.
        stderr: The end of what the program wrote to standard error.
        image: The image concerned.
    """
    evidence = essence(stderr)
    meaning = meaning_of(evidence)
    if meaning is not None:
        file = meaning.file_named_in(evidence)
        return meaning.error(
            f"{what} failed.", details=evidence, hint=meaning.hint, image=image, path=file
        )
    how = f"signal {-status}" if status < 0 else f"status {status}"
    details = f"{evidence}\n({how})".lstrip()
    return CommandError(f"{what} failed.", details=details, image=image)


def essence(stderr: str) -> str:
    """Return the part of *stderr* that says what went wrong: from the first error line on.

    Warnings come before it in any number, and old versions of podman mix theirs about networks in.
    """
    lines = stderr.splitlines()
    marked = [number for number, line in enumerate(lines) if _ERROR_LINE.search(line)]
    kept = lines[marked[0] :] if marked else lines[-UNMARKED_LINES:]
    text = "\n".join(map(_message, kept)).replace("\t", "    ").strip("\n")
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)[
        :MAX_EVIDENCE
    ]


def _message(line: str) -> str:
    """Return what a line says, without the date, the level and the quotes of a log."""
    text = _LOG_PREFIX.sub("", line)
    if text == line or not _QUOTED.fullmatch(text):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text
