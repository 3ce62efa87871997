"""Every error that this program reports, each with its class name, evidence, hint and exit status.

An error is raised where the knowledge is and caught once, in ``cli/app.py``.
Source of the statuses: ``sysexits.h``.
"""

from __future__ import annotations

import os
from typing import ClassVar, Self


class BoundImagesError(Exception):
    """Base class; raise a subclass.

    Args:
        summary: One sentence, naming the object that the failure is about.
        hint: What the reader can do about it, as an imperative sentence.
        details: Captured evidence, printed indented below the summary.
        image: The image reference concerned, if known.
        path: The definition file or path concerned, if known.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(
        self,
        summary: str,
        *,
        hint: str | None = None,
        details: str | None = None,
        image: str | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.hint = hint
        self.details = details
        self.image = image
        self.path = path

    def locate(self, *, image: str | None = None, path: str | None = None) -> Self:
        """Fill in where it happened, where that is not known yet; return the same error."""
        self.image = self.image or image
        self.path = self.path or path
        return self


class UsageError(BoundImagesError):
    """The command line contradicts itself or names something impossible."""

    exit_code = 2
    kind = "usage"


class DefinitionError(BoundImagesError):
    """A bound entry, quadlet file or Kubernetes document cannot be read as one."""

    exit_code = os.EX_DATAERR
    kind = "invalid-definition"


class InvalidImageError(BoundImagesError):
    """An image, manifest or record is not what its format demands."""

    exit_code = os.EX_DATAERR
    kind = "invalid-image"


class MismatchError(BoundImagesError):
    """An image is not the one that was resolved or recorded."""

    exit_code = os.EX_DATAERR
    kind = "mismatch"


class StoreDamagedError(BoundImagesError):
    """What the store holds is not what it says."""

    exit_code = os.EX_DATAERR
    kind = "store-damaged"


class LintError(BoundImagesError):
    """Lint found something at or above the severity that was asked for."""

    exit_code = os.EX_DATAERR
    kind = "lint"


class NotFoundError(BoundImagesError):
    """An image, record, root or store is not there."""

    exit_code = os.EX_NOINPUT
    kind = "not-found"


class ToolError(BoundImagesError):
    """A required program is missing, too old, or lacks a feature that was asked for."""

    exit_code = os.EX_UNAVAILABLE
    kind = "tool"


class ToolMissingError(ToolError):
    """An external program is not on PATH."""

    def __init__(self, program: str) -> None:
        super().__init__(
            f"{program} is not installed.", hint=f"Install the package that provides {program}."
        )
        self.program = program


class SpaceError(BoundImagesError):
    """No space or no inodes are left where something had to be written."""

    exit_code = os.EX_CANTCREAT
    kind = "space"


class ReadOnlyError(BoundImagesError):
    """The destination cannot be written."""

    exit_code = os.EX_CANTCREAT
    kind = "read-only"


class StorageIOError(BoundImagesError):
    """Reading, writing or syncing failed."""

    exit_code = os.EX_IOERR
    kind = "io"


class TransientError(BoundImagesError):
    """The same request may succeed later: a registry or the network did not answer."""

    exit_code = os.EX_TEMPFAIL
    kind = "network"


class StallError(TransientError):
    """A program reported nothing for too long."""

    kind = "timeout"


class LockedError(BoundImagesError):
    """Another process holds a lock that is needed, and it was not released in time."""

    exit_code = os.EX_TEMPFAIL
    kind = "locked"


class AuthError(BoundImagesError):
    """A registry refused the credentials, or asked for some."""

    exit_code = os.EX_PROTOCOL
    kind = "auth"


class PolicyError(BoundImagesError):
    """A signature policy, or an option of this program, forbids the image."""

    exit_code = os.EX_PROTOCOL
    kind = "policy"


class ConfigError(BoundImagesError):
    """A configuration file of the container tools cannot be read."""

    exit_code = os.EX_CONFIG
    kind = "config"


class CommandError(BoundImagesError):
    """An external program exited with a status that nobody expected."""

    kind = "command"


class SeveralError(BoundImagesError):
    """More than one image or definition failed.

    The exit status is that of the first failure which will not pass by itself, else of the first.
    Hints that differ stand with the failures that they are for.

    Attributes:
        errors: The failures, in the order of the definitions.
    """

    kind = "several"

    def __init__(self, summary: str, errors: tuple[BoundImagesError, ...]) -> None:
        lasting = [error for error in errors if error.exit_code != os.EX_TEMPFAIL]
        leader = (lasting or list(errors))[0]
        hints = {error.hint for error in errors if error.hint}
        super().__init__(
            summary,
            details="\n".join(
                line
                for error in errors
                for line in (
                    *describe(error),
                    *([f"    hint: {error.hint}"] if error.hint and len(hints) > 1 else []),
                )
            ),
            hint=hints.pop() if len(hints) == 1 else None,
            image=leader.image,
            path=leader.path,
        )
        self.errors = errors
        self.leader = leader

    @property
    def status(self) -> int:
        """The exit status of the failure that leads."""
        return exit_status(self.leader)


class InternalError(BoundImagesError):
    """An unexpected exception: a bug in this program."""

    kind = "internal"

    def __init__(self, error: BaseException) -> None:
        super().__init__(
            f"internal error: {type(error).__name__}: {error}",
            hint="Run the command again with -vv, and report what it prints.",
        )


def exit_status(error: BoundImagesError) -> int:
    """Return the status that the command ends with after *error*."""
    return error.status if isinstance(error, SeveralError) else error.exit_code


def describe(error: BoundImagesError) -> list[str]:
    """Return the summary of *error* and below it its evidence, indented, one line an element."""
    notes = getattr(error, "__notes__", ())
    evidence = [line for text in (error.details or "", *notes) for line in text.splitlines()]
    return [error.summary, *(f"    {line}" for line in evidence)]


def joined(errors: tuple[BoundImagesError, ...], summary: str) -> BoundImagesError:
    """Return the only one of *errors*, or a `SeveralError` with *summary* that holds them all."""
    return errors[0] if len(errors) == 1 else SeveralError(summary, errors)


def raise_all(errors: tuple[BoundImagesError, ...], summary: str) -> None:
    """Raise *errors*, joined; nothing where there are none."""
    if errors:
        raise joined(errors, summary)
