"""Describe images as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bootc_orch.cli.terminal.render import timestamp_text
from bootc_orch.model.image.manifest import History, ImageConfig, Manifest
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref

if TYPE_CHECKING:
    from bootc_orch.ops.opening.pull_plan import PullPlan
    from bootc_orch.ops.stored.store import ImageState
    from bootc_orch.tools.ostree.repo import Repo


def image_json(reference: ImageReference, state: ImageState) -> dict[str, Any]:
    """The entry of ``image list`` for one image."""
    return {
        "reference": str(reference),
        "commit": state.merge_commit,
        "manifest_digest": str(state.manifest_digest),
        "image_version": state.config.version,
        "created": created_text(state),
        "size": state.size,
        "layers": len(state.manifest.layers),
    }


def inspect_json(repo: Repo, reference: ImageReference, state: ImageState) -> dict[str, Any]:
    """All that is known of one image; *repo* tells which of its layers have a ref."""
    update = state.cached_update
    return {
        **image_json(reference, state),
        "base_commit": state.base_commit,
        "architecture": state.config.architecture or None,
        "importer": state.importer,
        "labels": dict(state.config.labels),
        "layers": _layers_json(repo, state),
        "cached_update": None
        if update is None
        else {
            "manifest_digest": str(update.manifest_digest),
            "image_version": update.config.version,
        },
        "manifest": state.manifest.document,
        "config": state.config.document,
    }


def history_json(manifest: Manifest, config: ImageConfig) -> list[dict[str, Any]]:
    """How each layer came about; null where the config does not tell."""
    entries = _paired(len(manifest.layers), config.history)
    return [
        {
            "digest": str(layer.digest),
            "size": layer.size,
            "created": entry.created if entry else None,
            "created_by": entry.created_by if entry else None,
            "comment": entry.comment if entry else None,
        }
        for layer, entry in zip(manifest.layers, entries, strict=True)
    ]


def plan_json(plan: PullPlan) -> dict[str, Any]:
    """Describe what a pull would do."""
    from bootc_orch.ops.opening.pull_plan import LayerAction

    fetched = [entry.layer.descriptor for entry in plan.chosen(LayerAction.FETCH)]
    return plan_document(
        str(plan.image.digest),
        present=len(plan.chosen(LayerAction.PRESENT)),
        reused=len(plan.chosen(LayerAction.REUSE)),
        fetch=[{"digest": str(layer.digest), "size": layer.size} for layer in fetched],
    )


def plan_document(
    manifest_digest: str, *, present: int, reused: int = 0, fetch: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A pull's plan: counts of layers, the descriptors to fetch, and their bytes."""
    return {
        "manifest_digest": manifest_digest,
        "present": present,
        "reused": reused,
        "fetch": list(fetch),
        "bytes": sum(layer["size"] for layer in fetch),
    }


def created_text(state: ImageState) -> str | None:
    """When the image was made, as RFC 3339 in UTC, or None if it does not say so."""
    return timestamp_text(state.created)


def _layers_json(repo: Repo, state: ImageState) -> list[dict[str, Any]]:
    planned = state.layers
    return [
        {
            "digest": str(layer.digest),
            "diff_id": str(planned[index].diff_id) if planned else None,
            "kind": str(planned[index].kind) if planned else None,
            "media_type": layer.media_type,
            "size": layer.size,
            "commit": repo.rev_parse(blob_ref(layer.digest)),
        }
        for index, layer in enumerate(state.manifest.layers)
    ]


def _paired(layers: int, history: Sequence[History]) -> list[History | None]:
    """Give each layer its entry: by the entries that made a layer if these fit, else by position.

    An entry may be marked as having made none; some builders forget the mark, and some write fewer
    entries than layers.
    """
    made = [entry for entry in history if not entry.empty_layer]
    fitting = made if len(made) == layers else list(history)
    return [*fitting[:layers], *[None] * (layers - len(fitting))]
