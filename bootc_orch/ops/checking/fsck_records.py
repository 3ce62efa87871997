"""Check what lies beside the objects: records of our own, and detached metadata.

Nothing but a download depends on either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.refs import blob_ref
from bootc_orch.ops.checking.finding import Finding, Remedy, Severity
from bootc_orch.ops.stored.known_layers import damaged_records, known_layers, record_path
from bootc_orch.ops.stored.vouched import damaged_vouchers
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import InvalidImageError, OrchError

# Kinds of findings that a repair has its own ways for; their subjects are paths of files.
DAMAGED_RECORD = "damaged-record"
STALE_RECORD = "stale-record"
DAMAGED_NOTE = "damaged-note"


def check_records(repo: Repo, images: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Find records that are not whole, or not of what is there.

    Args:
        repo: The repository.
        images: The images that have a layer, by its ref.
    """
    for path in damaged_records(repo.path):
        yield Finding(
            DAMAGED_RECORD,
            str(path),
            "The record of what a layer was found to be is damaged.",
            Remedy.REPAIR,
            images=tuple(sorted(images.get(_ref_of(path.name), ()))),
        )
    for path in damaged_vouchers(repo.path):
        yield Finding(
            DAMAGED_RECORD,
            str(path),
            "The record of an image that a signature policy let in is damaged.",
            Remedy.REPAIR,
        )
    for digest, layer in known_layers(repo.path).items():
        stored = _stored_commit(repo, digest)
        if stored is not None and stored != layer.commit:
            yield Finding(
                STALE_RECORD,
                str(record_path(repo.path, digest)),
                f"Layer {digest} is commit {stored}, and was read as {layer.commit}.",
                Remedy.REPAIR,
                Severity.WARNING,
            )


def check_notes(repo: Repo, commits: Iterable[str]) -> Iterator[Finding]:
    """Find what lies beside *commits* and cannot be read."""
    for commit in commits:
        try:
            repo.detached_metadata(commit)
        except OrchError as error:
            yield Finding(
                DAMAGED_NOTE,
                str(repo.object_path(commit, "commitmeta")),
                f"{error.summary} Signatures there, if any, are lost.",
                Remedy.REPAIR,
            )


def _stored_commit(repo: Repo, digest: Digest) -> str | None:
    try:
        return repo.rev_parse(blob_ref(digest))
    except OrchError:  # reported as a damaged ref
        return None


def _ref_of(name: str) -> str:
    try:
        return blob_ref(Digest.parse(f"sha256:{name}"))
    except InvalidImageError:
        return ""
