"""Where images come from: their registries, or a local copy of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bound_images.errors import (
    DefinitionError,
    NotFoundError,
    PolicyError,
    StorageIOError,
    ToolError,
    UsageError,
)
from bound_images.layout import Layout, read_layout, unpack_archive
from bound_images.programs import Runner
from bound_images.reference import DOCKER, transport_of
from bound_images.settings import SyncOptions

STORAGE = "containers-storage"


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
            DefinitionError: it is a place of this machine, and the image has no name.
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
        if canonical is None:
            raise DefinitionError(
                f"{reference} does not say what the image is called.",
                hint="Name it with ImageTag=.",
                image=reference,
            )
        return reference

    def tags(self, repository: str) -> tuple[str, ...] | None:
        """Return None: the registry has to be asked which tags there are."""
        del repository
        return None


@dataclass(frozen=True, slots=True)
class LayoutSource:
    """All images come from one OCI layout.

    Attributes:
        layout: The layout.
        views: Where single images of it are shown to skopeo.
    """

    layout: Layout
    views: Path
    _number: Iterator[int] = field(default_factory=itertools.count)

    def locate(self, canonical: str | None, reference: str) -> str:
        """Return the place of an image in the layout, by either of its names.

        Raises:
            NotFoundError: the layout has no such image.
            InvalidImageError: the layout lacks a part of it.
        """
        for name in (canonical, reference):
            digest = self.layout.images.get(name or "")
            if digest is not None:
                view = self.views / f"view-{next(self._number)}"
                self.layout.show(digest, view)
                return f"dir:{view}"
        raise NotFoundError(
            f"{self.layout.path} has no image called {canonical or reference}.", image=canonical
        )

    def tags(self, repository: str) -> tuple[str, ...] | None:
        """Return the tags of *repository* in the layout."""
        start = f"{repository}:"
        return tuple(n.removeprefix(start) for n in self.layout.images if n.startswith(start))


@dataclass(frozen=True, slots=True)
class StorageSource:
    """All images come from another store of this machine.

    Attributes:
        store: ``[driver@root+runroot]``.
    """

    store: str

    def locate(self, canonical: str | None, reference: str) -> str:
        """Return the place of an image in that store.

        Raises:
            ToolError: the image is named by a digest.
        """
        name = canonical or reference
        if "@" in name:
            raise ToolError(
                f"{name} is bound by its digest, which no copy from a store can have.",
                details="A store does not keep the layers as the registry has them.",
                hint="Take it from a registry, from an OCI layout, or by a tag.",
                image=reference,
            )
        return f"{STORAGE}:{self.store}{name}"

    def tags(self, repository: str) -> tuple[str, ...] | None:
        """Refuse: a store is not searched for tags.

        Raises:
            PolicyError: always.
        """
        raise PolicyError(f"AllTags= of {repository} needs a registry or a layout.")


Source = RegistrySource | LayoutSource | StorageSource


def open_source(options: SyncOptions, *, spool: Path, runner: Runner) -> Source:
    """Open what ``--from`` names: a store, a layout or an archive of one; else the registries.

    Args:
        options: Name the source, and what is allowed of registries.
        spool: Where an archive may be unpacked.
        runner: Asks podman for its default store.

    Raises:
        UsageError: the source is none of these.
        NotFoundError: there is no such directory or file.
        InvalidImageError: it is no OCI layout.
    """
    if options.source is None:
        return RegistrySource(options.allow_transports, options.offline)
    transport, _, rest = options.source.partition(":")
    if transport == STORAGE:
        return StorageSource(rest or _default_store(runner))
    if transport == "oci" and rest:
        return LayoutSource(read_layout(Path(rest)), spool)
    if transport == "oci-archive" and rest:
        return LayoutSource(read_layout(unpack_archive(Path(rest), spool / "archive")), spool)
    raise UsageError(
        f"{options.source!r} is no local source.",
        hint="Say containers-storage:, oci:DIR or oci-archive:FILE.",
    )


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
