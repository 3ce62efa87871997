"""Make one image of the commits of its layers: the merged tree, its commit, its layers at last."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bootc_orch.model.digest import Digest
from bootc_orch.model.gvariant import Commit, Variant
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.model.image.manifest import image_timestamp
from bootc_orch.ops.importing.layer import ImportedLayer
from bootc_orch.ops.importing.merge import LayerTree, Merged, merge
from bootc_orch.ops.importing.staging import Staging
from bootc_orch.ops.opening.pull_plan import OpenedImage, PullPlan
from bootc_orch.ops.stored.store import (
    CONFIG_KEY,
    DIGEST_KEY,
    IMPORTER_KEY,
    MANIFEST_KEY,
)
from bootc_orch.stream.layer_report import LayerReport, summarize_filtered
from bootc_orch.stream.trees import Directory, Trees

logger = logging.getLogger(__name__)

SHOWN_DIRECTORIES = 5


@dataclass(frozen=True, slots=True)
class FlatImage:
    """An image whose layers are merged.

    Attributes:
        image: What the source said of it.
        merged: The merged tree.
        layers: The commit of each layer, by digest, as the final SELinux policy labels it.
        trees: The trees that the merge made.
    """

    image: OpenedImage
    merged: Merged
    layers: Mapping[Digest, str]
    trees: Trees


def merge_layers(
    plan: PullPlan, imported: Mapping[Digest, ImportedLayer], staging: Staging
) -> FlatImage:
    """Overlay the layers, and write those again whose labels the merged policy changes.

    Args:
        plan: The image and the commits of the layers that were there.
        imported: The layers that were fetched.
        staging: Where all is prepared, new directories too; its destination remembers which trees
            a policy leaves as they are.

    Raises:
        InvalidImageError: a whiteout or the SELinux policy is malformed.
        ToolError: the image has a SELinux policy and libselinux is missing.
    """
    trees = Trees(staging.store)
    commits = _commits(plan, imported)
    base = None
    derived = []
    for layer in plan.image.layers:
        digest = layer.descriptor.digest
        if layer.kind is LayerKind.COMMIT:
            base = trees.commit_root(commits[digest])
        elif layer.kind is LayerKind.DERIVED:
            derived.append(digest)
    layers = [_layer_tree(trees, commits[digest], imported.get(digest)) for digest in derived]
    merged = merge(trees, base, layers, repo=staging.destination.path, work=staging.path)
    for digest, before, after in zip(derived, layers, merged.layers, strict=True):
        if before.root != after:
            commits[digest] = _relabel_commit(trees, commits[digest], after)
    return FlatImage(plan.image, merged, commits, trees)


def commit_image(flat: FlatImage, importer: str) -> str:
    """Write the merge commit and return its checksum.

    It is written by hand because a manifest may be longer than the longest argument of a program.

    Args:
        flat: The merged image.
        importer: What it records as its importer.

    Raises:
        InvalidImageError: the image's date is impossible.
    """
    image = flat.image
    first = image.layers[0]
    timestamp = image_timestamp(image.manifest, image.config)
    metadata = (
        (CONFIG_KEY, image.config.canonical()),
        (IMPORTER_KEY, importer),
        (MANIFEST_KEY, image.manifest.canonical()),
        (DIGEST_KEY, str(image.digest)),
    )
    commit = Commit(
        metadata=tuple((key, Variant.string(value)) for key, value in metadata),
        parent=flat.layers[first.descriptor.digest] if first.kind is LayerKind.COMMIT else None,
        timestamp=int(time.time()) if timestamp is None else timestamp,
        tree=flat.merged.root.tree.hex(),
        meta=flat.merged.root.meta.hex(),
    )
    return flat.trees.store.add_metadata(commit.encode(), "commit")


def describe(imported: Mapping[Digest, ImportedLayer], flat: FlatImage) -> tuple[str, ...]:
    """Say what is worth a warning about the layers that were fetched, a sentence each."""
    reports = [layer.report for layer in imported.values() if layer.report is not None]
    found = summarize_filtered(reports)
    warnings = [found, *_examples(reports)] if found else []
    if unchanged := flat.merged.unchanged:
        more = f" and {len(unchanged) - SHOWN_DIRECTORIES} more"
        shown = ", ".join(unchanged[:SHOWN_DIRECTORIES])
        warnings.append(
            "Layers state other attributes for directories that were there before, which has no "
            f"effect: {shown}{more if len(unchanged) > SHOWN_DIRECTORIES else ''}"
        )
    if labels := sum(report.dropped_labels for report in reports):
        warnings.append(
            f"Layers bring {labels} SELinux labels (security.selinux), which were dropped: "
            "labels come from the policy of the image."
        )
    if privileged := sum(report.privileged for report in reports):
        logger.info("Layers bring %d files with the setuid or setgid bit.", privileged)
    if any(report.moved_var for report in reports):
        warnings.append(
            "Content of /var was moved to /usr/share/factory/var, because this version of ostree "
            "does not fill /var from an image; --var-content=keep keeps it."
        )
    return tuple(warnings)


def _commits(plan: PullPlan, imported: Mapping[Digest, ImportedLayer]) -> dict[Digest, str]:
    commits = {}
    for entry in plan.layers:
        digest = entry.layer.descriptor.digest
        commits[digest] = imported[digest].commit if entry.commit is None else entry.commit
    return commits


def _layer_tree(trees: Trees, commit: str, layer: ImportedLayer | None) -> LayerTree:
    root = trees.commit_root(commit)
    if layer is None or layer.report is None:
        return LayerTree(root)
    return LayerTree(root, layer.policy, frozenset(layer.report.directories))


def _relabel_commit(trees: Trees, commit: str, root: Directory) -> str:
    """Write a layer's commit again with other labels, and nothing else changed."""
    old = Commit.decode(trees.store.metadata(commit, "commit"))
    new = replace(old, tree=root.tree.hex(), meta=root.meta.hex(), parent=None)
    return trees.store.add_metadata(new.encode(), "commit")


def _examples(reports: Sequence[LayerReport]) -> list[str]:
    lines = []
    for report in reports:
        for kind, paths in sorted(report.examples.items()):
            more = report.filtered[kind] - len(paths)
            tail = f" and {more} more" if more else ""
            lines.append(f"Left out ({kind}): {', '.join(paths)}{tail}")
    return lines
