"""``check`` and ``verify``: is in the store what the lock file says, and is it whole?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bound_images.events import Event, Progress, State, silent
from bound_images.locking import locked
from bound_images.programs import Runner
from bound_images.rootfs import Root
from bound_images.settings import SyncOptions
from bound_images.storage import record as records
from bound_images.storage import verified
from bound_images.storage.record import LockedImage, Record
from bound_images.storage.store import ImageStore, open_store
from bound_images.storage.storeimages import StoredImage
from bound_images.units.scan import ARTIFACT, ARTIFACT_REMEDY, BoundImage, scan
from bound_images.where import check_store, private_directory, state_directory
from orch_frame.errors import MismatchError, NotFoundError, OrchError, StoreDamagedError, ToolError
from orch_frame.several import raise_all


class Verdict(StrEnum):
    """How an image stands."""

    OK = "ok"
    MISSING = "missing"  # the store does not have it
    RENAMED = "renamed"  # the store has it, and its name stands for another image or none
    UNRECORDED = "unrecorded"  # the root is bound to it, and the lock file does not know it
    UNBOUND = "unbound"  # the lock file knows it, and the root is not bound to it
    UNSUPPORTED = "unsupported"  # the root is bound to it, and no store of images can hold it
    DAMAGED = "damaged"  # a layer is missing or is not what its digest says


_REMEDY = {
    Verdict.MISSING: "Run sync to fetch what is missing.",
    Verdict.RENAMED: "Run sync to set the names right.",
    Verdict.UNRECORDED: "Run sync to bring store and lock file up to date.",
    Verdict.UNBOUND: "Run sync to bring the lock file up to date.",
    Verdict.DAMAGED: "Run sync --verify to fetch damaged images again.",
    Verdict.UNSUPPORTED: ARTIFACT_REMEDY,
}


@dataclass(frozen=True, slots=True)
class CheckedImage:
    """One image and how it stands.

    Attributes:
        canonical: Its name.
        image_id: The recorded id; empty where none is recorded.
        verdict: How it stands.
        detail: What was found instead.
    """

    canonical: str
    image_id: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How all images of a root stand.

    Attributes:
        images: The images, recorded ones first.
        unreadable: One error for each definition that could not be read; empty unless those were
            to be survived.
    """

    images: tuple[CheckedImage, ...]
    unreadable: tuple[OrchError, ...] = ()

    @property
    def errors(self) -> tuple[OrchError, ...]:
        """One error for each definition and image that is not as it should be."""
        wrong = (_error_of(i) for i in self.images if i.verdict is not Verdict.OK)
        return (*self.unreadable, *wrong)


def check(
    root: Root | None,
    store: Path,
    lock: Path,
    options: SyncOptions | None = None,
    *,
    runner: Runner | None = None,
) -> CheckResult:
    """Compare the definitions of *root*, the lock file *lock* and the names and ids in *store*.

    Args:
        root: The root; None to compare lock file and store alone.
        store: The store.
        lock: The lock file.
        options: How to go about it: what may be survived, how long to wait for the store's lock.
        runner: Starts the programs.

    Raises:
        NotFoundError: there is no lock file or no store.
        OrchError: a definition, the lock file or the store cannot be read.
    """
    options = options or SyncOptions()
    _require(store)
    record = records.read(lock)
    bound, unreadable = _bound(root, keep_going=options.keep_going)
    with _open_locked(store, options.transfer.lock_timeout, runner or Runner()) as images:
        return CheckResult(tuple(_compare(record, bound, images.images())), unreadable)


def verify(
    root: Root | None,
    store: Path,
    lock: Path,
    options: SyncOptions | None = None,
    *,
    progress: Progress = silent,
    runner: Runner | None = None,
) -> CheckResult:
    """Do what `check` does, and read every layer of every image back.

    An image that proves to be damaged no longer counts as whole for the next sync.
    """
    options = options or SyncOptions()
    _require(store)
    record = records.read(lock)
    bound, unreadable = _bound(root, keep_going=options.keep_going)
    with _open_locked(store, options.transfer.lock_timeout, runner or Runner()) as images:
        compared = tuple(_compare(record, bound, images.images()))
        read_back = tuple(_read_back(image, images, progress) for image in compared)
    return CheckResult(read_back, unreadable)


def _bound(
    root: Root | None, *, keep_going: bool
) -> tuple[tuple[BoundImage, ...] | None, tuple[OrchError, ...]]:
    if root is None:
        return None, ()
    found = scan(root)
    if not keep_going:
        raise_all(found.errors, "Some definitions cannot be read.")
    return found.images, found.errors


def _compare(
    record: Record, bound: tuple[BoundImage, ...] | None, stored: tuple[StoredImage, ...]
) -> Iterator[CheckedImage]:
    owners = {name: image.image_id for image in stored for name in image.names}
    ids = {image.image_id for image in stored}
    for image in record.images:
        yield _stands(image, owners, ids, bound)
    for wanted in bound or ():
        if not any(_is_of(wanted, image) for image in record.images):
            verdict = Verdict.UNSUPPORTED if wanted.artifact else Verdict.UNRECORDED
            yield CheckedImage(wanted.key, "", verdict)


def _stands(
    image: LockedImage,
    owners: dict[str, str],
    ids: set[str],
    bound: tuple[BoundImage, ...] | None,
) -> CheckedImage:
    def verdict(word: Verdict, detail: str = "") -> CheckedImage:
        return CheckedImage(image.canonical, image.image_id, word, detail)

    if bound is not None and not any(_is_of(wanted, image) for wanted in bound):
        return verdict(Verdict.UNBOUND)
    if image.image_id not in ids:
        return verdict(Verdict.MISSING)
    owner = owners.get(image.canonical)
    if owner != image.image_id:
        return verdict(Verdict.RENAMED, f"the name stands for {owner or 'no image'}")
    return verdict(Verdict.OK)


def _is_of(wanted: BoundImage, image: LockedImage) -> bool:
    """Say whether *image* was resolved for *wanted*; all tags of a repository come from one."""
    if wanted.key == image.canonical or wanted.reference == image.reference:
        return True
    repository = wanted.key.rpartition(":")[0]
    return bool(wanted.options.all_tags) and image.canonical.startswith(f"{repository}:")


def _read_back(image: CheckedImage, images: ImageStore, progress: Progress) -> CheckedImage:
    if image.verdict not in (Verdict.OK, Verdict.RENAMED):
        return image
    progress(Event(image.canonical, State.CHECKING))
    try:
        images.read_back(image.image_id)
    except StoreDamagedError as error:
        verified.remove(state_directory(images.path), {image.image_id})
        progress(Event(image.canonical, State.FAILED, detail=error.summary))
        return CheckedImage(
            image.canonical, image.image_id, Verdict.DAMAGED, error.details or error.summary
        )
    progress(Event(image.canonical, State.DONE))
    return image


def _error_of(image: CheckedImage) -> OrchError:
    text = {
        Verdict.MISSING: f"{image.canonical} is not in the store.",
        Verdict.RENAMED: f"{image.canonical} is not the image that was recorded.",
        Verdict.UNRECORDED: f"{image.canonical} is bound, and not in the lock file.",
        Verdict.UNBOUND: f"{image.canonical} is in the lock file, and not bound.",
        Verdict.DAMAGED: f"{image.canonical} is damaged.",
        Verdict.UNSUPPORTED: f"{image.canonical} is {ARTIFACT}",
    }[image.verdict]
    kinds: dict[Verdict, type[OrchError]] = {
        Verdict.MISSING: NotFoundError,
        Verdict.DAMAGED: StoreDamagedError,
        Verdict.UNSUPPORTED: ToolError,
    }
    kind = kinds.get(image.verdict, MismatchError)
    return kind(
        text, details=image.detail or None, hint=_REMEDY[image.verdict], image=image.canonical
    )


def _require(store: Path) -> None:
    check_store(store)
    if not store.is_dir():
        raise NotFoundError(
            f"There is no store at {store}.", path=str(store), hint="Run sync first."
        )


@contextmanager
def _open_locked(store: Path, lock_timeout: float, runner: Runner) -> Iterator[ImageStore]:
    with (
        private_directory() as work,
        locked(state_directory(store), shared=True, timeout=lock_timeout),
        open_store(store, work=work, runner=runner) as images,
    ):
        yield images
