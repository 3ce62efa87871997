"""Forget images that are damaged, and layers that no image has.

containers/storage writes its lists to the disk before the content of layers, so that a power cut
leaves layers in the list that podman can neither use nor remove: not those of images, since it
reads them first, and not those without an image, for which it has no command before 5.2.
Source: containers/storage 1.43 to 1.60, ``layers.go``, ``images.go``, ``lockfile``.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bound_images.files import replace_file, write_error
from orch_frame.below import Below
from orch_frame.errors import StorageIOError, StoreDamagedError

logger = logging.getLogger(__name__)

IMAGES = Path("overlay-images/images.json")
LAYERS = Path("overlay-layers/layers.json")
MAX_LIST_BYTES = 256 << 20
DIRECTORIES = ("overlay", "overlay/l", "overlay-images", "overlay-layers", "overlay-containers")
NEW_STORE = "Move the store away, and run sync: it makes a new one and fetches everything again."
_ID = re.compile(r"[0-9a-f]{64}")


def image_ids(store: Path) -> tuple[str, ...]:
    """Return the ids of all images in *store*, those included that podman cannot show.

    Raises:
        StoreDamagedError: the list cannot be read, or names what is no id.
    """
    found = tuple(str(image["id"]) for image in _read(store / IMAGES))
    if strange := [one for one in found if not _ID.fullmatch(one)]:
        raise StoreDamagedError(
            f"{store / IMAGES} names an image {strange[0][:80]!r}.", hint=NEW_STORE
        )
    return found


def forget(store: Path, damaged: Collection[str]) -> None:
    """Remove the images *damaged*, then every layer that belongs to no image.

    Nothing else may write to *store* meanwhile.

    Args:
        store: The store.
        damaged: Ids of images.

    Raises:
        StoreDamagedError: a list cannot be read, or a link may lead out of the store.
        OrchError: something cannot be removed.
    """
    _require_own_directories(store)
    try:
        if damaged:
            with _locked(store / "overlay-images/images.lock"):
                _rewrite(store / IMAGES, lambda image: image["id"] not in damaged)
                for image_id in damaged:
                    shutil.rmtree(store / "overlay-images" / image_id, ignore_errors=True)
        if (store / LAYERS).exists():
            with _locked(store / "overlay-layers/layers.lock"):
                _forget_layers(store)
    except OSError as error:
        raise write_error(error, store) from error


def _require_own_directories(store: Path) -> None:
    """Make sure that what is removed below them is in the store, and in no other place."""
    for name in DIRECTORIES:
        path = store / name
        if path.is_symlink():
            raise StoreDamagedError(
                f"{path} is a link, where a store has a directory.", hint=NEW_STORE, path=str(path)
            )


def _forget_layers(store: Path) -> None:
    kept = _kept(_read(store / LAYERS), store)
    # The list comes last: what it still has is removed by the next attempt.
    for path in _leftovers(store, kept):
        logger.debug("Removing %s, which no image has.", path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    _rewrite(store / LAYERS, lambda layer: layer["id"] in kept)


def _kept(layers: list[dict[str, Any]], store: Path) -> set[str]:
    """Return the ids of the layers that images and containers have, with all below them."""
    parents = {layer["id"]: layer.get("parent", "") for layer in layers}
    owners = [
        *_read(store / IMAGES),
        *_read(store / "overlay-containers/containers.json"),
    ]
    waiting = [name for o in owners for name in (o.get("layer"), *(o.get("mapped-layers") or ()))]
    kept: set[str] = set()
    while waiting:
        layer = waiting.pop()
        if layer in parents and layer not in kept:
            kept.add(layer)
            waiting.append(parents[layer])
    return kept


def _leftovers(store: Path, kept: set[str]) -> Iterator[Path]:
    for path in (store / "overlay").iterdir():
        if _ID.fullmatch(path.name) and path.name not in kept:
            yield path
    for path in (store / "overlay-layers").iterdir():
        layer, dot, _ = path.name.partition(".")
        if dot and _ID.fullmatch(layer) and layer not in kept:
            yield path
    links = store / "overlay/l"
    yield from (path for path in links.glob("*") if not path.exists())


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(Below(path.parent).read(path.name, limit=MAX_LIST_BYTES) or b"[]")
    except FileNotFoundError:  # the directory
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise StoreDamagedError(
            f"{path} cannot be read.", details=str(error), hint=NEW_STORE
        ) from error
    if isinstance(found, list) and all(isinstance(x, dict) and "id" in x for x in found):
        return found
    raise StoreDamagedError(f"{path} is no list of containers/storage.", hint=NEW_STORE)


def _rewrite(path: Path, is_kept: Callable[[dict[str, Any]], bool]) -> None:
    entries = _read(path)
    kept = [entry for entry in entries if is_kept(entry)]
    if len(kept) != len(entries):
        replace_file(path, json.dumps(kept), mode=0o600)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock of containers/storage, and tell its other users that something changed."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageIOError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        yield
        # Whoever wrote last leaves 64 bytes of its own; any others make readers read again.
        os.pwrite(descriptor, secrets.token_hex(32).encode(), 0)
    finally:
        os.close(descriptor)
