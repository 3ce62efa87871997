"""Open an image: its manifest and config, once the rules about who vouches for it are met."""

from __future__ import annotations

import os
from dataclasses import replace

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import classify
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.policy import AppliedPolicy
from bootc_orch.model.image.reference import OstreeImageReference, SignatureKind
from bootc_orch.ops.opening.pull_plan import (
    OpenedImage,
    PullOptions,
    PullRequest,
    Unchanged,
)
from bootc_orch.ops.opening.source import Source, retrying
from bootc_orch.ops.opening.vouching import find_policy, may_be_used, require_vouched
from bootc_orch.ops.stored.store import ImageState, created_at, image_state
from bootc_orch.tools.proxy.client import require_policy_enforcement
from bootc_orch.tools.skopeo import policy_path
from orch_frame.errors import InvalidImageError, NotFoundError, OrchError, StoreDamagedError

BOOTABLE_LABELS = ("containers.bootc", "ostree.bootable")
_GO_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i686": "386",
    "armv7l": "arm",
    "loongarch64": "loong64",
}


def with_policy(options: PullOptions, reference: OstreeImageReference) -> PullOptions:
    """Return *options* with the signature policy named, where the policy vouches for the image.

    Not every skopeo looks for the policy in all the places where one may be; the one that is found
    fit here must be the one that is applied.

    Raises:
        PolicyError: there is none.
    """
    if reference.signature.kind is not SignatureKind.CONTAINER_POLICY or options.policy:
        return options
    return replace(options, policy=policy_path())


def open_image(request: PullRequest, source: Source) -> OpenedImage | Unchanged:
    """Ask what the image is, unless it is stored and the answer is known.

    It is for a digest, which needs no network, and where nothing may be fetched; but where a
    signature policy must vouch, only if it was asked about what is stored.

    Raises:
        NotFoundError: the image is not stored, and nothing may be fetched.
        PolicyError: the policy forbids it, or was not asked and cannot be.
        OrchError: it cannot be had, is no image, or nobody vouches for it.
    """
    policy = _find_policy(request, source)
    state = _read_stored(request)
    pinned, offline = request.image.digest, request.options.transfer.offline
    if state is not None and (pinned == state.manifest_digest or (offline and not pinned)):
        if may_be_used(request.repo, request.reference, state.manifest_digest, policy):
            return Unchanged(state)
        if offline:
            require_vouched(request.repo, request.reference, state.manifest_digest, policy)
    if offline:
        raise NotFoundError(
            f"{request.image} is not stored, and fetching is switched off.",
            image=str(request.image),
        )
    found = replace(_ask_source(request, source, state), policy=policy)
    if isinstance(found, OpenedImage) and state is not None and _is_older(found, state):
        request.progress.warning(f"{request.image} is older than the version of it that is stored.")
    return found


def _read_stored(request: PullRequest) -> ImageState | None:
    """Return what is stored under the name that the image is to have."""
    try:
        return image_state(request.repo, request.name)
    except StoreDamagedError as error:
        request.progress.warning(f"{error.summary} It is pulled anew.")
        return None


def _ask_source(
    request: PullRequest, source: Source, state: ImageState | None
) -> OpenedImage | Unchanged:
    """Ask the source, again after failures that may pass."""
    options = request.options
    retry = retrying(
        options.transfer.retries,
        options.transfer.retry_delay,
        request.progress.warning,
        what=str(request.image),
    )
    try:
        return retry(_ask_once, request, source, state)
    except OrchError as error:
        raise error.locate(image=str(request.image)) from error


def _ask_once(
    request: PullRequest, source: Source, state: ImageState | None
) -> OpenedImage | Unchanged:
    try:
        digest, data = source.manifest()
        if state is not None and state.manifest_digest == digest:
            return Unchanged(state)
        manifest = Manifest.parse(data)
        if state is not None and state.manifest.config.digest == manifest.config.digest:
            return Unchanged(state)
        config = ImageConfig.parse(source.config(manifest.config))
        if Digest.of(data) == digest and (raw := source.config_as_stored(manifest.config)):
            ImageConfig.check_keys(raw)
        if request.options.require_bootable:
            require_bootable(config)
        return OpenedImage(digest, manifest, config, classify(manifest, config), state)
    except OrchError:
        source.reset()
        raise


def _find_policy(request: PullRequest, source: Source) -> AppliedPolicy | None:
    """Return what the signature policy demands, where it must vouch and will be asked."""
    signed = request.reference.signature.kind is SignatureKind.CONTAINER_POLICY
    if signed and not request.options.transfer.offline:
        require_policy_enforcement(source.proxy.version)
    return find_policy(request.reference, request.options.policy)


def _is_older(image: OpenedImage, state: ImageState) -> bool:
    """Say whether an image was made before the stored one: an old version may hold old faults."""
    stored, found = state.created, created_at(image.manifest, image.config)
    return stored is not None and found is not None and found < stored


def go_architecture() -> str:
    """Return this machine's processor as images name it."""
    machine = os.uname().machine
    return _GO_ARCHITECTURES.get(machine, machine)


def require_bootable(config: ImageConfig) -> None:
    """Refuse an image that does not claim to be a system, or is one for another processor.

    Raises:
        InvalidImageError: it is.
    """
    if not any(label in config.labels for label in BOOTABLE_LABELS):
        raise InvalidImageError(
            "The image has no label that says that it is a bootable system.",
            hint=f"Set the label {BOOTABLE_LABELS[0]}=1 when the image is built.",
        )
    if config.architecture != (here := go_architecture()):
        raise InvalidImageError(
            f"The image is for {config.architecture}, and this machine is {here}."
        )
