"""The errors that only this program has; those of both programs are in ``orch_frame/errors.py``."""

from __future__ import annotations

import os

from orch_frame.errors import OrchError
from orch_frame.several import SeveralError

__all__ = [
    "BoundImagesError",
    "CommandError",
    "DefinitionError",
    "LintError",
    "SeveralError",
    "exit_status",
]

# The public name of the base class.
BoundImagesError = OrchError


class DefinitionError(OrchError):
    """A bound entry, quadlet file or Kubernetes document cannot be read as one."""

    exit_code = os.EX_DATAERR
    kind = "invalid-definition"


class LintError(OrchError):
    """Lint found something at or above the severity that was asked for."""

    exit_code = os.EX_DATAERR
    kind = "lint"


class CommandError(OrchError):
    """An external program exited with a status that nobody expected."""

    kind = "command"


def exit_status(error: OrchError) -> int:
    """Return the status that the command ends with after *error*."""
    return error.exit_code
