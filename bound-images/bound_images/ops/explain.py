"""``explain``: why an image is, or is not, in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bound_images.ops.session import open_session
from bound_images.programs import Runner
from bound_images.reference import ImageName, printable
from bound_images.rootfs import Root
from bound_images.settings import SyncOptions
from bound_images.storage import record as records
from bound_images.storage import verified
from bound_images.storage.storeimages import StoredImage
from bound_images.units.scan import ARTIFACT, BoundImage, scan
from bound_images.where import state_directory
from orch_frame.errors import NotFoundError, OrchError
from orch_frame.lock import DEFAULT_TIMEOUT
from orch_frame.transfer import TransferOptions


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of one image.

    Attributes:
        name: What was asked for.
        bound: The records of the root that mean it.
        locks: Lock files that name it, each with the id that it records.
        stored: The image in the store, None where it is not there.
        layers: The diff_ids of its layers.
        verified: Whether its content is known to be whole.
    """

    name: str
    bound: tuple[BoundImage, ...]
    locks: tuple[tuple[Path, str], ...]
    stored: StoredImage | None
    layers: tuple[str, ...]
    verified: bool

    @property
    def reason(self) -> str:
        """One sentence that says what keeps the image, or why it is not there."""
        if self.bound:
            what = f"{self.bound[0].sources[0]} binds it"
            if self.bound[0].artifact:
                return f"{what}; it is {ARTIFACT}"
            return f"{what}." if self.stored else f"{what}, and it is not in the store: run sync."
        if self.locks:
            return f"{self.locks[0][0]} records it; this root is not bound to it."
        return "Nothing binds or records it; prune would remove it."


def explain(
    root: Root,
    store: Path,
    name: str,
    *,
    locks: Sequence[Path] = (),
    lock_timeout: float = DEFAULT_TIMEOUT,
    runner: Runner | None = None,
) -> Explanation:
    """Say what is known of an image.

    Args:
        root: The root.
        store: The store.
        name: The name of the image, its id or at least 12 digits of it, or a unit that binds it.
        locks: Lock files to read besides those beside the store.
        lock_timeout: Seconds to wait for another process that uses the store.
        runner: Starts the programs.

    Raises:
        NotFoundError: neither root, lock files nor store know it.
    """
    found = scan(root).images
    # What a unit binds may be several images; the first is the one that it is about.
    key = next((image.key for image in found if _is_unit(name, image)), _canonical(name))
    settings = SyncOptions(TransferOptions(lock_timeout=lock_timeout))
    with open_session(root, store, settings, runner or Runner(), create=False) as session:
        images = session.store.images() if session.store else ()
        stored = next((i for i in images if key in i.names or _is_id(name, i.image_id)), None)
        layers = session.store.layers([stored.image_id]) if session.store and stored else {}
    names = {key, name, *(stored.names if stored else ())}
    bound = tuple(
        sorted((image for image in found if image.key in names), key=lambda image: image.key != key)
    )
    recorded = _recorded(store, locks, names, name)
    if not bound and not recorded and stored is None:
        raise NotFoundError(
            f"Nothing is known of {printable(name)}.",
            hint="Say the name of an image as list prints it, its id, or the unit that binds it.",
            image=name,
        )
    return Explanation(
        name=name,
        bound=bound,
        locks=recorded,
        stored=stored,
        layers=layers.get(stored.image_id, ()) if stored else (),
        verified=stored is not None and stored.image_id in verified.read(state_directory(store)),
    )


def _recorded(
    store: Path, locks: Sequence[Path], names: set[str], name: str
) -> tuple[tuple[Path, str], ...]:
    found: dict[tuple[Path, str], None] = {}
    for path in sorted({*locks, *state_directory(store).glob("*.json")}):
        try:
            images = records.read(path).images
        except OrchError:
            continue
        ids = (i.image_id for i in images if i.canonical in names or _is_id(name, i.image_id))
        found |= dict.fromkeys((path, image_id) for image_id in ids)
    return tuple(found)


def _is_unit(name: str, image: BoundImage) -> bool:
    files = (PurePosixPath(path) for path in image.sources)
    return bool(name) and (name == image.name or any(name in (p.name, str(p)) for p in files))


def _canonical(name: str) -> str:
    try:
        return ImageName.parse(name).canonical
    except OrchError:
        return name


def _is_id(name: str, image_id: str) -> bool:
    return len(name) >= 12 and image_id.startswith(name.removeprefix("sha256:"))
