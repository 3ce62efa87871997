"""The errors that only this program has; those of both programs are in ``orch_frame/errors.py``."""

from __future__ import annotations

from orch_frame.errors import OrchError


class CommandError(OrchError):
    """An external program exited with a status that nobody expected.

    Attributes:
        argv: The command line.
        status: The exit status; negative for a signal, as `subprocess` has it.
        stderr: The end of what it wrote to standard error.
    """

    kind = "command"

    def __init__(self, argv: tuple[str, ...], status: int, stderr: str) -> None:
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        super().__init__(f"{argv[0]} {how}.", details=_evidence(argv, stderr))
        self.argv = argv
        self.status = status
        self.stderr = stderr


def _evidence(argv: tuple[str, ...], stderr: str) -> str:
    command = " ".join(argv)
    return f"$ {command if len(command) <= 1000 else command[:1000] + ' …'}\n{stderr}".rstrip()
