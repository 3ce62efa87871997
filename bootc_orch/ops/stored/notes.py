"""What is noted beside a merge commit, as detached metadata: a newer version, verified layers.

The format fixes what a merge commit holds; what lies beside it may be added and lost at any time.
Source: ostree-rs-ext, the keys of the cached update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bootc_orch.model.digest import Digest
from bootc_orch.model.gvariant import Variant
from bootc_orch.model.image.refs import BLOB_PREFIX, blob_ref
from bootc_orch.ops.stored.store import (
    CACHED_CONFIG_KEY,
    CACHED_DIGEST_KEY,
    CACHED_KEYS,
    CACHED_MANIFEST_KEY,
    CachedUpdate,
)
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import InvalidImageError, StoreDamagedError

# Ours: the layers of this image whose diff_id was computed, not believed; "DIGEST DIFF_ID" lines.
VERIFIED_KEY = "bootc-orch.verified-layers"


def write_cached_update(repo: Repo, commit: str, update: CachedUpdate) -> None:
    """Note *update* on the merge commit *commit*, and leave its other detached metadata alone."""
    kept = _without_cached(repo.detached_metadata(commit))
    cached = {
        CACHED_DIGEST_KEY: Variant.string(str(update.manifest_digest)),
        CACHED_MANIFEST_KEY: Variant.string(update.manifest.canonical()),
        CACHED_CONFIG_KEY: Variant.string(update.config.canonical()),
    }
    repo.write_detached_metadata(commit, kept | cached)


def clear_cached_update(repo: Repo, commit: str) -> bool:
    """Forget the update noted on *commit*; return whether there was one."""
    metadata = repo.detached_metadata(commit)
    kept = _without_cached(metadata)
    if len(kept) == len(metadata):
        return False
    repo.write_detached_metadata(commit, kept)
    return True


def with_verified(
    metadata: Mapping[str, Variant], layers: Mapping[Digest, Digest]
) -> dict[str, Variant]:
    """Return detached *metadata* of a merge commit with the layers whose diff_ids were computed.

    They lie beside the commit, whose content the format fixes.  Whoever rewrites the detached
    metadata loses no more than some reuse.

    Args:
        metadata: What there is.
        layers: Blob digest to diff_id.
    """
    lines = "\n".join(f"{digest} {diff_id}" for digest, diff_id in sorted(layers.items()))
    return {**metadata, VERIFIED_KEY: Variant.string(lines)}


def verified_layers(repo: Repo, commits: Iterable[str]) -> dict[Digest, Digest]:
    """Collect from the merge commits *commits* the layers whose diff_id was once computed.

    A diff_id in a config is a claim; only what was hashed may serve to share layers among images.

    Returns:
        Blob digest to diff_id, of layers that still have a ref.

    Raises:
        StoreDamagedError: detached metadata cannot be read.
    """
    found: dict[Digest, Digest] = {}
    for commit in commits:
        record = repo.detached_metadata(commit).get(VERIFIED_KEY)
        for line in ((record and record.as_string()) or "").splitlines():
            digest, _, diff_id = line.partition(" ")
            try:
                found[Digest.parse(digest)] = Digest.parse(diff_id)
            except InvalidImageError as error:
                raise StoreDamagedError(
                    f"The record of verified layers of commit {commit} is damaged.",
                    details=error.summary,
                ) from error
    stored = repo.scan_refs(BLOB_PREFIX).commits
    return {digest: diff_id for digest, diff_id in found.items() if blob_ref(digest) in stored}


def _without_cached(metadata: Mapping[str, Variant]) -> dict[str, Variant]:
    return {key: value for key, value in metadata.items() if key not in CACHED_KEYS}
