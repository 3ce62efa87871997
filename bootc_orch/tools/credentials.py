"""Find the credentials for registries, and hand them to a child without naming them.

A host has its own credentials, apart from those of the user who happens to run the command; where
there are none, the registry is asked anonymously rather than with whatever podman left behind.
Source: bootc-auth of the bootc manual, containers-auth.json(5).
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootc_orch.model import strict_json
from orch_frame.errors import ConfigError, InvalidImageError, LimitError

logger = logging.getLogger(__name__)

MAX_AUTH_BYTES = 1024 * 1024
# Numbers from here on are out of the way of descriptors that a program may expect.
FIRST_DESCRIPTOR = 100
_SYSTEM_PLACES = ("run/ostree", "etc/ostree", "usr/lib/ostree")


def find_authfile(root: Path = Path("/")) -> Path | None:
    """Return the first ``auth.json`` of the host, or of the user if not root; None without one.

    Args:
        root: Where the host's file system is.
    """
    return next((path for path in _places(root) if path.exists()), None)


def read_authfile(path: Path) -> bytes:
    """Read *path*, and warn if others could read it too.

    Raises:
        ConfigError: it cannot be read, is not a regular file, or is not a JSON object.
    """
    try:
        # Not to wait for whoever might write into a pipe of that name.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"The credentials {path} are not a regular file.", path=str(path))
            data = file.read(MAX_AUTH_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"The credentials {path} cannot be read: {error.strerror}.", path=str(path)
        ) from error
    _check(data, path)
    # What an image ships for everyone is no secret of this host.
    if status.st_mode & 0o044 and not path.is_relative_to("/usr"):
        logger.warning("%s can be read by others; chmod 600 it", path)
    return data


@contextmanager
def descriptor_holding(data: bytes) -> Iterator[int]:
    """Put *data* into memory that only a descriptor names; yield the descriptor, 100 or above.

    A child that inherits it reads it as ``/proc/self/fd/N``, also as another user.
    """
    low = os.memfd_create("auth.json", os.MFD_CLOEXEC)
    try:
        os.write(low, data)
        descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
    finally:
        os.close(low)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _places(root: Path) -> Iterator[Path]:
    if os.geteuid() == 0:
        yield from (root / place / "auth.json" for place in _SYSTEM_PLACES)
        return
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "ostree/auth.json")
    if home := os.environ.get("HOME"):
        yield Path(home, ".config/ostree/auth.json")


def _check(data: bytes, path: Path) -> None:
    """Refuse what is no JSON object, without ever repeating a word of it."""
    try:
        value = strict_json.loads(data, what="the file", limit=MAX_AUTH_BYTES)
    except (InvalidImageError, LimitError):
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"The credentials {path} are not a JSON object.", path=str(path))
