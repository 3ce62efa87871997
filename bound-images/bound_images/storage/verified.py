"""Which images of a store are known to be whole.

An image is noted here once it was pulled or read back, and the store was flushed.  One that is in
the store and not here may be what a power cut left of it, and is read back before it counts.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from bound_images.files import read_state, replace_file

FILE_NAME = "verified"
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


def read(state: Path) -> frozenset[str]:
    """Return the ids that are noted in the directory *state*; lines that are none are ignored.

    Raises:
        StoreDamagedError: something else than a file has its name.
        StorageIOError: the file is there and cannot be read.
    """
    lines = (read_state(state, FILE_NAME) or "").splitlines()
    return frozenset(line for line in lines if _IMAGE_ID.fullmatch(line))


def add(state: Path, image_ids: Collection[str]) -> None:
    """Note *image_ids*; the caller has flushed the store."""
    known = read(state)
    if not known.issuperset(image_ids):
        _write(state, known.union(image_ids))


def remove(state: Path, image_ids: Collection[str]) -> None:
    """Forget *image_ids*."""
    known = read(state)
    if not known.isdisjoint(image_ids):
        _write(state, known.difference(image_ids))


def _write(state: Path, image_ids: Collection[str]) -> None:
    replace_file(state / FILE_NAME, "".join(f"{image_id}\n" for image_id in sorted(image_ids)))
