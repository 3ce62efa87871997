"""The images that a repository holds: what their merge commits, refs and detached metadata say.

Source: ostree-rs-ext, the metadata keys of merge commits and of the cached update.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from bootc_orch.model.digest import Digest
from bootc_orch.model.gvariant import Commit
from bootc_orch.model.image.layout import PlannedLayer, classify
from bootc_orch.model.image.manifest import ImageConfig, Manifest, image_timestamp
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import BLOB_PREFIX, IMAGE_PREFIX, blob_ref, image_ref, unescape
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import InvalidImageError, OrchError, StoreDamagedError, UsageError

logger = logging.getLogger(__name__)

MANIFEST_KEY = "ostree.manifest"
DIGEST_KEY = "ostree.manifest-digest"
CONFIG_KEY = "ostree.container.image-config"
IMPORTER_KEY = "ostree.importer.version"
CACHED_DIGEST_KEY = "ostree-ext.cached.manifest-digest"
CACHED_MANIFEST_KEY = "ostree-ext.cached.manifest"
CACHED_CONFIG_KEY = "ostree-ext.cached.config"
CACHED_KEYS = (CACHED_DIGEST_KEY, CACHED_MANIFEST_KEY, CACHED_CONFIG_KEY)


@dataclass(frozen=True, slots=True)
class CachedUpdate:
    """A newer version of an image that was seen at its source, but not fetched.

    Attributes:
        manifest_digest: The digest of its manifest.
        manifest: Its manifest.
        config: Its config.
    """

    manifest_digest: Digest
    manifest: Manifest
    config: ImageConfig


@dataclass(frozen=True, slots=True)
class ImageState:
    """One stored image, as its merge commit records it.

    Attributes:
        merge_commit: The commit with the flattened tree.
        base_commit: The commit of the lowest layer, or None if its ref is gone.
        manifest_digest: The digest of the manifest as its source has it.
        manifest: The manifest after skopeo's conversion.
        config: The config; an empty one for an image stored by a very old importer.
        importer: The program and version that stored it, or None.
        cached_update: What the last look at the source found, or None.
    """

    merge_commit: str
    base_commit: str | None
    manifest_digest: Digest
    manifest: Manifest
    config: ImageConfig
    importer: str | None
    cached_update: CachedUpdate | None

    @property
    def size(self) -> int:
        """Bytes to transfer for the whole image: the compressed size of its distinct layers."""
        return sum({layer.digest: layer.size for layer in self.manifest.layers}.values())

    @property
    def created(self) -> int | None:
        """When the image was made, in seconds since 1970, or None if it does not say so."""
        return created_at(self.manifest, self.config)

    @property
    def layers(self) -> tuple[PlannedLayer, ...] | None:
        """What each layer is, or None where the recorded config does not tell."""
        try:
            return classify(self.manifest, self.config)
        except OrchError:
            return None


@dataclass(frozen=True, slots=True)
class ImageListing:
    """All images of a repository.

    Attributes:
        images: Reference and state of each, in the order of their refs.
        damaged: The name of each ref that does not lead to an image, and why.
    """

    images: tuple[tuple[ImageReference, ImageState], ...]
    damaged: Mapping[str, str]

    def require_intact(self) -> None:
        """Refuse to go on where an image cannot be read.

        Raises:
            StoreDamagedError: there is such an image.
        """
        for ref, reason in self.damaged.items():
            raise StoreDamagedError(
                f"Image ref {ref} is damaged: {reason}",
                hint="Repair the repository, or remove that image, then try again.",
            )


def created_at(manifest: Manifest, config: ImageConfig) -> int | None:
    """Return when an image was made, or None if it says nothing that is a date."""
    try:
        return image_timestamp(manifest, config)
    except InvalidImageError:
        return None


def list_images(repo: Repo) -> ImageListing:
    """Read every stored image; a damaged one does not hide the others."""
    scan = repo.scan_refs(IMAGE_PREFIX)
    images = []
    damaged = dict(scan.damaged)
    for ref, commit in scan.commits.items():
        try:
            images.append((reference_of(ref), commit_state(repo, commit)))
        except OrchError as error:
            damaged[ref] = error.summary
    return ImageListing(tuple(images), damaged)


def image_state(repo: Repo, image: ImageReference) -> ImageState | None:
    """Read the state of *image*, or return None if it is not stored.

    Raises:
        StoreDamagedError: its ref or its merge commit cannot be read.
    """
    commit = repo.rev_parse(image_ref(image))
    if commit is None:
        return None
    try:
        return commit_state(repo, commit)
    except StoreDamagedError as error:
        error.locate(image=str(image))
        raise


def commit_state(repo: Repo, commit: str) -> ImageState:
    """Read the state of the image whose merge commit is *commit*, with or without a ref.

    Raises:
        StoreDamagedError: the commit is missing, damaged, or none of an image.
    """
    merge = repo.commit(commit)
    digest, manifest, config = _documents(merge, commit)
    base_ref = blob_ref(manifest.layers[0].digest) if manifest.layers else None
    return ImageState(
        merge_commit=commit,
        base_commit=repo.rev_parse(base_ref) if base_ref else None,
        manifest_digest=digest,
        manifest=manifest,
        config=config,
        importer=merge.text(IMPORTER_KEY),
        cached_update=_cached_update(repo, commit),
    )


def is_image_commit(commit: Commit) -> bool:
    """Say whether *commit* records a manifest, that is, was made of an image."""
    return commit.text(DIGEST_KEY) is not None


def manifest_of(commit: Commit, checksum: str) -> Manifest:
    """Read only the manifest that the merge commit *checksum* records.

    Raises:
        StoreDamagedError: there is none, or it cannot be read.
    """
    text = commit.text(MANIFEST_KEY)
    if text is None:
        raise StoreDamagedError(f"Commit {checksum} records no manifest; it is none of an image.")
    try:
        return Manifest.parse(text.encode(errors="surrogateescape"))
    except OrchError as error:
        raise _bad_record(checksum, error) from error


def reference_of(ref: str) -> ImageReference:
    """Return the reference that an image ref was made of.

    Raises:
        StoreDamagedError: the ref's name is not an escaped reference.
    """
    try:
        return ImageReference.parse(unescape(ref.removeprefix(f"{IMAGE_PREFIX}/")))
    except UsageError as error:
        raise StoreDamagedError(f"The name of ref {ref} is no image: {error.summary}") from error


def digest_of(ref: str) -> Digest:
    """Return the digest that a layer ref was made of.

    Raises:
        StoreDamagedError: the ref's name is not an escaped digest.
    """
    try:
        return Digest.parse(unescape(ref.removeprefix(f"{BLOB_PREFIX}/")))
    except InvalidImageError as error:
        raise StoreDamagedError(f"The name of ref {ref} is no digest: {error.summary}") from error


def refuse_collision(repo: Repo, image: ImageReference) -> None:
    """Make sure that *image* can have a ref beside the refs that exist.

    Refs are files, so an image cannot be stored under a name that is a directory of another's name,
    as ``q/a`` and ``q/a/b``.

    Raises:
        UsageError: the name is impossible, or collides with that of a stored image.
    """
    ref = image_ref(image)
    below = [other for other in repo.scan_refs(ref).commits if other != ref]
    parts = ref.split("/")
    above = ["/".join(parts[:end]) for end in range(IMAGE_PREFIX.count("/") + 2, len(parts))]
    for other in (*below, *above):
        if other in below or (repo.path / "refs/heads" / other).is_file():
            raise UsageError(
                f"{image} cannot be stored beside {reference_of(other)}: "
                "the name of one is a directory in the name of the other.",
                hint="Store it with a tag in its name, or remove the other image first.",
                image=str(image),
            )


def _documents(merge: Commit, checksum: str) -> tuple[Digest, Manifest, ImageConfig]:
    digest = merge.text(DIGEST_KEY)
    if digest is None:
        raise StoreDamagedError(f"Commit {checksum} is none of a container image.")
    manifest = manifest_of(merge, checksum)
    config = merge.text(CONFIG_KEY)
    try:
        return Digest.parse(digest), manifest, _parse_config(config)
    except OrchError as error:
        raise _bad_record(checksum, error) from error


def _parse_config(text: str | None) -> ImageConfig:
    """Read a recorded config; importers of old recorded none, or ``null``."""
    if text is None or text == "null":
        return ImageConfig.empty()
    return ImageConfig.parse(text.encode(errors="surrogateescape"))


def _cached_update(repo: Repo, commit: str) -> CachedUpdate | None:
    """Return the newer version that was noted; what cannot be read was not noted."""
    try:
        metadata = repo.detached_metadata(commit)
        texts = [value.as_string() if (value := metadata.get(key)) else None for key in CACHED_KEYS]
        digest, manifest, config = texts
        if digest is None or manifest is None or config is None:
            return None
        return CachedUpdate(
            Digest.parse(digest), Manifest.parse(manifest.encode()), _parse_config(config)
        )
    except (OrchError, UnicodeEncodeError) as error:
        logger.info("The update noted on commit %s cannot be read: %s", commit, error)
        return None


def _bad_record(checksum: str, error: OrchError) -> StoreDamagedError:
    return StoreDamagedError(
        f"What commit {checksum} records of its image cannot be read.", details=error.summary
    )
