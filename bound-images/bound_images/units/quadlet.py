"""Which images a quadlet unit names; knows every unit type, touches no file.

Values are returned as written: specifiers are expanded by the caller, who knows the root.
Source: podman 5.8, ``pkg/systemd/quadlet/quadlet.go``; podman-systemd.unit(5).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol

from bound_images.errors import DefinitionError
from bound_images.units.keys import check_keys
from bound_images.units.kube import images_in_yaml
from bound_images.units.options import PullOptions
from bound_images.units.transport import argument_pairs
from bound_images.units.unitfile import UnitFile


class UnitType(StrEnum):
    """The suffix of a quadlet file, without its dot."""

    ARTIFACT = "artifact"
    BUILD = "build"
    CONTAINER = "container"
    IMAGE = "image"
    KUBE = "kube"
    NETWORK = "network"
    POD = "pod"
    VOLUME = "volume"

    @property
    def section(self) -> str:
        """The section that holds the unit's own keys."""
        return self.value.capitalize()


# What the generator appends to the stem of a unit to name its service.
_SERVICE_SUFFIX = {UnitType.CONTAINER: "", UnitType.KUBE: ""}


@dataclass(frozen=True, slots=True)
class Unit:
    """A quadlet file with its drop-ins merged in.

    Attributes:
        name: The file's name, such as ``web@blue.container``.
        path: Where the generator finds it; relative paths in it start from there.
        file: Its settings.
        sources: The files that were read, the unit first, then the drop-ins in order.
    """

    name: str
    path: PurePosixPath
    file: UnitFile
    sources: tuple[str, ...]

    @property
    def type(self) -> UnitType:
        """The type, from the suffix of the name."""
        return UnitType(self.name.rpartition(".")[2])

    @property
    def service(self) -> str:
        """The name of the service that the generator writes for the unit."""
        named = self.file.value(self.type.section, "ServiceName")
        if named is not None:
            return f"{named}.service"
        stem = self.name.rpartition(".")[0]
        suffix = _SERVICE_SUFFIX.get(self.type, f"-{self.type}")
        if not stem.endswith("@"):
            return f"{stem}{suffix}.service"
        instance = self.file.value("Install", "DefaultInstance") or ""
        return f"{stem[:-1]}{suffix}@{instance}.service"

    def value(self, key: str) -> str:
        """Return the last value of *key* in the unit's own section, empty if it is not set."""
        return self.file.value(self.type.section, key) or ""


class Units(Protocol):
    """The other units of the root, and the files beside them."""

    def find(self, name: str) -> Unit | None:
        """Return the unit called *name*, or None."""

    def read(self, path: PurePosixPath) -> str:
        """Return the text of a file that a unit names."""


@dataclass(frozen=True, slots=True)
class ImageUse:
    """An image that a unit names.

    Attributes:
        reference: The name as written, with specifiers.
        options: How to pull it, as written.
        unit: The unit whose service podman would pull it for.
        sources: All files that had a say.
        artifact: Whether it is an OCI artifact and no image.
    """

    reference: str
    options: PullOptions
    unit: Unit
    sources: tuple[str, ...]
    artifact: bool = False

    def through(self, unit: Unit) -> ImageUse:
        """Return the same use, found by way of *unit*."""
        return replace(self, sources=tuple(dict.fromkeys((*unit.sources, *self.sources))))


def images_of(unit: Unit, units: Units) -> tuple[ImageUse, ...]:
    """Return the images that *unit* and the units it refers to need, the main one first.

    A ``.pod`` without an infra image of its own, and a container with ``Rootfs=``, need none.

    Raises:
        DefinitionError: the generator would refuse the unit, a unit it refers to is not there,
            or a mount names what cannot be bound.
    """
    check_keys(unit.file, unit.type.section, source=unit.sources[0])
    return tuple(dict.fromkeys(_FINDERS[unit.type](unit, units)))


def _of_image(unit: Unit, units: Units) -> Iterator[ImageUse]:
    del units
    if not unit.value("Image"):
        raise _refusal(unit, "there is no Image=")
    yield _use(unit, unit.value("Image"))


def _of_artifact(unit: Unit, units: Units) -> Iterator[ImageUse]:
    del units
    if not unit.value("Artifact"):
        raise _refusal(unit, "there is no Artifact=")
    yield replace(_use(unit, unit.value("Artifact")), artifact=True)


def _of_container(unit: Unit, units: Units) -> Iterator[ImageUse]:
    image, rootfs = unit.value("Image"), unit.value("Rootfs")
    if image and rootfs:
        raise _refusal(unit, "there are both Image= and Rootfs=")
    if not image and not rootfs:
        raise _refusal(unit, "there is neither Image= nor Rootfs=")
    if image:
        yield from _image_source(unit, image, units)
    for mount in unit.file.arguments("Container", "Mount"):
        yield from _of_mount(unit, mount, units)
    yield from _of_volumes(unit, units)
    if pod := unit.value("Pod"):
        yield from _referred(unit, pod, UnitType.POD, units)


def _of_volume(unit: Unit, units: Units) -> Iterator[ImageUse]:
    if unit.value("Driver") != "image":
        return
    if not unit.value("Image"):
        raise _refusal(unit, "Driver=image needs Image=")
    yield from _image_source(unit, unit.value("Image"), units)


def _of_kube(unit: Unit, units: Units) -> Iterator[ImageUse]:
    names = unit.file.strings("Kube", "Yaml")
    if not names:
        raise _refusal(unit, "there is no Yaml=")
    for name in names:
        if name.startswith("%") and not name.startswith("%%"):
            raise _refusal(unit, f"Yaml={name} begins with a specifier")
        path = unit.path.parent / name
        try:
            text = units.read(path)
        except DefinitionError as error:
            raise DefinitionError(
                f"{unit.sources[0]}: Yaml={name} cannot be read: {error.summary}",
                path=unit.sources[0],
            ) from error
        for image in images_in_yaml(text, source=str(path)):
            use = _use(unit, image)
            yield replace(use, sources=(*use.sources, str(path)))


def _of_pod(unit: Unit, units: Units) -> Iterator[ImageUse]:
    for option, value in argument_pairs(unit.file.arguments("Pod", "PodmanArgs")):
        if option == "--infra-image" and value:
            yield _use(unit, value)
    yield from _of_volumes(unit, units)


def _of_build(unit: Unit, units: Units) -> Iterator[ImageUse]:
    del units
    tags = unit.file.values("Build", "ImageTag")
    if not tags:
        raise _refusal(unit, "there is no ImageTag=")
    yield from (_use(unit, tag) for tag in tags)


def _of_network(unit: Unit, units: Units) -> Iterator[ImageUse]:
    del units
    raise _refusal(unit, "a network names no image")


_FINDERS = {
    UnitType.ARTIFACT: _of_artifact,
    UnitType.BUILD: _of_build,
    UnitType.CONTAINER: _of_container,
    UnitType.IMAGE: _of_image,
    UnitType.KUBE: _of_kube,
    UnitType.NETWORK: _of_network,
    UnitType.POD: _of_pod,
    UnitType.VOLUME: _of_volume,
}


def _image_source(unit: Unit, name: str, units: Units) -> Iterator[ImageUse]:
    """Follow ``Image=X.image`` and ``Image=X.build``; any other name stands for itself."""
    if name.endswith(".build"):
        # Of a build that sets several tags, the generator hands the first one on.
        yield next(_referred(unit, name, UnitType.BUILD, units))
    elif name.endswith(".image"):
        yield from _referred(unit, name, UnitType.IMAGE, units)
    else:
        yield _use(unit, name)


def _of_mount(unit: Unit, mount: str, units: Units) -> Iterator[ImageUse]:
    kind, source = _parse_mount(unit, mount)
    if kind not in ("image", "volume", "bind", "glob", "artifact"):
        return
    if not source:
        raise _refusal(unit, f"Mount={mount} has no source")
    if source.startswith((".", "/")):
        return
    if kind == "image" and source.endswith((".build", ".volume", ".artifact")):
        raise DefinitionError(
            f"{unit.sources[0]}: Mount={mount} cannot be bound.",
            details=f"podman takes {source} for the name of an image here, not for that unit.",
            hint="Name the image itself, or a .image unit.",
            path=unit.sources[0],
        )
    for suffix in (UnitType.VOLUME, UnitType.IMAGE, UnitType.ARTIFACT):
        if source.endswith(f".{suffix}"):
            yield from _referred(unit, source, suffix, units)
            return
    if kind in ("image", "artifact"):
        yield replace(_use(unit, source), artifact=kind == "artifact")


def _parse_mount(unit: Unit, mount: str) -> tuple[str, str]:
    """Return type and source of a ``--mount`` argument, a line of comma-separated values.

    Only the first ``type=`` counts, and only the last source.
    """
    try:
        rows = list(csv.reader([mount], strict=True))
    except csv.Error as error:
        raise _refusal(unit, f"Mount={mount} cannot be read: {error}") from error
    if len(rows) != 1:
        raise _refusal(unit, "Mount= is empty")
    kinds = [field[5:] for field in rows[0] if field.startswith("type=") and field.count("=") == 1]
    sources = [
        value
        for key, equals, value in (field.partition("=") for field in rows[0])
        if key in ("source", "src")
    ]
    return kinds[0] if kinds else "volume", sources[-1] if sources else ""


def _of_volumes(unit: Unit, units: Units) -> Iterator[ImageUse]:
    for volume in unit.file.values(unit.type.section, "Volume"):
        source, colon, _ = volume.partition(":")
        if colon and source.endswith(".volume") and not source.startswith((".", "/")):
            yield from _referred(unit, source, UnitType.VOLUME, units)


def _referred(unit: Unit, name: str, kind: UnitType, units: Units) -> Iterator[ImageUse]:
    found = units.find(name) if name.endswith(f".{kind}") else None
    if found is None:
        raise _refusal(unit, f"it refers to {name}, and there is no such unit")
    yield from (use.through(unit) for use in images_of(found, units))


def _use(unit: Unit, reference: str) -> ImageUse:
    return ImageUse(
        reference, PullOptions.from_unit(unit.file, unit.type.section), unit, unit.sources
    )


def _refusal(unit: Unit, why: str) -> DefinitionError:
    return DefinitionError(f"{unit.sources[0]}: {why}.", path=unit.sources[0])
