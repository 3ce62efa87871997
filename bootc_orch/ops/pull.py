"""Pull an OS image into an ostree repository.

The six steps of a pull are the six calls in `_pull_opened` and around it: open, fetch with import
into commits, merge, and publish; nothing has a ref before it was verified, and the image's ref is
the last thing that is written.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from bootc_orch import __version__
from bootc_orch.errors import (
    InvalidImageError,
    LockedError,
    MismatchError,
    NotFoundError,
    OrchError,
    StoreDamagedError,
)
from bootc_orch.model.difference import LayerDifference
from bootc_orch.model.digest import Digest
from bootc_orch.model.gvariant import Commit
from bootc_orch.model.layout import LayerKind, PlannedLayer, classify
from bootc_orch.model.manifest import ImageConfig, Manifest, image_timestamp
from bootc_orch.model.policy import check_policy
from bootc_orch.model.reference import (
    ImageReference,
    OstreeImageReference,
    SignatureKind,
    Transport,
)
from bootc_orch.model.refs import IMAGE_PREFIX, blob_ref, image_ref
from bootc_orch.ops.fetch import FetchOptions, fetch_layers, require_space
from bootc_orch.ops.layer import BaseTree, ImportedLayer
from bootc_orch.ops.lock import DEFAULT_TIMEOUT, locked
from bootc_orch.ops.merge import LayerTree, Merged, merge, merge_commit
from bootc_orch.ops.progress import Progress, Step, Transfer
from bootc_orch.ops.publish import LayersVanishedError, Publication, publish
from bootc_orch.ops.recover import recover
from bootc_orch.ops.signature import commit_verifier
from bootc_orch.ops.source import Source, retrying
from bootc_orch.ops.staging import Staging, object_mode, open_staging
from bootc_orch.ops.store import (
    CONFIG_KEY,
    DIGEST_KEY,
    IMPORTER_KEY,
    MANIFEST_KEY,
    CachedUpdate,
    ImageState,
    image_state,
    record_verified,
    refuse_collision,
    verified_layers,
    write_cached_update,
)
from bootc_orch.stream.derived import LayerReport, summarize_filtered
from bootc_orch.stream.trees import Directory, Trees
from bootc_orch.tools.ostree import Repo, ostree_version
from bootc_orch.tools.proxy import require_policy_enforcement
from bootc_orch.tools.proxy_options import ProxyOptions
from bootc_orch.tools.skopeo import policy_path

logger = logging.getLogger(__name__)

IMPORTER = f"bootc-orch/{__version__}"
BOOTABLE_LABELS = ("containers.bootc", "ostree.bootable")
# From this version on ostree fills a deployment's empty /var from the commit's.
KEEP_VAR_FROM = (2024, 3)
SHOWN_DIRECTORIES = 5
_GO_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i686": "386",
    "armv7l": "arm",
    "loongarch64": "loong64",
}


class VarContent(StrEnum):
    """What becomes of the content of ``/var`` in derived layers."""

    AUTO = "auto"
    KEEP = "keep"
    FACTORY = "factory"


@dataclass(frozen=True, slots=True)
class PullOptions:
    """How an image is pulled.

    Attributes:
        proxy: How to reach it.
        jobs: How many layers are fetched at a time; None to choose.
        retries: How often a failure that may pass is tried again.
        retry_delay: Seconds before the first retry.
        var_content: What becomes of ``/var``: kept, moved to ``/usr/share/factory/var``, or as the
            version of ostree demands.
        importer_version: What commits record as their importer.
        gc: Whether unused layers are removed in the end.
        offline: Whether only an image that is stored already will do.
        require_bootable: Whether the image must say that it is a bootable system for this machine.
        allow_ima: Whether files of derived layers may bring IMA signatures.
        target: The reference under which the image is stored, if not the one it is pulled from.
        lock_timeout: Seconds to wait for other processes that use the repository.
    """

    proxy: ProxyOptions
    jobs: int | None = None
    retries: int = 3
    retry_delay: float = 1.0
    var_content: VarContent = VarContent.AUTO
    importer_version: str = IMPORTER
    gc: bool = True
    offline: bool = False
    require_bootable: bool = False
    allow_ima: bool = False
    target: ImageReference | None = None
    lock_timeout: float = DEFAULT_TIMEOUT


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
    """

    layer: PlannedLayer
    action: LayerAction
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """What the source says of an image.

    Attributes:
        digest: The digest of the original manifest.
        manifest: The manifest.
        config: The config.
        layers: What each layer is.
    """

    digest: Digest
    manifest: Manifest
    config: ImageConfig
    layers: tuple[PlannedLayer, ...]


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What a pull would do.

    Attributes:
        image: What the source says of the image.
        layers: What is done about each layer, no digest twice.
        verified: Diff_ids that were computed when layers of the repository were pulled, by digest.
        previous: The manifest of the version that is stored under the same name, or None.
    """

    image: OpenedImage
    layers: tuple[LayerPlan, ...]
    verified: Mapping[Digest, Digest] = field(default_factory=dict)
    previous: Manifest | None = None

    def chosen(self, action: LayerAction) -> tuple[LayerPlan, ...]:
        """Return the layers about which *action* is done."""
        return tuple(plan for plan in self.layers if plan.action is action)

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


def plan_layers(
    image: OpenedImage, stored: Mapping[Digest, str], verified: Mapping[Digest, Digest]
) -> tuple[LayerPlan, ...]:
    """Decide about each layer of *image*.

    Args:
        image: The image.
        stored: The commits of the layers that the repository has, by digest.
        verified: The diff_ids of stored layers, where they were computed.

    Raises:
        MismatchError: the image claims another diff_id for a layer than it was found to have.
    """
    by_content = {diff_id: digest for digest, diff_id in reversed(list(verified.items()))}
    plans = []
    for layer in image.layers:
        if layer.repeats is None:
            plans.append(_plan_layer(layer, stored, verified, by_content))
    return tuple(plans)


def _plan_layer(
    layer: PlannedLayer,
    stored: Mapping[Digest, str],
    verified: Mapping[Digest, Digest],
    by_content: Mapping[Digest, Digest],
) -> LayerPlan:
    digest = layer.descriptor.digest
    if digest in stored:
        found = verified.get(digest, layer.diff_id)
        if found != layer.diff_id:
            raise MismatchError(
                f"The content of layer {digest} does not match its diff_id {layer.diff_id}.",
                details=f"it is {found}, as was found when it was first pulled",
                layer=str(digest),
            )
        return LayerPlan(layer, LayerAction.PRESENT, stored[digest])
    same = by_content.get(layer.diff_id)
    if same is not None and same in stored:
        return LayerPlan(layer, LayerAction.REUSE, stored[same])
    return LayerPlan(layer, LayerAction.FETCH)


def pull(
    path: Path, reference: OstreeImageReference, options: PullOptions, progress: Progress
) -> PullResult:
    """Pull an image into the repository at *path*.

    Args:
        path: The repository; ``bare``, ``bare-user`` or ``archive``.
        reference: The image and who vouches for it.
        options: How to pull.
        progress: Told of what happens; warnings go there as well as into the result.

    Raises:
        OrchError: the image could not be had; no ref names anything that is not whole and verified.
    """
    repo = Repo(path)
    object_mode(repo)
    with locked(repo.path, exclusive=False, timeout=options.lock_timeout):
        recover(repo)
        try:
            result = _pull(repo, reference, options, progress)
        except LayersVanishedError as error:
            progress.warning(f"{error.summary} Pulling again.")
            result = _pull(repo, reference, options, progress)
    if options.gc and result.changed:
        progress.step(Step.CLEANUP)
        _collect(repo)
    return result


def plan_pull(
    path: Path, reference: OstreeImageReference, options: PullOptions, progress: Progress
) -> PullPlan | None:
    """Say what `pull` would do, and change nothing; None if the image is there already.

    Raises:
        OrchError: the image cannot be opened, or is not one.
    """
    repo = Repo(path)
    object_mode(repo)
    with locked(repo.path, exclusive=False, timeout=options.lock_timeout):
        state = _stored(repo, reference.image, progress)
        if state is not None and _is_pinned_to(reference.image, state.manifest_digest):
            return None
        with Source(reference.image, options.proxy) as source:
            image = _open(source, reference, state, options, progress)
            previous = state.manifest if state else None
            return None if image is None else _plan(repo, image, previous)


def _pull(
    repo: Repo, reference: OstreeImageReference, options: PullOptions, progress: Progress
) -> PullResult:
    progress.step(Step.OPENING)
    state = _stored(repo, reference.image, progress)
    if state is not None and _is_pinned_to(reference.image, state.manifest_digest):
        return PullResult(state.merge_commit, state.manifest_digest, changed=False)
    if options.offline:
        raise NotFoundError(f"{reference.image} is not stored, and fetching is switched off.")
    refuse_collision(repo, options.target or reference.image)
    with Source(reference.image, options.proxy) as source:
        image = _open(source, reference, state, options, progress)
        if image is None and state is not None:
            return PullResult(state.merge_commit, state.manifest_digest, changed=False)
        if image is None:
            raise AssertionError("an image that is not stored cannot be unchanged")
        if state is not None:
            update = CachedUpdate(image.digest, image.manifest, image.config)
            write_cached_update(repo, state.merge_commit, update)
        try:
            with open_staging(repo) as staging:
                previous = state.manifest if state else None
                job = _Job(repo, reference, options, progress, image, staging, previous)
                return job.run(source)
        except OrchError as error:
            raise error.locate(image=str(reference.image)) from error


def _stored(repo: Repo, image: ImageReference, progress: Progress) -> ImageState | None:
    try:
        return image_state(repo, image)
    except StoreDamagedError as error:
        progress.warning(f"{error.summary} It is pulled anew.")
        return None


def _is_pinned_to(image: ImageReference, digest: Digest) -> bool:
    return image.digest is not None and image.digest == digest


def _open(
    source: Source,
    reference: OstreeImageReference,
    state: ImageState | None,
    options: PullOptions,
    progress: Progress,
) -> OpenedImage | None:
    """Ask the source what the image is; None if it is the one that is stored."""

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
    config = ImageConfig.parse(source.config())
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


def _plan(repo: Repo, image: OpenedImage, previous: Manifest | None) -> PullPlan:
    merges = repo.scan_refs(IMAGE_PREFIX).commits.values()
    verified = verified_layers(repo, merges)
    stored = {}
    for digest in {layer.descriptor.digest for layer in image.layers} | verified.keys():
        commit = repo.rev_parse(blob_ref(digest))
        if commit is not None and repo.has_commit(commit) and not repo.is_partial(commit):
            stored[digest] = commit
    return PullPlan(image, plan_layers(image, stored, verified), verified, previous)


def _collect(repo: Repo) -> None:
    """Remove refs of layers that no image needs; their objects go when garbage is collected.

    Where other processes use the repository, the last of them does it.
    """
    from bootc_orch.ops.prune import delete_layers, unused_layers

    try:
        with locked(repo.path, exclusive=True, timeout=0):
            delete_layers(repo, unused_layers(repo))
    except LockedError:
        logger.info("Other processes use the repository; unused layers are removed later.")


@dataclass(slots=True)
class _Job:
    """The pull of one opened image."""

    repo: Repo
    reference: OstreeImageReference
    options: PullOptions
    progress: Progress
    image: OpenedImage
    staging: Staging
    previous: Manifest | None

    def run(self, source: Source) -> PullResult:
        plan = _plan(self.repo, self.image, self.previous)
        transfer = plan.transfer
        self.progress.planned(transfer)
        require_space(self.repo.path, transfer.needed_bytes)
        imported = self._fetch(plan, source)
        source.reset()
        self.progress.step(Step.MERGING)
        trees = Trees(self.staging.store)
        commits = _commits(plan, imported)
        merged, layers = self._merge(trees, commits, imported)
        commits |= layers
        self.progress.step(Step.PUBLISHING)
        commit = self._commit(trees, merged, commits)
        self._publish(plan, trees, commits, commit)
        warnings = self._warnings(plan, imported, merged)
        for text in warnings:
            self.progress.warning(text)
        return PullResult(commit, self.image.digest, changed=True, plan=plan, warnings=warnings)

    def _fetch(self, plan: PullPlan, source: Source) -> dict[Digest, ImportedLayer]:
        wanted = [entry.layer for entry in plan.chosen(LayerAction.FETCH)]
        ostree = [layer for layer in wanted if layer.kind is not LayerKind.DERIVED]
        first = plan.layers[0]
        has_base = first.layer.kind is LayerKind.COMMIT
        base = BaseTree(
            Trees(self.staging.store),
            missing=len(ostree),
            directory=self.staging.path,
            keep_var=self._keeps_var(),
            has_base=has_base,
            commit=first.commit if has_base else None,
        )
        options = FetchOptions(
            proxy=self.options.proxy,
            jobs=self.options.jobs,
            retries=self.options.retries,
            retry_delay=self.options.retry_delay,
            importer=self.options.importer_version,
            allow_ima=self.options.allow_ima,
        )
        return fetch_layers(
            wanted,
            source,
            self.staging,
            base,
            options,
            self.progress,
            pinned=self._pinned(),
            verify_commit=commit_verifier(self.repo, self.reference.signature, self.staging.path),
        )

    def _pinned(self) -> ImageReference:
        """Return the reference that further proxies open: a tag may move meanwhile."""
        image = self.reference.image
        if image.transport is not Transport.REGISTRY:
            return image
        return image.with_digest(self.image.digest).canonicalise()

    def _keeps_var(self) -> bool:
        if self.options.var_content is VarContent.AUTO:
            return ostree_version() >= KEEP_VAR_FROM
        return self.options.var_content is VarContent.KEEP

    def _merge(
        self,
        trees: Trees,
        commits: Mapping[Digest, str],
        imported: Mapping[Digest, ImportedLayer],
    ) -> tuple[Merged, dict[Digest, str]]:
        """Merge, and return the derived layers' commits as the final policy labels them."""
        base = None
        derived = []
        for layer in self.image.layers:
            digest = layer.descriptor.digest
            if layer.kind is LayerKind.COMMIT:
                base = _root(trees, commits[digest])
            elif layer.kind is LayerKind.DERIVED:
                derived.append(digest)
        layers = [_layer_tree(trees, commits[digest], imported.get(digest)) for digest in derived]
        merged = merge(trees, base, layers, repo=self.repo.path, work=self.staging.path)
        moved = {}
        for digest, before, after in zip(derived, layers, merged.layers, strict=True):
            if before.root != after:
                moved[digest] = self._relabelled(trees, commits[digest], after)
        return merged, moved

    def _relabelled(self, trees: Trees, commit: str, root: Directory) -> str:
        """Write a layer's commit again with other labels, and nothing else changed."""
        old = Commit.decode(trees.store.metadata(commit, "commit"))
        new = replace(old, tree=root.tree.hex(), meta=root.meta.hex(), parent=None)
        return trees.store.add_metadata(new.encode(), "commit")

    def _commit(self, trees: Trees, merged: Merged, commits: Mapping[Digest, str]) -> str:
        first = self.image.layers[0]
        timestamp = image_timestamp(self.image.manifest, self.image.config)
        return merge_commit(
            trees,
            merged.root,
            parent=commits[first.descriptor.digest] if first.kind is LayerKind.COMMIT else None,
            timestamp=int(time.time()) if timestamp is None else timestamp,
            metadata=(
                (CONFIG_KEY, self.image.config.canonical()),
                (IMPORTER_KEY, self.options.importer_version),
                (MANIFEST_KEY, self.image.manifest.canonical()),
                (DIGEST_KEY, str(self.image.digest)),
            ),
        )

    def _publish(
        self, plan: PullPlan, trees: Trees, commits: Mapping[Digest, str], commit: str
    ) -> None:
        present = {
            entry.layer.descriptor.digest: entry.commit
            for entry in plan.chosen(LayerAction.PRESENT)
        }
        publication = Publication(
            new_layers={
                blob_ref(digest): layer
                for digest, layer in commits.items()
                if present.get(digest) != layer
            },
            layers={blob_ref(digest): layer for digest, layer in commits.items()},
            image_ref=image_ref(self.options.target or self.reference.image),
            commit=commit,
        )
        record_verified(self.repo, commit, _verified(plan))
        publish(publication, trees, self.staging, self.repo)

    def _warnings(
        self, plan: PullPlan, imported: Mapping[Digest, ImportedLayer], merged: Merged
    ) -> tuple[str, ...]:
        reports = [layer.report for layer in imported.values() if layer.report is not None]
        found = summarize_filtered(reports)
        warnings = [found, *_examples(reports)] if found else []
        if merged.unchanged:
            shown = ", ".join(merged.unchanged[:SHOWN_DIRECTORIES])
            warnings.append(
                "Layers state other attributes for directories that were there before, "
                f"which has no effect: {shown}"
            )
        if any(report.moved_var for report in reports):
            warnings.append(
                "Content of /var was moved to /usr/share/factory/var, because this version of "
                "ostree does not fill /var from an image; --var-content=keep keeps it."
            )
        return tuple(warnings)


def _commits(plan: PullPlan, imported: Mapping[Digest, ImportedLayer]) -> dict[Digest, str]:
    commits = {}
    for entry in plan.layers:
        digest = entry.layer.descriptor.digest
        commits[digest] = imported[digest].commit if entry.commit is None else entry.commit
    return commits


def _verified(plan: PullPlan) -> dict[Digest, Digest]:
    """Return the diff_ids that are known to be right: computed now, or when first pulled."""
    return {
        entry.layer.descriptor.digest: entry.layer.diff_id
        for entry in plan.layers
        if entry.action is not LayerAction.PRESENT or entry.layer.descriptor.digest in plan.verified
    }


def _root(trees: Trees, commit: str) -> Directory:
    data = Commit.decode(trees.store.metadata(commit, "commit"))
    return Directory(bytes.fromhex(data.tree), bytes.fromhex(data.meta))


def _layer_tree(trees: Trees, commit: str, layer: ImportedLayer | None) -> LayerTree:
    root = _root(trees, commit)
    if layer is None or layer.report is None:
        return LayerTree(root)
    return LayerTree(root, layer.policy, frozenset(layer.report.directories))


def _examples(reports: Sequence[LayerReport]) -> list[str]:
    lines = []
    for report in reports:
        for kind, paths in sorted(report.examples.items()):
            more = report.filtered[kind] - len(paths)
            tail = f" and {more} more" if more else ""
            lines.append(f"Left out ({kind}): {', '.join(paths)}{tail}")
    return lines
