"""What lies beside a commit, as detached metadata: a newer version of an image, or foreign words.

The format fixes what a merge commit holds; what lies beside it may be added and lost at any time,
and an image may bring it for any commit.  So nothing that is noted here is relied on.
Source: ostree-rs-ext, the keys of the cached update.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from bootc_orch.model.gvariant import (
    Variant,
    decode_byte_strings,
    decode_dict,
    encode_byte_strings,
    encode_dict,
)
from bootc_orch.ops.stored.store import (
    CACHED_CONFIG_KEY,
    CACHED_DIGEST_KEY,
    CACHED_KEYS,
    CACHED_MANIFEST_KEY,
    CachedUpdate,
)
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import InvalidImageError, StoreDamagedError

logger = logging.getLogger(__name__)

# Keys that say what a program thinks of an image: no image may bring them.
OWN_PREFIXES = ("bootc-orch.", "ostree-ext.", "ostree.container.")
# What may hold several values, such as signatures: a list of byte strings.
_LIST = "aay"
_LIST_BYTES_MAX = 64 * 1024
# The letters of GVariant's types.
_TYPE = re.compile(r"[abynqiuxthdsogvm(){}]+")


def write_cached_update(repo: Repo, commit: str, update: CachedUpdate) -> None:
    """Note *update* on the merge commit *commit*, and leave its other detached metadata alone.

    Nothing is noted beside what cannot be read.
    """
    try:
        kept = _without_cached(repo.detached_metadata(commit))
    except StoreDamagedError as error:
        logger.warning("%s The newer version is not noted there.", error.summary)
        return
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


def admit_foreign(data: bytes) -> bytes:
    """Return what an image brings as detached metadata of its base commit, fit to be stored.

    Raises:
        InvalidImageError: it is no dictionary with text as keys.
    """
    entries = decode_dict(data)
    for key, value in entries:
        if not _is_utf8(key) or not _TYPE.fullmatch(value.type):
            raise InvalidImageError("The detached metadata has a key or a type that is no text.")
    if len({key for key, _ in entries}) != len(entries):
        raise InvalidImageError("The detached metadata has a key twice.")
    return encode_dict(entry for entry in entries if not entry[0].startswith(OWN_PREFIXES))


def add_foreign(
    present: Mapping[str, Variant], brought: Mapping[str, Variant]
) -> dict[str, Variant]:
    """Add what an image brings to what lies beside its base commit already.

    Nothing is replaced.  Signatures of several are all kept: one that is bad does not make one that
    is good go.
    """
    added = {key: value for key, value in brought.items() if key not in present}
    for key in brought.keys() & present.keys():
        both = (present[key], brought[key])
        if {value.type for value in both} == {_LIST}:
            added[key] = _join_lists(*both)
    return {**present, **added}


def _join_lists(present: Variant, brought: Variant) -> Variant:
    try:
        items = [item for value in (present, brought) for item in decode_byte_strings(value.data)]
    except InvalidImageError:
        return present
    joined = encode_byte_strings(dict.fromkeys(items))
    return Variant(_LIST, joined) if len(joined) <= _LIST_BYTES_MAX else present


def _is_utf8(text: str) -> bool:
    """Say whether *text*, read with surrogates for what is not UTF-8, has none."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _without_cached(metadata: Mapping[str, Variant]) -> dict[str, Variant]:
    return {key: value for key, value in metadata.items() if key not in CACHED_KEYS}
