"""The only place that writes to standard output and standard error.

Every line is freed of control characters and of secrets first, and a reader that has gone away ends
the output, not the operation.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from orch_frame.redaction import redact
from orch_frame.text import escape_text

ENVELOPE_VERSION = 1
# Those whose records are shown: one may use the other, and both use this package.
OURS = ("bootc_orch", "bound_images", "orch_frame")
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


@dataclass(slots=True)
class Mode:
    """How the command at hand was told to print.

    Attributes:
        json: One JSON document on standard output instead of lines.
        quiet: No lines that tell how the work goes.
        verbose: 1 for steps on standard error and more detail in results, 2 also for the programs
            that are run.
    """

    json: bool = False
    quiet: bool = False
    verbose: int = 0


mode = Mode()


def reset() -> None:
    """Forget the modes of an earlier command in this process."""
    mode.json = mode.quiet = False
    mode.verbose = 0


def say(line: str) -> None:
    """Print one line of the result, unless the result is JSON."""
    if not mode.json:
        _write(sys.stdout, escape_text(line) + "\n")


def say_fields(line: str) -> None:
    """Print one line of the result whose fields are parted by tabs."""
    if not mode.json:
        _write(sys.stdout, "\t".join(map(escape_text, line.split("\t"))) + "\n")


def say_unless_quiet(line: str) -> None:
    """Print one line that tells how the work goes."""
    if not mode.quiet:
        say(line)


def say_block(text: str) -> None:
    """Print text whose characters are known to be harmless, such as a table that rich drew."""
    if not mode.json:
        _write(sys.stdout, text)


def say_raw(text: str) -> None:
    """Print a document exactly as it is, with a newline; on a terminal control characters escaped.

    For documents that are hashed or parsed by their reader.
    """
    shown = escape_text(text) if sys.stdout.isatty() else text
    _write(sys.stdout, shown + "\n")


def say_result(noun: str, value: Any, **more: Any) -> None:  # noqa: ANN401 - JSON is any of its types
    """Print the result *value* in the versioned envelope, if the result is to be JSON."""
    if mode.json:
        say_document({noun: value, **more})


def say_document(document: Mapping[str, Any]) -> None:
    """Print *document* with its version as one JSON object on one line.

    Everything but ASCII is escaped, which is the same document to a parser and harmless on a
    terminal.
    """
    _write(sys.stdout, json.dumps({"version": ENVELOPE_VERSION, **document}) + "\n")


def complain(text: str) -> None:
    """Print lines to standard error."""
    shown = (escape_text(redact(line)) for line in text.split("\n"))
    _write(sys.stderr, "\n".join(shown) + "\n")


class LogHandler(logging.Handler):
    """Writes log records to standard error the way errors are written."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record* as ``level: message``."""
        try:
            complain(f"{record.levelname.lower()}: {self.format(record)}")
        except Exception:  # noqa: BLE001 - logging must never end an operation
            self.handleError(record)


def start_logging() -> None:
    """Send the log records of both programs to standard error: as many as `Mode.verbose` asks."""
    for name in OURS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [LogHandler()]
        logger.propagate = False
        logger.setLevel(LEVELS[min(mode.verbose, len(LEVELS) - 1)])


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _abandon(stream)
    except ValueError:  # closed by someone else
        return


def reader_has_gone() -> bool:
    """Say whether nobody reads standard output any more; if so, drop what is still to come."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    gone = any(event & select.POLLERR for _, event in poll.poll(0))
    if gone:
        _abandon(sys.stdout)
    return gone


def flush() -> None:
    """Write out what is buffered; Python would do so at exit, where nobody reports a failure.

    Raises:
        OSError: a stream cannot be written, for another reason than that its reader has gone; what
            was to go there is dropped.
    """
    failures = []
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _abandon(stream)
        except OSError as error:
            failures.append(error)
            _abandon(stream)
    if failures:
        raise failures[0]


def _abandon(stream: TextIO) -> None:
    """Send what is still to come to nowhere; the reader has gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
