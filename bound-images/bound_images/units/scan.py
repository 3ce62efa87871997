"""From a root to the list of images that it is bound to."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from bound_images.errors import DefinitionError
from bound_images.reference import (
    DOCKER,
    ImageName,
    ShortNames,
    check_safe,
    printable,
    transport_of,
)
from bound_images.rootfs import Root
from bound_images.units.library import SUFFIXES, Library
from bound_images.units.options import PullOptions
from bound_images.units.quadlet import ImageUse, Unit, UnitType, images_of
from bound_images.units.registries import read as read_registries
from bound_images.units.specifiers import Context, System
from bound_images.units.system import system_of
from orch_frame.errors import OrchError

logger = logging.getLogger(__name__)

# What is said of an artifact, and what to do about it.
ARTIFACT = "an OCI artifact, and no additional store can hold those."
ARTIFACT_REMEDY = "Take the unit out of the bound directory."
BOUND_DIRECTORY = PurePosixPath("/usr/lib/bootc/bound-images.d")
# Where a bound file may lie; an update replaces these two, and nothing else.
ALLOWED_TOPS = ("usr", "etc")


@dataclass(frozen=True, slots=True)
class BoundImage:
    """One image that a root is bound to.

    Attributes:
        name: The unit file that binds it; of several the first.
        type: That unit's type.
        reference: What podman is given to pull.
        canonical: The name under which podman stores it; None where only the pull can tell,
            because the reference names an archive and there is no ``ImageTag=``.
        options: How to pull it.
        sources: Every file of the root that had a say, drop-ins included.
        artifact: Whether it is an OCI artifact and no image.
    """

    name: str
    type: UnitType
    reference: str
    canonical: str | None
    options: PullOptions
    sources: tuple[str, ...]
    artifact: bool = False

    @property
    def key(self) -> str:
        """What tells images apart: the canonical name, else the reference."""
        return self.canonical or self.reference


@dataclass(frozen=True, slots=True)
class Scan:
    """What a root is bound to, and what stands in its way.

    Attributes:
        images: The images, each once, in the order of the bound directory.
        errors: One error for each entry that could not be read.
    """

    images: tuple[BoundImage, ...]
    errors: tuple[OrchError, ...]


def scan(root: Root) -> Scan:
    """Read the bound directory of *root*; a root without one is bound to nothing.

    Raises:
        OrchError: what concerns no single entry, such as the registry configuration.
    """
    reader = EntryReader(root)
    images: list[BoundImage] = []
    errors: list[OrchError] = []
    for name in root.names(BOUND_DIRECTORY):
        if name.startswith("."):
            logger.info("%s is hidden, and skipped.", BOUND_DIRECTORY / name)
            continue
        try:
            images.extend(reader.images_of_entry(name))
        except OrchError as error:
            errors.append(error.locate(path=str(BOUND_DIRECTORY / name)))
    merged, conflicts = merge(images)
    return Scan(merged, (*errors, *conflicts))


def merge(
    images: Iterable[BoundImage],
) -> tuple[tuple[BoundImage, ...], tuple[OrchError, ...]]:
    """Join what names the same image; return the images and the contradictions among them.

    Where one unit says how to pull the image and another does not, the one that says it counts.
    """
    found: dict[str, BoundImage] = {}
    conflicts: list[OrchError] = []
    for image in images:
        known = found.get(image.key)
        if known is None:
            found[image.key] = image
        elif not known.options.selects_same_content_as(image.options):
            conflicts.append(_conflict(known, image))
        else:
            found[image.key] = _join(known, image)
    return tuple(found.values()), tuple(conflicts)


class EntryReader:
    """Turns entries of the bound directory of one root into records.

    Args:
        root: The root.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._system: System = system_of(root)
        self._short_names: ShortNames = read_registries(root).qualify
        self._library = Library(root)

    def images_of_entry(self, name: str) -> list[BoundImage]:
        """Return the images that the link *name* binds.

        Raises:
            OrchError: the link, or a file that it leads to, cannot be read.
        """
        unit, library = self.unit_of_entry(name)
        return [self._record(unit, use) for use in images_of(unit, library)]

    def unit_of_entry(self, name: str) -> tuple[Unit, Library]:
        """Return the unit that the link *name* binds, and where its relations are looked up.

        Raises:
            OrchError: as `images_of_entry`.
        """
        entry = BOUND_DIRECTORY / name
        self._check_name(name)
        target = self._root.resolve(entry)
        if len(target.chain) == 1:
            raise DefinitionError(
                f"{entry} is no symbolic link.",
                hint="Put the file among the quadlets, and a link to it here.",
                path=str(entry),
            )
        if not target.exists:
            raise DefinitionError(
                f"{entry} leads to {target.path}, which does not exist.", path=str(entry)
            )
        if target.path.parts[1] not in ALLOWED_TOPS:
            raise DefinitionError(
                f"{entry} leads to {target.path}, outside /usr and /etc.", path=str(entry)
            )
        path = self._unit_path(target.chain)
        library = self._library
        if path.parent not in library.directories:
            library = Library(self._root, extra=(path.parent,))
        return library.load(_unit_name(name, path.name), path), library

    def _unit_path(self, chain: tuple[PurePosixPath, ...]) -> PurePosixPath:
        """Choose, of all names of the file, the one under which the generator finds it."""
        names = [self._root.resolve(path.parent).path / path.name for path in chain[1:]]
        known = [path for path in names if path.parent in self._library.directories]
        return known[0] if known else names[0]

    def _check_name(self, name: str) -> None:
        entry = printable(str(BOUND_DIRECTORY / name))
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DefinitionError(f"The name of {entry} is not UTF-8.") from error
        if PurePosixPath(name).suffix not in SUFFIXES:
            raise DefinitionError(
                f"{entry} is named after no type of quadlet.",
                hint=f"The name must end in one of {', '.join(sorted(SUFFIXES))}.",
            )

    def _record(self, bound: Unit, use: ImageUse) -> BoundImage:
        context = Context(use.unit.service, _environment(use.unit), self._system, use.sources[0])
        try:
            reference = check_safe(context.expand(use.reference))
            options = use.options.expanded(context.expand).settled()
            canonical = self._canonical(reference, options)
            # A policy or a number that nobody understands is refused here, where its file is known.
            _ = options.wanted_policy, options.retries, options.retry_seconds
        except DefinitionError as error:
            if not error.summary.startswith(use.sources[0]):
                raise DefinitionError(
                    f"{use.sources[0]}: {error.summary}",
                    hint=error.hint,
                    image=error.image,
                    path=use.sources[0],
                ) from error
            raise
        return BoundImage(
            bound.name, bound.type, reference, canonical, options, use.sources, use.artifact
        )

    def _canonical(self, reference: str, options: PullOptions) -> str | None:
        if transport_of(reference) == DOCKER:
            name = ImageName.parse(reference, short_names=self._short_names)
            return name.canonical
        if options.image_tag:
            return ImageName.parse(options.image_tag, short_names=self._short_names).canonical
        return None


def _unit_name(link: str, target: str) -> str:
    """Return the unit's name: the target's, but the link's where only that names an instance."""
    stem, _, suffix = target.rpartition(".")
    link_stem, _, link_suffix = link.rpartition(".")
    if suffix != link_suffix:
        return link
    is_instance = stem.endswith("@") and link_stem.startswith(stem) and link_stem != stem
    return link if is_instance else target


def _environment(unit: Unit) -> dict[str, str]:
    """Return the variables that ``[Service]`` sets; with an ``EnvironmentFile=`` none is sure."""
    if unit.file.values("Service", "EnvironmentFile"):
        return {}
    words = unit.file.arguments("Service", "Environment")
    return dict(word.partition("=")[::2] for word in words if "=" in word)


def _join(first: BoundImage, second: BoundImage) -> BoundImage:
    sources = tuple(dict.fromkeys((*first.sources, *second.sources)))
    speaks = first if len(first.options.as_keys()) >= len(second.options.as_keys()) else second
    return replace(first, reference=speaks.reference, options=speaks.options, sources=sources)


def _conflict(first: BoundImage, second: BoundImage) -> DefinitionError:
    return DefinitionError(
        f"{first.sources[0]} and {second.sources[0]} want {first.key} for different platforms.",
        hint="One name in the store can stand for one platform only; use two tags.",
        image=first.key,
        path=second.sources[0],
    )
