"""Find out what a name stands for now, without pulling it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from bound_images.programs import Arg, Execution, Runner
from bound_images.reference import DOCKER, ImageName, transport_of
from bound_images.settings import SyncOptions
from bound_images.sources.access import Access, AccessBroker
from bound_images.sources.manifest import (
    Blob,
    Index,
    Manifest,
    digest_of,
    parse_config,
    parse_manifest,
)
from bound_images.sources.pullargs import Platform
from bound_images.sources.retrying import with_retries
from bound_images.sources.source import RegistrySource, Source
from bound_images.units.options import Policy
from bound_images.units.scan import BoundImage
from orch_frame.errors import InvalidImageError, MismatchError, NotFoundError, OrchError, ToolError

INSPECT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """A bound image and what its name stands for.

    Attributes:
        image: The bound image.
        place: Where it is, ``transport:…``; in a registry pinned to *digest*.
        access: How to reach that place.
        digest: ``sha256:…`` of the manifest or index.
        image_id: The id that the image will have in the store.
        layers: Digest and compressed size of each layer; empty where only the pull can tell.
        diff_ids: Digest of each layer unpacked.
        created: When it was built, as its configuration says.
        documents: The bytes of the index or manifest, of the manifest for this platform, and of
            the configuration, as the source has them; empty where they were not all fetched.
        current: Whether the canonical name stood for the image when its source was asked.
    """

    image: BoundImage
    place: str
    access: Access
    digest: str
    image_id: str = ""
    layers: tuple[Blob, ...] = ()
    diff_ids: tuple[str, ...] = ()
    created: str = ""
    documents: tuple[bytes, ...] = ()
    current: bool = False

    @property
    def canonical(self) -> str:
        """The name under which the store has the image."""
        return self.image.key


class Resolver:
    """Asks registries and other sources by means of skopeo.

    Args:
        runner: Starts skopeo.
        broker: Knows how to reach each image.
        source: Where the images are.
        options: How often to try again where the definition does not say.
    """

    def __init__(
        self,
        runner: Runner,
        broker: AccessBroker,
        source: Source,
        options: SyncOptions,
    ) -> None:
        self._runner = runner
        self._broker = broker
        self._source = source
        self._options = options

    def expand(self, image: BoundImage) -> tuple[BoundImage, ...]:
        """Return one image for each tag where ``AllTags=`` asks for it, else *image* alone.

        Raises:
            OrchError: the tags cannot be listed.
        """
        if not image.options.all_tags or transport_of(image.reference) != DOCKER:
            return (image,)
        name = ImageName.parse(str(image.canonical))
        tags = self._source.tags(name.repository)
        names = (f"{name.repository}:{tag}" for tag in tags or self._registry_tags(name, image))
        return tuple(replace(image, reference=tagged, canonical=tagged) for tagged in names)

    def _registry_tags(self, name: ImageName, image: BoundImage) -> list[str]:
        access = self._broker.access(image.reference, image.options)
        text = self._skopeo(["list-tags", *access.arguments, f"docker://{name.repository}"], image)
        try:
            return sorted(map(str, json.loads(text)["Tags"] or ()))
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidImageError(f"The tags of {name.repository} cannot be read.") from error

    def resolve(
        self,
        image: BoundImage,
        *,
        digest: str | None = None,
        stored: Collection[str] | None = None,
    ) -> ResolvedImage:
        """Return what *image* stands for now.

        Args:
            image: The bound image.
            digest: The digest that it must have, where a lock file pins it.
            stored: The ids of all images in the store that it is for.  Where they leave nothing
                to compare, the configuration is not fetched; None to fetch it always.

        Raises:
            OrchError: it cannot be found out; the class says why.
        """
        try:
            return self._resolve(image, digest, stored)
        except OrchError as error:
            error.locate(image=image.reference, path=image.sources[0])
            raise

    def in_store(self, image: BoundImage, image_id: str, digest: str) -> ResolvedImage:
        """Return *image* as the store has it, without asking anybody.

        Should it turn out to be damaged, it is fetched from its source: a registry by *digest*.
        """
        place = _pin(f"{DOCKER}://{image.canonical}", digest)
        if not isinstance(self._source, RegistrySource):
            with suppress(NotFoundError, ToolError):
                place = self._source.locate(image.canonical, image.reference)
        return ResolvedImage(
            image=image,
            place=place,
            access=self._broker.access(image.reference, image.options),
            digest=digest,
            image_id=image_id,
        )

    def _resolve(
        self, image: BoundImage, digest: str | None, stored: Collection[str] | None
    ) -> ResolvedImage:
        access = self._broker.access(image.reference, image.options)
        place = self._source.locate(image.canonical, image.reference)
        if digest is not None:
            place = _pin(place, digest)
        top = self._inspect(place, access, image)
        found = digest_of(top)
        if digest not in (None, found):
            raise MismatchError(
                f"{image.reference} is no longer what the lock file says.",
                details=f"recorded: {digest}\nfound:    {found}",
            )
        resolved = ResolvedImage(
            image=image,
            place=_pin(place, found),
            access=access,
            digest=found,
            current=digest is None,
        )
        document = parse_manifest(top, what=image.reference)
        if isinstance(document, Manifest) and _needs_no_config(image, document, stored):
            return replace(resolved, image_id=document.config.hex, layers=document.layers)
        config_data = self._inspect(resolved.place, access, image, config=True)
        config = parse_config(config_data, what=image.reference)
        manifest, data = self._manifest(document, top, resolved, config.image_id)
        return replace(
            resolved,
            image_id=config.image_id,
            layers=manifest.layers if manifest else (),
            diff_ids=config.diff_ids,
            created=config.created,
            documents=(top, data, config_data),
        )

    def _manifest(
        self, document: Manifest | Index, top: bytes, resolved: ResolvedImage, image_id: str
    ) -> tuple[Manifest | None, bytes]:
        """Return the manifest whose configuration has *image_id*, parsed and as it is."""
        if isinstance(document, Manifest):
            return document, top
        image = resolved.image
        if not resolved.place.startswith(f"{DOCKER}://"):
            return None, b""
        for candidate in _candidates(document, Platform.of(image.options)):
            place = _pin(resolved.place, candidate.digest)
            data = self._inspect(place, resolved.access, image)
            manifest = parse_manifest(data, what=image.reference)
            if isinstance(manifest, Manifest) and manifest.config.hex == image_id:
                return manifest, data
        return None, b""

    def _inspect(
        self, place: str, access: Access, image: BoundImage, *, config: bool = False
    ) -> bytes:
        platform = Platform.of(image.options).skopeo_arguments if config else []
        kind = ["--config"] if config else []
        arguments = ["inspect", "--raw", *kind, *access.arguments, place]
        return self._skopeo([*platform, *arguments], image).encode(errors="surrogateescape")

    def _skopeo(self, arguments: list[Arg], image: BoundImage) -> str:
        def once() -> str:
            what = f"Asking what {image.reference} is"
            _, text = self._runner.run(
                "skopeo",
                arguments,
                what=what,
                image=image.reference,
                execution=Execution(stall=self._options.stall_seconds),
                timeout=INSPECT_SECONDS,
            )
            return text

        return with_retries(once, image.options, self._options.transfer, sleep=self._runner.sleep)


def _needs_no_config(image: BoundImage, manifest: Manifest, stored: Collection[str] | None) -> bool:
    """Say whether the manifest tells all that a plan needs; it names the id of the image."""
    if stored is None or image.options.wanted_policy is Policy.NEWER:
        return False
    return not stored or manifest.config.hex in stored


def _pin(place: str, digest: str) -> str:
    """Return *place* with the digest in place of a tag; only registries can be asked that way."""
    if not place.startswith(f"{DOCKER}://"):
        return place
    name = ImageName.parse(place)
    return f"docker://{name.at(digest)}"


def _candidates(index: Index, platform: Platform) -> Iterable[Blob]:
    """Return the entries of *index* in the order in which they are likely to be wanted."""
    wanted = (platform.arch, platform.os or "linux", platform.variant)

    def distance(blob: Blob) -> int:
        pairs = zip(wanted, blob.platform, strict=True)
        return sum(1 for want, have in pairs if want and want != have)

    return sorted(index.manifests, key=distance)
