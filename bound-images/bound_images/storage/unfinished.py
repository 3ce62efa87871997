"""A mark beside the store while it is being changed, for what a power cut may leave of that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bound_images.files import read_state, replace_file
from orch_frame.errors import StorageIOError

MARK_NAME = "unfinished"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def unfinished(state: Path) -> Iterator[None]:
    """Leave a mark in *state* while the block changes the store and, at its end, flushes it.

    A mark that stays names the boot in which the block failed or was killed.

    Raises:
        StorageIOError: the mark cannot be written or removed.
    """
    mark = state / MARK_NAME
    if read_state(state, MARK_NAME) is None:
        replace_file(mark, _boot_id())
    yield
    if not was_cut_off(state):
        clear(state)


def was_cut_off(state: Path) -> bool:
    """Say whether the machine went down before a change of the store had reached the disk.

    Raises:
        StoreDamagedError: something else than a file has its name.
        StorageIOError: the mark cannot be read.
    """
    mark = read_state(state, MARK_NAME)
    return mark is not None and mark != _boot_id()


def clear(state: Path) -> None:
    """Remove the mark.

    Raises:
        StorageIOError: it cannot be removed.
    """
    mark = state / MARK_NAME
    try:
        mark.unlink(missing_ok=True)
    except OSError as error:
        raise StorageIOError(f"{mark} cannot be removed: {error.strerror}.") from error


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii")
