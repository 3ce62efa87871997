"""Read and write small files: a reader, and a power cut, finds the old content or the new."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from orch_frame.below import Below
from orch_frame.errors import OrchError, ReadOnlyError, SpaceError, StorageIOError

NO_SPACE = (28, 122)  # ENOSPC, EDQUOT
MAX_STATE_BYTES = 16 * 1024 * 1024
REFUSED = (1, 13, 30)  # EPERM, EACCES, EROFS


def replace_file(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Put *text* into the file at *path*; its directory is made if need be.

    Raises:
        SpaceError, ReadOnlyError, StorageIOError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            Path(temporary).rename(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise write_error(error, path) from error


def read_state(state: Path, name: str) -> str | None:
    """Return the text of the file *name* in the directory *state*, None where nothing is there.

    Raises:
        StoreDamagedError: it is no file, or longer than `MAX_STATE_BYTES`.
        StorageIOError: it cannot be read.
    """
    try:
        data = Below(state).read(name, limit=MAX_STATE_BYTES)
    except FileNotFoundError:  # the directory
        return None
    except OSError as error:
        raise StorageIOError(f"{state / name} cannot be read: {error.strerror}.") from error
    return None if data is None else data.decode("utf-8", "replace")


def write_error(error: OSError, path: Path) -> OrchError:
    """Return the error for *path*, or the file that *error* names, that cannot be written."""
    where = str(error.filename or path)
    text = f"{where} cannot be written: {error.strerror}."
    if error.errno in NO_SPACE:
        return SpaceError(text, path=where, hint="Free some space.")
    if error.errno in REFUSED:
        return ReadOnlyError(text, path=where, hint="Run as root, where it can be written.")
    return StorageIOError(text, path=where)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
