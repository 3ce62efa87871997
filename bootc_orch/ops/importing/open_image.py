"""Open an image: its manifest and config, once the rules about who vouches for it are met."""

from __future__ import annotations

import os
from dataclasses import replace

from bootc_orch.model.image.layout import classify
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.policy import check_policy
from bootc_orch.model.image.reference import OstreeImageReference, SignatureKind
from bootc_orch.ops.importing.pull_plan import OpenedImage, PullOptions
from bootc_orch.ops.importing.source import Source, retrying
from bootc_orch.ops.stored.progress import Progress
from bootc_orch.ops.stored.store import ImageState
from bootc_orch.tools.proxy.client import require_policy_enforcement
from bootc_orch.tools.skopeo import policy_path
from orch_frame.errors import InvalidImageError, OrchError

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
    if reference.signature.kind is not SignatureKind.CONTAINER_POLICY or options.proxy.policy:
        return options
    return replace(options, proxy=replace(options.proxy, policy=policy_path()))


def open_image(
    source: Source,
    reference: OstreeImageReference,
    state: ImageState | None,
    options: PullOptions,
    progress: Progress,
) -> OpenedImage | None:
    """Ask the source what the image is; None if it is the one that is stored.

    Args:
        source: Where the image is.
        reference: The image and who vouches for it.
        state: What is stored of it.
        options: How to pull.
        progress: Told of failures that are tried again.

    Raises:
        OrchError: it cannot be had, is no image, or nobody vouches for it.
    """

    def attempt() -> OpenedImage | None:
        try:
            return _opened(source, reference, state, options)
        except OrchError:
            source.reset()
            raise

    retry = retrying(
        options.retries, options.retry_delay, progress.warning, what=str(reference.image)
    )
    try:
        return retry(attempt)
    except OrchError as error:
        raise error.locate(image=str(reference.image)) from error


def _opened(
    source: Source,
    reference: OstreeImageReference,
    state: ImageState | None,
    options: PullOptions,
) -> OpenedImage | None:
    if reference.signature.kind is SignatureKind.CONTAINER_POLICY:
        policy = options.proxy.policy or policy_path()
        require_policy_enforcement(source.proxy.version)
        check_policy(policy.read_bytes(), source=str(policy))
    digest, data = source.manifest()
    if state is not None and state.manifest_digest == digest:
        return None
    manifest = Manifest.parse(data)
    if state is not None and state.manifest.config.digest == manifest.config.digest:
        return None
    config = ImageConfig.parse(source.config(manifest.config))
    if options.require_bootable:
        require_bootable(config)
    return OpenedImage(digest, manifest, config, classify(manifest, config))


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
