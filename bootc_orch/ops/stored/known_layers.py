"""Which blob was found to be what: the layers whose content this program computed the digests of.

A layer's ref says which commit a blob became, but not as what it was read, nor what its content
hashes to; what its commit, its detached metadata or an image's config say of that are claims.
A layer that was copied from another repository is marked, since a ref there says even less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.ops.stored.records import Records
from orch_frame.errors import InvalidImageError

_COMMIT_DIGITS = 64
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class KnownLayer:
    """What was found of one blob while it was read.

    Attributes:
        digest: The digest of the blob.
        kind: What it was read as.
        commit: The commit that was made of it.
        diff_id: The digest of its content, computed.
    """

    digest: Digest
    kind: LayerKind
    commit: str
    diff_id: Digest


def record_layers(repo: Path, layers: Iterable[KnownLayer]) -> None:
    """Record *layers* in the repository at *repo*; they must have been computed, not read."""
    _write(_records(repo), layers)


def known_layer(repo: Path, digest: Digest) -> KnownLayer | None:
    """Return what is known of the blob *digest*, or None."""
    layer = _parse(_records(repo).read(digest.hex))
    return layer if layer is not None and layer.digest == digest else None


def known_layers(repo: Path) -> dict[Digest, KnownLayer]:
    """Return everything that is known of blobs, whether or not they still have a ref."""
    return _read(_records(repo))


def forget_layer(repo: Path, digest: Digest) -> None:
    """Forget what is known of the blob *digest*."""
    for records in (_records(repo), _copied(repo)):
        records.remove(digest.hex)


def record_path(repo: Path, digest: Digest) -> Path:
    """Return where it is recorded what is known of the blob *digest*."""
    return _records(repo).path(digest.hex)


def claim_layers(repo: Path, layers: Iterable[KnownLayer]) -> None:
    """Note *layers* as what an image says that they are, in a repository that has no image yet."""
    _write(_claimed(repo), layers)


def claimed_layers(repo: Path) -> dict[Digest, KnownLayer]:
    """Return the layers that `claim_layers` noted."""
    return _read(_claimed(repo))


def mark_copied(repo: Path, layers: Mapping[Digest, str]) -> None:
    """Mark *layers*, digest to commit, as those whose ref says what another repository says."""
    records = _copied(repo)
    for digest, commit in layers.items():
        records.write(digest.hex, (str(digest), commit))


def is_copied(repo: Path, digest: Digest, commit: str) -> bool:
    """Say whether *commit* is marked as copied under *digest*."""
    return _copied(repo).read(digest.hex) == (str(digest), commit)


def damaged_records(repo: Path) -> tuple[Path, ...]:
    """Return the records that say nothing, or not what their name says."""
    records = _records(repo)
    bad = []
    for key in records.keys():  # noqa: SIM118 - no mapping
        layer = _parse(records.read(key))
        if layer is None or layer.digest.hex != key:
            bad.append(records.path(key))
    return tuple(bad)


def _records(repo: Path) -> Records:
    return Records(repo, "layers")


def _claimed(repo: Path) -> Records:
    return Records(repo, "claimed")


def _write(records: Records, layers: Iterable[KnownLayer]) -> None:
    for layer in layers:
        fields = (str(layer.digest), str(layer.kind), layer.commit, str(layer.diff_id))
        records.write(layer.digest.hex, fields)


def _read(records: Records) -> dict[Digest, KnownLayer]:
    found = (_parse(records.read(key)) for key in records.keys())  # noqa: SIM118 - no mapping
    return {layer.digest: layer for layer in found if layer is not None}


def _copied(repo: Path) -> Records:
    return Records(repo, "copied")


def _parse(fields: tuple[str, ...] | None) -> KnownLayer | None:
    match fields:
        case (digest, kind, commit, diff_id) if _is_checksum(commit):
            try:
                return KnownLayer(
                    Digest.parse(digest), LayerKind(kind), commit, Digest.parse(diff_id)
                )
            except (InvalidImageError, ValueError):
                return None
        case _:
            return None


def _is_checksum(text: str) -> bool:
    return len(text) == _COMMIT_DIGITS and set(text) <= _HEX
