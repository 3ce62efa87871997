"""What a pull is asked for, what it finds, and what it will do about each layer: data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bootc_orch import __version__
from bootc_orch.model.digest import Digest
from bootc_orch.model.image.difference import LayerDifference
from bootc_orch.model.image.layout import LayerKind, PlannedLayer
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.policy import AppliedPolicy
from bootc_orch.model.image.reference import ImageReference, OstreeImageReference
from bootc_orch.ops.opening.present import StoredLayer, find_stored_layers
from bootc_orch.ops.stored.progress import Progress, Transfer
from bootc_orch.ops.stored.store import ImageState
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.proxy.options import ProxyOptions
from orch_frame.errors import MismatchError
from orch_frame.transfer import TransferOptions

IMPORTER = f"bootc-orch/{__version__}"


class VarContent(StrEnum):
    """What becomes of the content of ``/var`` in derived layers."""

    AUTO = "auto"
    KEEP = "keep"
    FACTORY = "factory"


@dataclass(frozen=True, slots=True)
class PullOptions:
    """How an image is pulled.

    Attributes:
        transfer: How its layers are fetched; offline, only an image that is stored already will do.
        unprivileged: Whether skopeo runs as ``nobody``.
        policy: A signature policy instead of the system's.
        var_content: What becomes of ``/var``: kept, moved to ``/usr/share/factory/var``, or as the
            version of ostree demands.
        importer_version: What commits record as their importer.
        gc: Whether unused layers are removed in the end.
        require_bootable: Whether the image must say that it is a bootable system for this machine.
        allow_ima: Whether files of derived layers may bring IMA signatures.
        target: The reference under which the image is stored, if not the one it is pulled from.
        named: Whether the image gets its ref.  Without, the refs of its layers alone keep what was
            fetched, as after a pull that was cut off: until the next one, or until garbage is
            collected.
    """

    transfer: TransferOptions = field(default_factory=TransferOptions)
    unprivileged: bool = False
    policy: Path | None = None
    var_content: VarContent = VarContent.AUTO
    importer_version: str = IMPORTER
    gc: bool = True
    require_bootable: bool = False
    allow_ima: bool = False
    target: ImageReference | None = None
    named: bool = True

    @property
    def proxy(self) -> ProxyOptions:
        """How skopeo is started to reach the image."""
        return ProxyOptions.for_transfer(
            self.transfer, unprivileged=self.unprivileged, policy=self.policy
        )


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One pull.

    Attributes:
        repo: The repository that is to have the image.
        reference: The image and who vouches for it.
        options: How to pull.
        progress: Told of what happens.
    """

    repo: Repo
    reference: OstreeImageReference
    options: PullOptions
    progress: Progress

    @property
    def image(self) -> ImageReference:
        """Where the image is."""
        return self.reference.image

    @property
    def name(self) -> ImageReference:
        """The reference under which the image is stored."""
        return self.options.target or self.image


class LayerAction(StrEnum):
    """What a pull does about one layer."""

    PRESENT = "present"
    REUSE = "reuse"
    FETCH = "fetch"


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What a pull does about one layer.

    Attributes:
        layer: The layer.
        action: Nothing, as it is there; give it a second ref, as its content is there; or fetch it.
        commit: The commit that is there, None for a layer to fetch.
        known: Whether what is there is known from when it was read, and not only by what stored
            images say of it.
    """

    layer: PlannedLayer
    action: LayerAction
    commit: str | None = None
    known: bool = False


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """What the source says of an image.

    Attributes:
        digest: The digest of the original manifest.
        manifest: The manifest.
        config: The config.
        layers: What each layer is.
        stored: The version of it that is stored under the same name, or None.
        policy: The signature policy that was asked and let it in; None where none had to.
    """

    digest: Digest
    manifest: Manifest
    config: ImageConfig
    layers: tuple[PlannedLayer, ...]
    stored: ImageState | None = None
    policy: AppliedPolicy | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What the source says of an image that is stored just so.

    Attributes:
        stored: What is stored.
        policy: The signature policy that was asked just now and let it in, or None.
    """

    stored: ImageState
    policy: AppliedPolicy | None = None


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What a pull would do.

    Attributes:
        image: What the source says of the image.
        layers: What is done about each layer, no digest twice.
        previous: The manifest of the version that is stored under the same name, or None.
    """

    image: OpenedImage
    layers: tuple[LayerPlan, ...]
    previous: Manifest | None = None

    def chosen(self, action: LayerAction) -> tuple[LayerPlan, ...]:
        """Return the layers about which *action* is done."""
        return tuple(plan for plan in self.layers if plan.action is action)

    @property
    def base(self) -> LayerPlan | None:
        """The commit layer of an ostree image, None for an image without a base commit."""
        first = self.layers[0]
        return first if first.layer.kind is LayerKind.COMMIT else None

    @property
    def transfer(self) -> Transfer:
        """How much is there, and how much has to come."""
        fetched = [plan.layer.descriptor.size for plan in self.chosen(LayerAction.FETCH)]
        everything = [plan.layer.descriptor.size for plan in self.layers]
        return Transfer(
            manifest_digest=self.image.digest,
            present=len(everything) - len(fetched),
            present_bytes=sum(everything) - sum(fetched),
            needed=len(fetched),
            needed_bytes=sum(fetched),
            difference=self._difference(),
        )

    def _difference(self) -> LayerDifference | None:
        if self.previous is None:
            return None
        return LayerDifference.between(self.previous, self.image.manifest)


@dataclass(frozen=True, slots=True)
class PullResult:
    """What a pull brought.

    Attributes:
        commit: The merge commit.
        manifest_digest: The digest of the image's manifest.
        changed: Whether anything was pulled.
        plan: What was planned; None if the image was there already.
        warnings: What was survived, each a sentence.
    """

    commit: str
    manifest_digest: Digest
    changed: bool
    plan: PullPlan | None = None
    warnings: tuple[str, ...] = ()


def plan_layers(image: OpenedImage, stored: Mapping[Digest, StoredLayer]) -> tuple[LayerPlan, ...]:
    """Decide about each layer of *image*.

    Args:
        image: The image.
        stored: The layers that the repository has, by digest.

    Raises:
        MismatchError: the image claims another diff_id for a layer than it was found to have.
    """
    by_content = {
        layer.diff_id: layer for layer in reversed(list(stored.values())) if layer.computed
    }
    return tuple(
        _plan_layer(layer, stored.get(layer.descriptor.digest), by_content.get(layer.diff_id))
        for layer in image.layers
        if layer.repeats is None
    )


def _plan_layer(
    layer: PlannedLayer, present: StoredLayer | None, same: StoredLayer | None
) -> LayerPlan:
    """Decide about one layer.

    One and the same blob makes another commit as an ostree layer than as a derived one, and an
    image may call it either: only a commit of the wanted kind will do.

    Args:
        layer: The layer.
        present: What is stored under its digest.
        same: What is stored with its content, under any digest.
    """
    if present is not None and present.kind is layer.kind:
        if present.diff_id == layer.diff_id:
            return LayerPlan(layer, LayerAction.PRESENT, present.commit, known=present.computed)
        if present.computed:
            digest = layer.descriptor.digest
            raise MismatchError(
                f"The content of layer {digest} does not match its diff_id {layer.diff_id}.",
                details=f"it is {present.diff_id}, as was found when it was first pulled",
                layer=str(digest),
            )
    if same is not None and same.kind is layer.kind:
        return LayerPlan(layer, LayerAction.REUSE, same.commit)
    return LayerPlan(layer, LayerAction.FETCH)


def plan_image(repo: Repo, image: OpenedImage) -> PullPlan:
    """Compare *image* with what *repo* holds.

    Raises:
        MismatchError: the image claims another diff_id for a layer than it was found to have.
    """
    layers = plan_layers(image, find_stored_layers(repo, image.layers))
    return PullPlan(image, layers, image.stored.manifest if image.stored else None)
