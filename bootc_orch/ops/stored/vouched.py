"""Which images a signature policy was asked about, and let in.

That an image is stored says nothing of that: it may have been pulled when nobody had to vouch for
it.  So whoever uses a stored image as a signed one looks here, or asks again.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.policy import AppliedPolicy
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.ops.stored.records import Records


def record_vouched(
    repo: Path, image: ImageReference, manifest: Digest, policy: AppliedPolicy
) -> None:
    """Record that *policy* let *image* in, as what its manifest was then."""
    _records(repo).write(_key(image, manifest), _fields(image, manifest, policy))


def is_vouched(repo: Path, image: ImageReference, manifest: Digest, policy: AppliedPolicy) -> bool:
    """Say whether this very policy let *image* in, with this manifest, under this name.

    A policy that was changed since has to be asked again.
    """
    return _records(repo).read(_key(image, manifest)) == _fields(image, manifest, policy)


def keep_vouched(repo: Path, manifests: Collection[Digest]) -> None:
    """Forget what was said of images other than *manifests*: they are not stored any more."""
    records = _records(repo)
    kept = {str(manifest) for manifest in manifests}
    for key in list(records.keys()):
        fields = records.read(key)
        if fields is not None and fields[0] not in kept:
            records.remove(key)


def damaged_vouchers(repo: Path) -> tuple[Path, ...]:
    """Return the records that say nothing."""
    records = _records(repo)
    return tuple(records.path(key) for key in records.keys() if records.read(key) is None)  # noqa: SIM118 - no mapping


def _records(repo: Path) -> Records:
    return Records(repo, "vouched")


def _key(image: ImageReference, manifest: Digest) -> str:
    return sha256(f"{manifest} {image}".encode()).hexdigest()


def _fields(image: ImageReference, manifest: Digest, policy: AppliedPolicy) -> tuple[str, ...]:
    scope = quote(policy.scope, safe="")
    return (str(manifest), str(policy.digest), scope, quote(str(image), safe=""))
