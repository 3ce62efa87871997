"""Show progress: live on a terminal, in plain lines otherwise, in JSON lines where asked for."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TextIO

from bound_images.cli.output import Output, size
from bound_images.events import FINAL, Event, Progress, State
from orch_frame.errors import UsageError
from orch_frame.output import mode
from orch_frame.text import escape_text

# How much of a digest a row of the display shows.
DIGEST_LENGTH = 12


@contextmanager
def shown_progress(output: Output, descriptor: int | None) -> Iterator[Progress]:
    """Yield what events are told to, while the display is on.

    Args:
        output: Says whether to be quiet.
        descriptor: Where JSON lines go, besides the display; None for nowhere.

    Raises:
        UsageError: *descriptor* is not open.
    """
    with ExitStack() as stack:
        shows: list[Progress] = []
        if descriptor is not None:
            shows.append(stack.enter_context(_json_lines(descriptor)))
        if not mode.quiet:
            live = sys.stderr.isatty()
            shows.append(stack.enter_context(_live()) if live else _plain_lines(sys.stderr))
        lock = threading.Lock()

        def show(event: Event) -> None:
            # Events come from several threads.
            with lock:
                for each in shows:
                    each(event)

        yield show


@contextmanager
def _json_lines(descriptor: int) -> Iterator[Progress]:
    try:
        stream = os.fdopen(os.dup(descriptor), "w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The descriptor {descriptor} is not open for writing.") from error
    broken = False

    def show(event: Event) -> None:
        nonlocal broken
        try:
            if not broken:
                stream.write(json.dumps(event.to_json()) + "\n")
                stream.flush()
        except OSError:
            # Whoever listened has gone; that ends the report, and not the work.
            broken = True

    try:
        yield show
    finally:
        with ExitStack() as stack:
            stack.callback(_close_quietly, stream)


def _close_quietly(stream: TextIO) -> None:
    try:
        stream.close()
    except OSError:
        return


def _plain_lines(stream: TextIO) -> Progress:
    """Return a display that prints a line when the state of an image changes."""
    seen: dict[str, State] = {}

    def show(event: Event) -> None:
        if seen.get(event.image) is event.state or event.state is State.RESOLVING:
            return
        seen[event.image] = event.state
        total = f" ({size(event.bytes_total)})" if event.bytes_total else ""
        detail = f": {event.detail}" if event.detail else ""
        stream.write(escape_text(f"{event.image}: {event.state}{total}{detail}") + "\n")
        stream.flush()

    return show


@contextmanager
def _live() -> Iterator[Progress]:
    """Show one row an image, with what is done and how long it may take."""
    # Imported here: it takes longer than many a whole command.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Display

    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[state]}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Display(*columns, console=console, transient=True, expand=True) as display:
        yield _rows(display.add_task, display.update, width=console.width // 2)


def short_name(name: str, width: int) -> str:
    """Return *name* in *width* characters: a digest cut short, and else the end of the name."""
    repository, at, digest = name.partition("@sha256:")
    short = f"{repository}{at}{digest[:DIGEST_LENGTH]}" if at else name
    return short if len(short) <= width else f"…{short[len(short) - max(width, 2) + 1 :]}"


def _rows(add: Callable[..., int], update: Callable[..., None], *, width: int) -> Progress:
    tasks: dict[str, int] = {}

    def show(event: Event) -> None:
        if event.image not in tasks:
            name = short_name(escape_text(event.image), width)
            tasks[event.image] = add(name, total=None, state="")
        total = event.bytes_total or (1 if event.state in FINAL else None)
        done = total if event.state in FINAL else event.bytes
        update(tasks[event.image], state=event.state.value, total=total, completed=done)

    return show
