"""Start external programs; the only module of the package that imports `subprocess`.

`run` covers a command whose output is wanted, `spawn` one that is talked to while it runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import which
from types import FrameType
from typing import IO

from bootc_orch.errors import CommandError
from orch_frame.environment import child_environment
from orch_frame.errors import ToolMissingError

logger = logging.getLogger(__name__)

DEVNULL = subprocess.DEVNULL
PIPE = subprocess.PIPE
Process = subprocess.Popen[bytes]

Arg = str | Path
STDERR_TAIL_BYTES = 8 * 1024
GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Completed:
    """What a finished command left.

    Attributes:
        argv: The command line.
        status: Its exit status, one of those that were allowed.
        stdout: What it printed, as bytes: names need not be text.
    """

    argv: tuple[str, ...]
    status: int
    stdout: bytes

    @property
    def text(self) -> str:
        """Standard output as text without the final newline; undecodable bytes escaped."""
        return self.stdout.decode(errors="backslashreplace").rstrip("\n")


def run(
    argv: Sequence[Arg],
    *,
    stdin: IO[bytes] | int = DEVNULL,
    env: Mapping[str, str] | None = None,
    pass_fds: Collection[int] = (),
    allow: Collection[int] = (0,),
) -> Completed:
    """Run *argv* to its end and return its standard output.

    Standard input is empty unless *stdin* is given, so no tool can stop to ask.  *env* is added to
    the inherited environment.  An exit status listed in *allow* is an answer, not a failure.

    Raises:
        ToolMissingError: *argv[0]* is not on PATH.
        CommandError: the exit status is not in *allow*.
    """
    with spawn(argv, stdin=stdin, stdout=PIPE, env=env, pass_fds=pass_fds, allow=allow) as process:
        stdout, _ = process.communicate()
    return Completed(_strings(argv), process.returncode, stdout)


def run_on_terminal(argv: Sequence[Arg], terminal: IO[bytes]) -> None:
    """Run *argv*, an editor for instance, to its end as the one that *terminal* talks with.

    It stays in our session, as only that has the terminal, and what is typed to interrupt is for it
    alone.

    Raises:
        ToolMissingError: *argv[0]* is not on PATH.
        CommandError: it failed.
    """
    command = _strings(argv)
    if not program_exists(command[0]):
        raise ToolMissingError(command[0])
    logger.debug("+ %s", shlex.join(command))
    ours = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT)}
    for number in ours:
        signal.signal(number, _pass_over)  # unlike SIG_IGN, not inherited
    try:
        status = subprocess.call(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=child_environment()
        )
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    if status != 0:
        raise CommandError(command, status, "")


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Do nothing about a signal that is for someone else."""


@contextmanager
def spawn(
    argv: Sequence[Arg],
    *,
    stdin: IO[bytes] | int = DEVNULL,
    stdout: IO[bytes] | int = DEVNULL,
    pass_fds: Collection[int] = (),
    env: Mapping[str, str] | None = None,
    allow: Collection[int] = (0,),
) -> Iterator[Process]:
    """Start *argv*, yield the process, and reap it when the block ends.

    The child is killed when the thread that started it ends, so a killed parent leaves no orphan
    that goes on writing.  If the block raises, the process group is ended and the block's own
    exception goes on, with what the program wrote to standard error as a note.  Standard error
    goes to an unlinked file: it cannot fill a pipe and stall the child, and its last
    `STDERR_TAIL_BYTES` bytes become part of the error.

    Raises:
        ToolMissingError: *argv[0]* is not on PATH.
        CommandError: the exit status is not in *allow*.
    """
    command = _strings(argv)
    logger.debug("+ %s", shlex.join(command))
    with tempfile.TemporaryFile() as stderr:
        process = _start(command, stdin, stdout, stderr, pass_fds, env)
        try:
            yield process
        except BaseException as error:
            _end_group(process)
            if tail := _tail(stderr):
                error.add_note(f"{command[0]} wrote: {tail}")
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()
        if process.wait() not in allow:
            raise CommandError(command, process.returncode, _tail(stderr))


def program_exists(name: str) -> bool:
    """Say whether *name* is on PATH."""
    return which(name) is not None


def _start(
    command: tuple[str, ...],
    stdin: IO[bytes] | int,
    stdout: IO[bytes] | int,
    stderr: IO[bytes],
    pass_fds: Collection[int],
    env: Mapping[str, str] | None,
) -> Process:
    if not program_exists(command[0]):
        raise ToolMissingError(command[0])
    return subprocess.Popen(
        (*_guard(), *command),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        env={**child_environment(), **(env or {})},
    )


@cache
def _guard() -> tuple[str, ...]:
    """The prefix that ends a child with its parent; empty where util-linux is missing.

    A function run between fork and exec would do the same, but is unsafe among threads.
    """
    return ("setpriv", "--pdeathsig", "KILL", "--") if program_exists("setpriv") else ()


def _end_group(process: Process) -> None:
    """Ask the child and its children to end, then make them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            if number == signal.SIGTERM:
                continue
            return
    process.wait()


def _tail(stream: IO[bytes]) -> str:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - STDERR_TAIL_BYTES))
    return stream.read().decode(errors="backslashreplace").strip()


def _strings(argv: Sequence[Arg]) -> tuple[str, ...]:
    return tuple(str(argument) for argument in argv)
