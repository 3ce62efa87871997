"""Where images come from: their registries, or a local copy of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bound_images import strict
from bound_images.errors import DefinitionError
from bound_images.programs import Runner
from bound_images.reference import DOCKER, transport_of
from bound_images.settings import SyncOptions
from bound_images.sources.layout import Layout, read_layout, unpack_archive
from orch_frame.errors import NotFoundError, PolicyError, StorageIOError, ToolError, UsageError

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
        runner: Asks skopeo what is in it.
    """

    store: str
    runner: Runner

    def locate(self, canonical: str | None, reference: str) -> str:
        """Return the place of an image in that store.

        Raises:
            ToolError: the image is named by a digest that no copy of it can have.
            NotFoundError: it is named by a digest, and is not in that store.
        """
        name = canonical or reference
        place = f"{STORAGE}:{self.store}{name}"
        if "@" in name:
            self._check_layers(place, name)
        return place

    def _check_layers(self, place: str, name: str) -> None:
        """Refuse an image with compressed layers.

        A store keeps the manifest as it was, and the layers unpacked.  So a copy has the layers
        uncompressed, and only where they were so from the start does the manifest still fit: then
        skopeo carries it over.
        """
        layers = _strings(self._inspect(place, name), "Layers")
        rootfs = self._inspect(place, name, "--config").get("rootfs")
        diff_ids = _strings(rootfs if isinstance(rootfs, dict) else {}, "diff_ids")
        if compressed := [digest for digest in layers if digest not in diff_ids]:
            raise ToolError(
                f"{name} is bound by its digest, and a copy from a store would have another one.",
                details=f"{len(compressed)} of its {len(layers)} layers were compressed, such as"
                f" {compressed[0]}.\nA store keeps layers unpacked, and compressing them again"
                " would not give the same bytes.",
                hint="Take it from a registry or from an OCI layout that export made, or bind it"
                " by a tag.",
                image=name,
            )

    def _inspect(self, place: str, name: str, *options: str) -> dict[str, object]:
        _, text = self.runner.run(
            "skopeo", ["inspect", *options, place], what=f"Looking for {name}", image=name
        )
        return strict.loads(
            text.encode(errors="surrogateescape"), what=f"What skopeo says of {name}"
        )

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
        return RegistrySource(options.allow_transports, options.transfer.offline)
    transport, rest = split_source(options.source)
    if transport == STORAGE:
        return StorageSource(rest or _default_store(runner), runner)
    if transport == "oci":
        return LayoutSource(read_layout(Path(rest)), spool)
    return LayoutSource(read_layout(unpack_archive(Path(rest), spool / "archive")), spool)


def split_source(source: str) -> tuple[str, str]:
    """Return the transport of a local source, and where it is.

    Raises:
        UsageError: *source* is none.
    """
    transport, _, rest = source.partition(":")
    if transport == STORAGE or (rest and transport in ("oci", "oci-archive")):
        return transport, rest
    raise UsageError(
        f"{source!r} is no local source.",
        hint="Say containers-storage:, oci:DIR or oci-archive:FILE.",
    )


def _strings(document: Mapping[str, object], key: str) -> tuple[str, ...]:
    values = document.get(key)
    return tuple(map(str, values)) if isinstance(values, list) else ()


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
