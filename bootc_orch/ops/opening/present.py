"""Which layers of an image are in a repository already, and how that is known.

What this program recorded while it read a blob is known.  What another tool stored under a digest
counts as what the stored images say of it, for nobody fetches a base anew to change tools; it is
never shared by its content, which nobody here computed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import LayerKind, PlannedLayer, classify
from bootc_orch.model.image.refs import IMAGE_PREFIX, blob_ref
from bootc_orch.ops.stored.known_layers import claimed_layers, is_copied, known_layers
from bootc_orch.ops.stored.prune import ROOT_PREFIXES
from bootc_orch.ops.stored.store import commit_state
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import OrchError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer that a repository has, whole.

    Attributes:
        commit: Its commit.
        kind: What it was read as.
        diff_id: The digest of its content.
        computed: Whether that is known here; otherwise the images that are stored say so.
    """

    commit: str
    kind: LayerKind
    diff_id: Digest
    computed: bool


def find_stored_layers(repo: Repo, layers: tuple[PlannedLayer, ...]) -> dict[Digest, StoredLayer]:
    """Find the layers that *repo* has of *layers*, and those whose content is known to be theirs.

    A layer is there only with a whole commit and a ref that can be read; one that ostree marks as
    partial is not.

    Returns:
        The layers by the digest of their blob.
    """
    known = known_layers(repo.path)
    content = {layer.diff_id for layer in layers}
    wanted = {layer.descriptor.digest for layer in layers}
    wanted |= {digest for digest, layer in known.items() if layer.diff_id in content}
    found: dict[Digest, StoredLayer] = {}
    unknown: dict[Digest, str] = {}
    for digest in wanted:
        commit = repo.rev_parse_intact(blob_ref(digest))
        if commit is None or not repo.has_commit(commit) or repo.is_partial(commit):
            continue
        layer = known.get(digest)
        if layer is not None and layer.commit == commit:
            found[digest] = StoredLayer(commit, layer.kind, layer.diff_id, computed=True)
        elif not is_copied(repo.path, digest, commit):
            unknown[digest] = commit
    return found | _claimed_layers(repo, unknown)


def _claimed_layers(repo: Repo, commits: dict[Digest, str]) -> dict[Digest, StoredLayer]:
    """Take for *commits* what the stored images say of their layers, where they agree."""
    if not commits:
        return {}
    claims: dict[Digest, set[tuple[LayerKind, Digest]]] = {}
    for known in claimed_layers(repo.path).values():
        claims.setdefault(known.digest, set()).add((known.kind, known.diff_id))
    for layer in _layers_of_images(repo):
        claims.setdefault(layer.descriptor.digest, set()).add((layer.kind, layer.diff_id))
    found = {}
    for digest, commit in commits.items():
        match list(claims.get(digest, ())):
            case [(kind, diff_id)]:
                found[digest] = StoredLayer(commit, kind, diff_id, computed=False)
            case _:
                logger.info("Nothing that is known says what layer %s is.", digest)
    return found


def _layers_of_images(repo: Repo) -> Iterator[PlannedLayer]:
    for prefix in (IMAGE_PREFIX, *ROOT_PREFIXES):
        for commit in set(repo.scan_refs(prefix).commits.values()):
            try:
                state = commit_state(repo, commit)
                yield from classify(state.manifest, state.config)
            except OrchError:  # no image, or one that the check reports
                continue
