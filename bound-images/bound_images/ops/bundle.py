"""``export`` and ``import``: all bound images of a root, with their lock, as one OCI layout.

The layout holds the very bytes of the registry, each blob once, so that what is imported has the
digests that were recorded; any tool that reads layouts can read it.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from bound_images.events import Event, Progress, State, silent
from bound_images.files import replace_file, write_error
from bound_images.ops.planner import Planner
from bound_images.ops.session import open_session
from bound_images.ops.sync import (
    Destination,
    SyncResult,
    bound_images_of,
    import_images,
    record_image,
)
from bound_images.parallel import Failures
from bound_images.programs import Execution, Runner
from bound_images.rootfs import Root
from bound_images.settings import SyncOptions
from bound_images.sources.layout import LAYOUT_FILE, REF_NAME, read_layout, tar_complaint
from bound_images.sources.manifest import INDEX_TYPES, Blob, Manifest, digest_of, parse_manifest
from bound_images.sources.pullargs import Platform
from bound_images.sources.resolve import ResolvedImage
from bound_images.sources.retrying import with_retries
from bound_images.sources.source import STORAGE
from bound_images.storage import record as records
from bound_images.storage.record import Record
from orch_frame.errors import (
    InvalidImageError,
    MismatchError,
    NotFoundError,
    PolicyError,
    UsageError,
)

RECORD_NAME = "bound-images.json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """An exported layout.

    Attributes:
        path: Its directory or archive.
        record: What it holds.
        bytes: The length of all its blobs together.
    """

    path: Path
    record: Record
    bytes: int


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """What an export is written to.

    Attributes:
        path: The directory to make or to bring up to date, or the archive to write.
        archive: Whether it is one tar file.
    """

    path: Path
    archive: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[oci:]DIR`` or ``oci-archive:FILE``; what is relative is below where we are.

        Raises:
            UsageError: *text* is empty.
        """
        transport, colon, rest = text.partition(":")
        if colon and transport in ("oci", "oci-archive") and rest:
            return cls(Path(rest).absolute(), transport == "oci-archive")
        if not text or transport in ("oci", "oci-archive"):
            raise UsageError(
                f"{text!r} is no target.", hint="Say DIR, oci:DIR or oci-archive:FILE."
            )
        return cls(Path(text).absolute())


def export_images(
    root: Root,
    target: ExportTarget,
    lock: Path | None,
    options: SyncOptions | None = None,
    *,
    progress: Progress = silent,
    runner: Runner | None = None,
) -> Bundle:
    """Copy every image that *root* is bound to from its registry into a layout.

    Args:
        root: The root.
        target: The layout.
        lock: The lock file whose digests are exported; None for what the names stand for now.
        options: How to go about it.
        progress: Told of every image.
        runner: Starts the programs.

    Raises:
        OrchError: a definition cannot be read, an image cannot be resolved or fetched, or
            *target* cannot be written.
    """
    export = partial(
        _export,
        root,
        lock=lock,
        options=options or SyncOptions(),
        progress=progress,
        runner=runner or Runner(),
    )
    path = target.path
    if not target.archive:
        return export(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as directory:
            made = export(Path(directory) / "layout")
            _write_archive(made.path, Path(directory) / "archive")
            (Path(directory) / "archive").rename(path)
    except OSError as error:
        raise write_error(error, path) from error
    return replace(made, path=path)


def import_bundle(
    bundle: Path,
    root: Root | None,
    destination: Destination,
    options: SyncOptions | None = None,
    *,
    progress: Progress = silent,
    runner: Runner | None = None,
) -> SyncResult:
    """Bring every image of an exported layout, and its record, to *destination*.

    *root* is the root whose SELinux policy labels the store, None for no labels.

    Raises:
        NotFoundError: *bundle* is no export.
        OrchError: as `sync`.
    """
    transport = "oci" if bundle.is_dir() else "oci-archive"
    settings = replace(options or SyncOptions(), source=f"{transport}:{bundle.absolute()}")
    record = records.parse(_read_record(bundle), source=f"{bundle}/{RECORD_NAME}")
    return import_images(record, root, destination, settings, progress=progress, runner=runner)


def _export(
    root: Root,
    target: Path,
    *,
    lock: Path | None,
    options: SyncOptions,
    progress: Progress,
    runner: Runner,
) -> Bundle:
    if (options.source or "").startswith(f"{STORAGE}:"):
        raise PolicyError(
            "A store does not have the layers as the registry has them, so none is exported.",
            hint="Export from the registries, or from a layout.",
        )
    failures = Failures(keep_going=False)
    pinned = records.read(lock) if lock is not None else None
    with open_session(root, None, options, runner, create=False) as session:
        plan = Planner(session, options, progress, failures).plan(
            bound_images_of(root, failures), pinned
        )
        try:
            (target / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            for planned in plan.images:
                _add(planned.resolved, target, options, progress, runner)
            record = Record(tuple(map(record_image, plan.images)))
            _finish(target, [planned.resolved for planned in plan.images], record)
        except OSError as error:
            raise write_error(error, target) from error
    return Bundle(target, record, sum(p.stat().st_size for p in _blobs(target)))


def _add(
    image: ResolvedImage, target: Path, options: SyncOptions, progress: Progress, runner: Runner
) -> None:
    """Bring the blobs of one image into the layout; those that are there are not fetched again."""
    progress(Event(image.canonical, State.PULLING, 0, sum(blob.size for blob in image.layers)))
    with tempfile.TemporaryDirectory(prefix="export-", dir=target) as scratch:
        arguments = [
            *Platform.of(image.image.options).skopeo_arguments,
            "copy",
            "--quiet",
            "--remove-signatures",
            *(argument.replace("--", "--src-", 1) for argument in image.access.arguments),
            f"--dest-shared-blob-dir={target / 'blobs'}",
            image.place,
            f"oci:{scratch}/layout:image",
        ]
        with_retries(
            lambda: runner.run(
                "skopeo",
                arguments,
                what=f"Exporting {image.canonical}",
                image=image.image.reference,
                execution=Execution(env={"TMPDIR": scratch}, stall=options.stall_seconds),
            ),
            image.image.options,
            options.transfer,
            sleep=runner.sleep,
        )
    # skopeo may have rewritten manifest and configuration for the layout; these are the originals.
    for document in image.documents:
        if document:
            _blob_path(target, digest_of(document)).write_bytes(document)
    _check_complete(image, target)
    progress(Event(image.canonical, State.DONE))


def _check_complete(image: ResolvedImage, target: Path) -> None:
    for blob in _parts(image):
        path = _blob_path(target, blob.digest)
        if not path.is_file() or path.stat().st_size != blob.size:
            raise MismatchError(
                f"The export of {image.canonical} lacks the blob {blob.digest}.",
                image=image.image.reference,
            )


def _parts(image: ResolvedImage) -> tuple[Blob, ...]:
    """Return the configuration and the layers of the image for the exported platform."""
    manifest = parse_manifest(image.documents[1] or image.documents[0], what=image.canonical)
    if not isinstance(manifest, Manifest):
        raise InvalidImageError(f"{image.canonical} has no manifest for the wanted platform.")
    return (manifest.config, *manifest.layers)


def _finish(target: Path, images: Iterable[ResolvedImage], record: Record) -> None:
    """Write the index and the record, and remove blobs that nothing names any more."""
    images = tuple(images)
    index = {"schemaVersion": 2, "manifests": [_descriptor(image) for image in images]}
    needed = {digest_of(d) for image in images for d in image.documents if d}
    needed |= {blob.digest for image in images for blob in _parts(image)}
    for path in _blobs(target):
        if f"sha256:{path.name}" not in needed:
            path.unlink()
    replace_file(target / "oci-layout", LAYOUT_FILE)
    replace_file(target / RECORD_NAME, records.render(record))
    replace_file(target / "index.json", json.dumps(index, indent=1) + "\n")
    read_layout(target)


def _descriptor(image: ResolvedImage) -> dict[str, Any]:
    top = image.documents[0]
    media_type = json.loads(top).get("mediaType") or OCI_MANIFEST
    if media_type not in INDEX_TYPES and "manifests" in json.loads(top):
        media_type = "application/vnd.oci.image.index.v1+json"
    return {
        "mediaType": media_type,
        "digest": image.digest,
        "size": len(top),
        "annotations": {REF_NAME: image.canonical},
    }


def _read_record(bundle: Path) -> bytes:
    try:
        if bundle.is_dir():
            return (bundle / RECORD_NAME).read_bytes()
        with tarfile.open(bundle) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.name == RECORD_NAME else None
                if stream is not None:
                    return stream.read(records.MAX_BYTES + 1)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise NotFoundError(
            f"{bundle} is no export of bound images.",
            details=tar_complaint(error),
            path=str(bundle),
        ) from error
    raise NotFoundError(f"{bundle} holds no {RECORD_NAME}.", path=str(bundle))


def _write_archive(directory: Path, archive: Path) -> None:
    """Write a tar file that depends on nothing but the content of *directory*."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    # The record comes first: an import reads it before anything else.
    names = sorted(directory.iterdir(), key=lambda path: (path.name != RECORD_NAME, path.name))
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in names:
            tar.add(path, arcname=path.name, filter=plain)


def _blobs(target: Path) -> list[Path]:
    return sorted((target / "blobs" / "sha256").iterdir())


def _blob_path(target: Path, digest: str) -> Path:
    return target / "blobs" / "sha256" / digest.removeprefix("sha256:")
