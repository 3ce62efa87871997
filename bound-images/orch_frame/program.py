"""A program of this project: how it finds its commands, starts, and ends.

Nothing heavy is imported here, so that ``--version`` and completion stay fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from io import TextIOWrapper
from typing import Any, ClassVar

import typer
from typer.main import get_command

from orch_frame.boundary import ReportingGroup
from orch_frame.signals import Interrupted, install_signal_handlers, interrupted_status

INTERRUPTED = (129, 130, 143)


class LazyGroup(ReportingGroup):
    """The top level: finds a command by its name, and imports only the module that has it.

    Attributes:
        groups: The name of each group, and the module whose `app` it is.
        modules: The name of each command, and the module whose `app` has it.  The order is that of
            the help text.
    """

    groups: ClassVar[Mapping[str, str]] = {}
    modules: ClassVar[Mapping[str, str]] = {}

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, D102 - as inherited
        return [*self.groups, *self.modules]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, D102 - as inherited
        if cmd_name in self.groups:
            group = get_command(import_module(self.groups[cmd_name]).app)
            group.name = cmd_name
            return group
        if cmd_name in self.modules:
            found = get_command(import_module(self.modules[cmd_name]).app)
            # Typer makes no group of an app with a single command.
            return getattr(found, "commands", {}).get(cmd_name, found)
        return None


def run_program(
    app: typer.Typer, *, name: str, on_signal: Callable[[], None] = lambda: None
) -> None:
    """Run the command line of this process and leave it with its exit status.

    Args:
        app: The top level of the commands.
        name: What the program is called.
        on_signal: Called at once when a signal asks the program to end.
    """
    prepare_process()
    try:
        install_signal_handlers(on_signal)
        # Set by the shell's completion; names what it wants, such as ``source_bash``.
        if f"_{name.upper().replace('-', '_')}_COMPLETE" in os.environ:
            from typer import completion

            completion.completion_init()  # type: ignore[attr-defined]
        app(prog_name=name)
    except SystemExit as ending:
        if isinstance(ending.code, int) and ending.code in INTERRUPTED:
            # Worker threads may hang in a system call; what must be undone has been by now.
            os._exit(interrupted_status(ending.code))
        raise
    except Interrupted as late:  # while the arguments were read, or the answer was printed
        os._exit(128 + late.number)


def prepare_process() -> None:
    """Make sure of what the rest relies on: three open descriptors, a umask, no core dumps.

    A file that is opened where a standard stream is closed would be written instead of it.
    """
    import resource

    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - its only form
    os.close(descriptor)
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - lives as long as we
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
