"""Start podman and skopeo; the only module that imports `sh`."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import sh

from bound_images.errors import CommandError
from bound_images.failures import error_of
from bound_images.namespace import RUNROOT_FD, die_with_parent, explain_failure
from bound_images.stall import Movement, watched
from orch_frame.environment import child_environment
from orch_frame.errors import StallError, ToolError, ToolMissingError

logger = logging.getLogger(__name__)
# sh logs whole command lines, and puts them into its exceptions.
logging.getLogger("sh").setLevel(logging.CRITICAL + 1)

TAIL_BYTES = 64 * 1024
MAX_LINE = 2000
GRACE_SECONDS = 5.0
# Both programs live for seconds and are written in Go.  Its collector takes a quarter of the
# processor time of a pull, so it waits until there is something worth collecting; its scheduler
# spends more on waking threads than small tasks gain from them, so they get one processor.
GO_RUNTIME = {"GOGC": "off", "GOMEMLIMIT": "192MiB", "GOMAXPROCS": "1"}

Arg = str | Path


class Cancelled(Exception):  # noqa: N818 - an interruption, not an error to report
    """The program was ended because the whole command is being interrupted."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How a program is run, where that differs from how most are.

    Attributes:
        env: Variables to set besides the inherited ones.
        enter: What the child does before it becomes the program.
        on_line: Called with each line that the program prints.
        allow: Exit statuses that are answers.
        stall: Seconds after which it is killed if no program of its runner moves a byte.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    enter: Callable[[], None] | None = None
    on_line: Callable[[str], None] | None = None
    allow: tuple[int, ...] = (0,)
    stall: float | None = None


PLAIN = Execution()


class Runner:
    """Runs programs and ends those that are still running when the command is interrupted."""

    def __init__(self) -> None:
        self._running: dict[int, sh.RunningCommand] = {}
        # Also taken by a signal handler, in a thread that may hold it already.
        self._lock = threading.RLock()
        self._cancelled = threading.Event()
        self._movement = Movement()

    def run(
        self,
        program: str,
        arguments: Sequence[Arg],
        *,
        what: str,
        image: str | None = None,
        execution: Execution = PLAIN,
        timeout: float | None = None,
    ) -> tuple[int, str]:
        """Run *program* and return its exit status and standard output.

        Args:
            program: Its name, looked up on PATH.
            arguments: Its arguments; nothing secret among them.
            what: What is being done, to begin a message with: "Pulling quay.io/a:1".
            image: The image concerned, for the error.
            execution: How it is run.
            timeout: Seconds after which it is killed.

        Raises:
            ToolMissingError: *program* is not on PATH.
            StallError: *timeout* has passed, or it has stalled.
            OrchError: the program failed; the class says how.
            Cancelled: `cancel` was called.
        """
        command = _find(program)
        logger.debug("+ %s %s", program, " ".join(map(str, arguments)))
        with TemporaryFile() as output, TemporaryFile() as errors:
            running = self._start(command, arguments, output, errors, execution)
            status, impatience = self._wait(running, timeout, execution.stall)
            if impatience:
                raise StallError(f"{what} {impatience}", image=image)
            if status != 0 and self._cancelled.is_set():
                raise Cancelled
            if status not in execution.allow:
                raise error_of(what, status, _tail(errors), image=image)
            output.seek(0)
            return status, output.read().decode(errors="surrogateescape")

    def cancel(self) -> None:
        """End all running programs, at first politely, and let no further one start."""
        self._cancelled.set()
        self._signal(signal.SIGTERM)
        insist = threading.Timer(GRACE_SECONDS, self._signal, (signal.SIGKILL,))
        insist.daemon = True
        insist.start()

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the command is interrupted.

        Raises:
            Cancelled: it was.
        """
        if self._cancelled.wait(seconds):
            raise Cancelled

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            running = list(self._running.values())
        for command in running:
            with contextlib.suppress(ProcessLookupError):
                command.signal_group(number)

    def _start(
        self,
        command: sh.Command,
        arguments: Sequence[Arg],
        output: IO[bytes],
        errors: IO[bytes],
        execution: Execution,
    ) -> sh.RunningCommand:
        hear = execution.on_line
        enter = execution.enter
        with self._lock:
            if self._cancelled.is_set():
                raise Cancelled
            try:
                running = command(
                    *map(str, arguments),
                    _env={**child_environment(store_is_given=True), **GO_RUNTIME, **execution.env},
                    _preexec_fn=enter or die_with_parent,
                    _pass_fds={RUNROOT_FD} if enter else set(),
                    _out=_listener(output, hear) if hear else output,
                    _err=_listener(errors, hear) if hear else errors,
                    _encoding="utf-8",
                    _decode_errors="replace",
                    _new_session=True,
                    _bg=True,
                    _bg_exc=False,
                    _return_cmd=True,
                )
            except sh.ForkException as error:
                raise _namespace_error(error) from None
            self._running[id(running)] = running
            return running

    def _wait(
        self, running: sh.RunningCommand, timeout: float | None, stall: float | None
    ) -> tuple[int, str]:
        """Return the exit status, and why it was killed, if it was."""
        timed_out, stalled = threading.Event(), threading.Event()
        try:
            with (
                _deadline(running, timeout, timed_out),
                watched(running.pid, stall, self._movement, _killer(running, stalled)),
            ):
                running.wait()
            status = 0
        except sh.ErrorReturnCode as error:
            # Its text would be the whole output and command line, so it goes no further.
            status = int(error.exit_code)
        finally:
            with self._lock:
                self._running.pop(id(running), None)
        if timed_out.is_set():
            return status, f"took longer than {timeout:g} seconds."
        return status, f"moved nothing for {stall:g} seconds." if stalled.is_set() else ""


def _killer(running: sh.RunningCommand, killed: threading.Event) -> Callable[[], None]:
    """Return what kills *running*, and says so in *killed*."""

    def kill() -> None:
        killed.set()
        with contextlib.suppress(ProcessLookupError):
            running.signal_group(signal.SIGKILL)

    return kill


@contextlib.contextmanager
def _deadline(
    running: sh.RunningCommand, seconds: float | None, passed: threading.Event
) -> Iterator[None]:
    """Kill *running* after *seconds*, and say so in *passed*; sh's own timer polls."""
    timer = threading.Timer(seconds or 0.0, _killer(running, passed))
    timer.daemon = True
    if seconds:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _listener(stream: IO[bytes], on_line: Callable[[str], None]) -> Callable[[str], None]:
    """Return what hands each line on, and keeps it in *stream*."""

    def listen(line: str) -> None:
        stream.write(line.encode(errors="replace"))
        on_line(line.rstrip("\n")[:MAX_LINE])

    return listen


def _tail(stream: IO[bytes]) -> str:
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES))
    return stream.read().decode(errors="backslashreplace")


def processors(share: int) -> dict[str, str]:
    """Return the variables that give each of *share* programs its part of the processors."""
    return {"GOMAXPROCS": str(max(1, len(os.sched_getaffinity(0)) // max(1, share)))}


def _find(program: str) -> sh.Command:
    try:
        return sh.Command(program)
    except sh.CommandNotFound as error:
        raise ToolMissingError(program) from error


def _namespace_error(error: sh.ForkException) -> ToolError | CommandError:
    text = str(error).strip().splitlines()[-1]
    number = next((int(word) for word in text.replace("]", " ").split() if word.isdigit()), 0)
    return ToolError(
        "The private mount namespace for the store cannot be made.",
        details=text,
        hint=explain_failure(number),
    )
