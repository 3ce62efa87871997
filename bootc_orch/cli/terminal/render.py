"""Turn values into text: sizes, dates, tables."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from orch_frame.output import say, say_block
from orch_frame.text import escape_text

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
NO_BREAK_SPACE = "\u00a0"
PLAIN_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its heading.
        right: Whether its values are aligned to the right, as numbers are.
        flexible: Whether it gives way where the terminal is too narrow.
    """

    title: str
    right: bool = False
    flexible: bool = False


def size_text(size: int) -> str:
    """Write a number of bytes the way GLib's ``g_format_size`` does, as bootc's lines have it.

    Decimal units, one decimal, a no-break space before the unit, and a plain one before ``bytes``.
    """
    if size < 1000:
        return "1 byte" if size == 1 else f"{size} bytes"
    value = float(size)
    for unit in _UNITS:
        value /= 1000
        if value < 1000 or unit == _UNITS[-1]:
            return f"{value:.1f}{NO_BREAK_SPACE}{unit}"
    raise AssertionError("the last unit takes every value")


def timestamp_text(seconds: int | None) -> str | None:
    """Write seconds since 1970 as RFC 3339 in UTC; None stays None."""
    if seconds is None:
        return None
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def short_digest(digest: str) -> str:
    """Cut a digest or checksum to the twelve digits that people compare."""
    return digest.removeprefix("sha256:")[:12]


def is_terminal() -> bool:
    """Say whether people read standard output."""
    return sys.stdout.isatty()


def say_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: fitted to the terminal, or unshortened lines of aligned columns."""
    if is_terminal():
        _say_fitted(columns, rows)
    else:
        _say_plain(columns, rows)


def _say_plain(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    lines = [[column.title for column in columns], *([escape_text(v) for v in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = (
            value.rjust(width) if column.right else value.ljust(width)
            for value, width, column in zip(line, widths, columns, strict=True)
        )
        say(PLAIN_GAP.join(cells).rstrip())


def _say_fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.flexible,
            overflow="fold" if column.flexible else "ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(escape_text(value)) for value in row))
    terminal = Console(file=sys.stdout)
    drawn = Console(
        file=io.StringIO(), width=terminal.width, force_terminal=True, no_color=terminal.no_color
    )
    with drawn.capture() as capture:
        drawn.print(table)
    say_block(capture.get())
