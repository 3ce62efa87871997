"""OCI image layouts: read their index, and show single images of them to skopeo.

skopeo 1.9 cannot read images of Docker's media types from a layout by name, and copying into one
converts them, which changes their digests.  So each image is shown as a `dir:` of links instead:
there the bytes of the manifest are what they were in the registry.
Source: OCI image layout specification 1.1; containers-transports(5), "dir:path".
"""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bound_images import strict
from bound_images.files import write_error
from bound_images.sources.manifest import MAX_LAYERS, Blob, Index, digest_of, parse_manifest
from orch_frame.errors import InvalidImageError, NotFoundError

REF_NAME = "org.opencontainers.image.ref.name"
LAYOUT_FILE = '{"imageLayoutVersion":"1.0.0"}'
CHUNK_BYTES = 1024 * 1024
_MEMBER = re.compile(r"(?:\./)?(blobs/sha256/[0-9a-f]{64}|index\.json|oci-layout|[a-z-]+\.json)")


@dataclass(frozen=True, slots=True)
class Layout:
    """An OCI layout.

    Attributes:
        path: Its directory, absolute.
        images: The digest of each image, by its name.
    """

    path: Path
    images: Mapping[str, str]

    def blob(self, digest: str) -> Path:
        """Return where the blob *digest* is."""
        return self.path / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def read_blob(self, digest: str) -> bytes:
        """Return a manifest, index or configuration.

        Raises:
            InvalidImageError: it is missing, too long, or not what its digest says.
        """
        try:
            with self.blob(digest).open("rb") as stream:
                data = stream.read(strict.MAX_BYTES + 1)
        except OSError as error:
            raise InvalidImageError(f"{self.path} lacks the blob {digest}.") from error
        if digest_of(data) != digest:
            raise InvalidImageError(f"The blob {digest} in {self.path} is not what it is called.")
        return data

    def show(self, digest: str, view: Path) -> None:
        """Make the new directory *view* show the image or index *digest* as a `dir:`.

        Raises:
            InvalidImageError: a manifest is malformed, or a blob is missing.
            SpaceError, ReadOnlyError: *view* cannot be made.
        """
        try:
            view.mkdir(parents=True)
            self._show(self.read_blob(digest), view, "manifest.json")
        except OSError as error:
            raise write_error(error, view) from error

    def _show(self, data: bytes, view: Path, name: str) -> None:
        (view / name).write_bytes(data)
        document = parse_manifest(data, what=str(self.path))
        if isinstance(document, Index):
            for entry in document.manifests:
                self._show_instance(entry, view)
            return
        for blob in (document.config, *document.layers):
            self._link(blob, view)

    def _show_instance(self, entry: Blob, view: Path) -> None:
        # An export holds the manifest for one platform only; the others are left out.
        if not self.blob(entry.digest).exists():
            return
        data = self.read_blob(entry.digest)
        if isinstance(parse_manifest(data, what=str(self.path)), Index):
            raise InvalidImageError(f"{self.path} has an index in an index.")
        self._show(data, view, f"{entry.digest.removeprefix('sha256:')}.manifest.json")

    def _link(self, blob: Blob, view: Path) -> None:
        target = self.blob(blob.digest)
        if not target.is_file() or target.stat().st_size != blob.size:
            raise InvalidImageError(
                f"{self.path} lacks the blob {blob.digest}, or it has another size."
            )
        link = view / blob.digest.removeprefix("sha256:")
        if not link.is_symlink():
            link.symlink_to(target)


def read_layout(path: Path) -> Layout:
    """Read which images the OCI layout *path* holds.

    Raises:
        NotFoundError: there is no layout.
        InvalidImageError: its index is malformed.
    """
    try:
        data = (path / "index.json").read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path} is no OCI layout.", path=str(path)) from error
    manifests = strict.loads(data, what=f"{path}/index.json").get("manifests")
    if not isinstance(manifests, list) or len(manifests) > MAX_LAYERS:
        raise InvalidImageError(f"{path}/index.json lists no manifests.", path=str(path))
    images: dict[str, str] = {}
    for manifest in manifests:
        match manifest:
            case {"annotations": {"org.opencontainers.image.ref.name": str(name)}}:
                images[name] = Blob.from_json(manifest).digest
    return Layout(path.absolute(), images)


def unpack_archive(archive: Path, target: Path) -> Path:
    """Unpack an archive of a layout, once for all images, and return *target*.

    Members that are no part of a layout are left out.

    Raises:
        NotFoundError: there is no such archive.
        InvalidImageError: it is no tar archive, or has a member twice.
        SpaceError, ReadOnlyError: *target* cannot be written.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = _MEMBER.fullmatch(member.name)
                stream = tar.extractfile(member) if name and member.isreg() else None
                if name is not None and stream is not None:
                    path = target / name[1]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("xb") as out:
                        shutil.copyfileobj(stream, out, CHUNK_BYTES)
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no archive {archive}.", path=str(archive)) from error
    except (tarfile.TarError, EOFError, FileExistsError) as error:
        raise InvalidImageError(
            f"{archive} is no OCI archive.", details=tar_complaint(error), path=str(archive)
        ) from error
    except OSError as error:
        raise write_error(error, target) from error
    return target


def tar_complaint(error: Exception) -> str | None:
    """Return what is wrong with an archive; None where it is no archive at all."""
    if isinstance(error, OSError):
        return error.strerror
    # Otherwise a list of the kinds of compression that were tried, in the words of Python.
    return None if "could not be opened" in str(error) else str(error)
