"""Every error that both programs report: its class, evidence, hint and exit status.

An error is raised where the knowledge is and caught once, at the boundary of the command line.
Layers above the place of failure add what they know (image, layer, path) with `OrchError.locate`.
Source of the statuses: ``sysexits.h``.
"""

from __future__ import annotations

import os
from typing import Self


class OrchError(Exception):
    """Base class; raise a subclass.

    Args:
        summary: One sentence, naming the object that the failure is about.
        hint: What the reader can do about it, as an imperative sentence.
        details: Captured evidence, printed indented below the summary.
        image: The image reference concerned, if known.
        layer: The digest of the layer concerned, ``sha256:…``, if known.
        path: The path inside the layer or on this machine, if known.

    Attributes:
        exit_code: The status that a command ends with after it.
        kind: The word that stands for its class in JSON.
    """

    exit_code: int = 1
    kind: str = "error"

    def __init__(
        self,
        summary: str,
        *,
        hint: str | None = None,
        details: str | None = None,
        image: str | None = None,
        layer: str | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.hint = hint
        self.details = details
        self.image = image
        self.layer = layer
        self.path = path

    def locate(
        self, *, image: str | None = None, layer: str | None = None, path: str | None = None
    ) -> Self:
        """Fill in where it happened, where that is not known yet; return the same error."""
        self.image = self.image or image
        self.layer = self.layer or layer
        self.path = self.path or path
        return self


class UsageError(OrchError):
    """The command line contradicts itself or names something impossible."""

    exit_code = 2
    kind = "usage"


class InvalidImageError(OrchError):
    """An image, layer, record or document is not what its format demands."""

    exit_code = os.EX_DATAERR
    kind = "invalid-image"


class MismatchError(OrchError):
    """A digest, size, diff_id or image is not the one that was promised, resolved or recorded."""

    exit_code = os.EX_DATAERR
    kind = "mismatch"


class LimitError(OrchError):
    """A document, layer or path exceeds a limit of this program."""

    exit_code = os.EX_DATAERR
    kind = "limit"


class StoreDamagedError(OrchError):
    """The local repository or store contradicts itself."""

    exit_code = os.EX_DATAERR
    kind = "store-damaged"


class NotFoundError(OrchError):
    """An image, ref, deployment, record, root or store is not there."""

    exit_code = os.EX_NOINPUT
    kind = "not-found"


class ToolError(OrchError):
    """A required program is missing, too old, or lacks a feature that was asked for."""

    exit_code = os.EX_UNAVAILABLE
    kind = "tool"


class ToolMissingError(ToolError):
    """An external program is not on PATH.

    Args:
        program: Its name.
        package: What provides it, where that goes by another name.
    """

    def __init__(self, program: str, *, package: str | None = None) -> None:
        which = f": {package}." if package else "."
        super().__init__(
            f"{program} is not installed.",
            hint=f"Install the package that provides {program}{which}",
        )
        self.program = program


class SpaceError(OrchError):
    """No space or no inodes are left where something had to be written."""

    exit_code = os.EX_CANTCREAT
    kind = "space"


class ReadOnlyError(OrchError):
    """The destination cannot be written."""

    exit_code = os.EX_CANTCREAT
    kind = "read-only"


class StorageIOError(OrchError):
    """Reading, writing or syncing failed."""

    exit_code = os.EX_IOERR
    kind = "io"


class TransientError(OrchError):
    """The same request may succeed later: a registry or the network did not answer."""

    exit_code = os.EX_TEMPFAIL
    kind = "network"


class StallError(TransientError):
    """Nothing arrived for too long."""

    kind = "timeout"


class LockedError(OrchError):
    """Another process holds a lock that is needed, and it was not released in time."""

    exit_code = os.EX_TEMPFAIL
    kind = "locked"


class AuthError(OrchError):
    """A registry refused the credentials, or asked for some."""

    exit_code = os.EX_PROTOCOL
    kind = "auth"


class PolicyError(OrchError):
    """A signature policy, a signature or an option of the program forbids the image."""

    exit_code = os.EX_PROTOCOL
    kind = "policy"


class ConfigError(OrchError):
    """A configuration file cannot be read, or holds an unknown key."""

    exit_code = os.EX_CONFIG
    kind = "config"


class ResourceError(OrchError):
    """The operating system has no more processes, files or memory for this program."""

    kind = "internal"


class InternalError(OrchError):
    """An unexpected exception: a bug in this program."""

    kind = "internal"

    def __init__(self, error: BaseException) -> None:
        super().__init__(
            f"internal error: {type(error).__name__}: {error}",
            hint="Run the command again with -vv, and report what it prints.",
        )


class NothingToDo(OrchError):  # noqa: N818 - an answer asked for by --unchanged-exit-77, not an error
    """There was nothing to do, and the caller asked to be told by the exit status."""

    exit_code = os.EX_NOPERM
    kind = "unchanged"
