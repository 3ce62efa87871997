"""The lock file: which image each bound name was resolved to, for one root.

What is present, what may go and what has changed is decided by the ids in it, never by spelling.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bound_images import strict
from bound_images.files import replace_file
from orch_frame.below import Below
from orch_frame.errors import InvalidImageError, NotFoundError, StorageIOError

VERSION = 1
MAX_BYTES = 16 * 1024 * 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class LockedImage:
    """What one bound image was resolved to.

    Attributes:
        reference: The name that podman was given.
        canonical: The name under which podman stores it.
        digest: ``sha256:…`` of the manifest, or of the index, that the name stood for.
        image_id: The id of the image, 64 hexadecimal digits.
        options: ``{quadlet key: value or list}``, secrets masked.
        sources: The files of the root that bind it.
    """

    reference: str
    canonical: str
    digest: str
    image_id: str
    options: Mapping[str, object]
    sources: tuple[str, ...]

    @classmethod
    def from_json(cls, data: object, *, what: str) -> LockedImage:
        """Read one element of ``images``.

        Raises:
            InvalidImageError: a field is missing or malformed.
        """
        match data:
            case {
                "reference": str(reference),
                "canonical": str(canonical),
                "digest": str(digest),
                "image_id": str(image_id),
                "options": dict(options),
                "sources": [*sources],
            } if _DIGEST.fullmatch(digest) and _IMAGE_ID.fullmatch(image_id):
                files = tuple(map(str, sources))
                return cls(reference, canonical, digest, image_id, options, files)
        raise InvalidImageError(f"{what} has a malformed image.", path=what)

    def to_json(self) -> dict[str, object]:
        """Return the element of ``images``."""
        return {
            "reference": self.reference,
            "canonical": self.canonical,
            "digest": self.digest,
            "image_id": self.image_id,
            "options": dict(self.options),
            "sources": list(self.sources),
        }


@dataclass(frozen=True, slots=True)
class Record:
    """All bound images of a root, as they were resolved."""

    images: tuple[LockedImage, ...]

    @property
    def image_ids(self) -> frozenset[str]:
        """The ids of all images."""
        return frozenset(image.image_id for image in self.images)

    def find(self, key: str) -> LockedImage | None:
        """Return the image whose canonical name, or whose reference, is *key*."""
        named = [image for image in self.images if key in (image.canonical, image.reference)]
        return named[0] if named else None


def parse(data: bytes, *, source: str) -> Record:
    """Read a lock file.

    Raises:
        InvalidImageError: *data* is none, or of a version that is not known.
    """
    document: dict[str, Any] = strict.loads(data, what=source, limit=MAX_BYTES)
    images = document.get("images")
    if document.get("version") != VERSION or not isinstance(images, list):
        raise InvalidImageError(f"{source} is no lock file of version {VERSION}.", path=source)
    return Record(tuple(LockedImage.from_json(image, what=source) for image in images))


def render(record: Record) -> str:
    """Return the text of the lock file; equal records give equal texts."""
    images = sorted((image.to_json() for image in record.images), key=lambda i: str(i["canonical"]))
    return json.dumps({"version": VERSION, "images": images}, indent=2, ensure_ascii=False) + "\n"


def read(path: Path) -> Record:
    """Read the lock file at *path*.

    Raises:
        NotFoundError: there is none.
        InvalidImageError: it is malformed.
        StoreDamagedError: it is no file, or longer than any lock file.
        StorageIOError: it cannot be read.
    """
    real = path.resolve()  # where it leads to is for who named it
    try:
        data = Below(real.parent).read(real.name, limit=MAX_BYTES)
    except FileNotFoundError:  # the directory
        data = None
    except OSError as error:
        raise StorageIOError(f"{path} cannot be read: {error.strerror}.") from error
    if data is None:
        raise NotFoundError(
            f"There is no lock file {path}.", path=str(path), hint="Run sync first."
        )
    return parse(data, source=str(path))


def write(path: Path, record: Record) -> None:
    """Replace the lock file at *path*, in one step that survives a power cut.

    Raises:
        SpaceError, ReadOnlyError: it cannot be written.
    """
    replace_file(path, render(record))
