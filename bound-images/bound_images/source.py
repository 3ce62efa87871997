"""Where images come from: their registries, or a local copy of them."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bound_images import strict
from bound_images.errors import (
    InvalidImageError,
    NotFoundError,
    PolicyError,
    StorageIOError,
    UsageError,
)
from bound_images.programs import Runner
from bound_images.reference import DOCKER, transport_of

REF_NAME = "org.opencontainers.image.ref.name"
STORAGE = "containers-storage"
_BLOB_MEMBER = re.compile(r"(?:\./)?(blobs/sha256/[0-9a-f]{64}|index\.json|oci-layout)")


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """Each image comes from the place that its definition names.

    Attributes:
        allow_transports: Whether that place may be an archive or directory of this machine.
        offline: Whether no registry may be asked.
    """

    allow_transports: bool = False
    offline: bool = False

    def locate(self, canonical: str | None, reference: str) -> str:
        """Return the place of an image, ``transport:…``, for skopeo and podman.

        Raises:
            PolicyError: it is no registry, and nothing else is allowed.
            NotFoundError: it is a registry, and none may be asked.
        """
        if transport_of(reference) == DOCKER:
            if self.offline:
                raise NotFoundError(
                    f"{canonical} is not in the store, and no registry may be asked.",
                    hint="Run sync without --offline.",
                    image=reference,
                )
            return f"docker://{canonical}"
        if not self.allow_transports:
            raise PolicyError(
                f"{reference} is no image in a registry.",
                hint="Say --allow-transport to pull from a place on this machine.",
                image=reference,
            )
        return reference


@dataclass(frozen=True, slots=True)
class LayoutSource:
    """All images come from one OCI layout.

    Attributes:
        path: Its directory.
        names: The names of the images in it.
    """

    path: Path
    names: frozenset[str]

    def locate(self, canonical: str | None, reference: str) -> str:
        """Return the place of an image in the layout, by either of its names.

        Raises:
            NotFoundError: the layout has no such image.
        """
        for name in (canonical, reference):
            if name in self.names:
                return f"oci:{self.path}:{name}"
        raise NotFoundError(f"{self.path} has no image called {canonical}.", image=canonical)


@dataclass(frozen=True, slots=True)
class StorageSource:
    """All images come from another store of this machine.

    Attributes:
        store: ``[driver@root+runroot]``, or nothing for the store of the root user.
    """

    store: str

    def locate(self, canonical: str | None, reference: str) -> str:
        """Return the place of an image in that store."""
        return f"{STORAGE}:{self.store}{canonical or reference}"


Source = RegistrySource | LayoutSource | StorageSource


@contextmanager
def open_source(text: str | None, *, spool: Path, runner: Runner) -> Iterator[Source]:
    """Open what ``--from`` names; None means the registries.

    Args:
        text: ``containers-storage:[[driver@root+runroot]]``, ``oci:DIR`` or ``oci-archive:FILE``.
        spool: Where an archive may be unpacked.
        runner: Asks podman for its default store.

    Raises:
        UsageError: *text* is none of these.
        NotFoundError: there is no such directory or file.
        InvalidImageError: it is no OCI layout.
    """
    transport, _, rest = (text or "").partition(":")
    if text is None:
        yield RegistrySource()
    elif transport == STORAGE:
        yield StorageSource(rest or _default_store(runner))
    elif transport == "oci" and rest:
        yield layout(Path(rest))
    elif transport == "oci-archive" and rest:
        yield layout(_unpacked(Path(rest), spool / "archive"))
    else:
        raise UsageError(
            f"{text!r} is no local source.",
            hint="Say containers-storage:, oci:DIR or oci-archive:FILE.",
        )


def layout(path: Path) -> LayoutSource:
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
    if not isinstance(manifests, list):
        raise InvalidImageError(f"{path}/index.json lists no manifests.", path=str(path))
    annotations = [m.get("annotations") for m in manifests if isinstance(m, dict)]
    names = {a.get(REF_NAME) for a in annotations if isinstance(a, dict)}
    return LayoutSource(path.absolute(), frozenset(name for name in names if isinstance(name, str)))


def _unpacked(archive: Path, target: Path) -> Path:
    """Unpack the members that make a layout, once for all images; others are left out."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = _BLOB_MEMBER.fullmatch(member.name)
                stream = tar.extractfile(member) if name and member.isreg() else None
                if name is None or stream is None:
                    continue
                path = target / name[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as out:
                    while chunk := stream.read(1024 * 1024):
                        out.write(chunk)
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no archive {archive}.", path=str(archive)) from error
    except (tarfile.TarError, EOFError, FileExistsError) as error:
        raise InvalidImageError(
            f"{archive} is no OCI archive.", details=str(error), path=str(archive)
        ) from error
    return target


def _default_store(runner: Runner) -> str:
    """Return ``[driver@root+runroot]`` of the store that podman itself would use."""
    _, text = runner.run(
        "podman", ["info", "--format={{json .Store}}"], what="Asking podman for its store"
    )
    try:
        match json.loads(text):
            case {"graphDriverName": str(driver), "graphRoot": str(root), "runRoot": str(run)}:
                return f"[{driver}@{root}+{run}]"
    except ValueError as error:
        raise StorageIOError("podman does not say where its store is.", details=text) from error
    raise StorageIOError("podman does not say where its store is.", details=text)
