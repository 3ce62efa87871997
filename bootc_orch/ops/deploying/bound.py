"""The app images that an OS image is bound to: the only module that imports `bound_images`."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.ops.stored.progress import Progress
from bootc_orch.tools.credentials import find_authfile
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.transfer import TransferOptions

logger = logging.getLogger(__name__)

BOUND_DIRECTORY = "usr/lib/bootc/bound-images.d"
HOST_STORE = "containers-storage:"


class BoundMode(StrEnum):
    """What becomes of app images."""

    PULL = "pull"
    STORED = "stored"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class BoundOptions:
    """How app images are brought in.

    Attributes:
        mode: From registries, from the containers/storage of this machine, or not at all.
        transfer: How they are fetched.
        host_files: Whether bound units may name credentials and certificates of this machine.
    """

    mode: BoundMode = BoundMode.PULL
    transfer: TransferOptions = field(default_factory=TransferOptions)
    host_files: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """App images that are in the store, whole and verified.

    Attributes:
        record: The file that says which; named for the deployment that they were fetched for.
        count: How many there are.
    """

    record: Path
    count: int


@dataclass(frozen=True, slots=True)
class PlannedApp:
    """What would be done about one app image.

    Attributes:
        reference: Its name.
        action: ``keep``, ``name``, ``check`` or ``fetch``.
        size: Bytes to fetch.
    """

    reference: str
    action: str
    size: int


def is_bound(tree: CommitTree) -> bool:
    """Say whether the image of *tree* binds app images."""
    folder = tree.directory(BOUND_DIRECTORY)
    return folder is not None and bool(folder.files)


def prepare(
    root: Path | None,
    sysroot: Sysroot,
    name: str,
    options: BoundOptions,
    progress: Progress,
) -> Prepared | None:
    """Bring every app image that *root* binds into the store, and note which for deployment *name*.

    Args:
        root: The new root; None if it binds nothing.
        sysroot: Where the store is.
        name: ``CHECKSUM.SERIAL`` of the deployment that is going to be made.
        options: How to bring them in.
        progress: Told of each.

    Raises:
        OrchError: one of them could not be had; what boots does not depend on any of it yet.
    """
    if root is None or options.mode is BoundMode.SKIP:
        return None
    from bound_images import Root, default_lock, scan, sync

    opened = Root(root)
    found = scan(opened)
    if not found.images and not found.errors:
        return None
    lock = default_lock(sysroot.store_path, name)
    result = sync(
        opened,
        sysroot.store_path,
        lock,
        _sync_options(sysroot, options),
        progress=_teller(progress),
    )
    count = len(result.record.images) if result.record else 0
    progress.message(f"Bound images stored: {count}")
    return Prepared(lock, count)


def plan(root: Path, sysroot: Sysroot, name: str, options: BoundOptions) -> tuple[PlannedApp, ...]:
    """Say what `prepare` would do; names are resolved, nothing is pulled.

    Raises:
        OrchError: a name cannot be resolved.
    """
    from bound_images import Root, default_lock
    from bound_images import plan as plan_sync

    if options.mode is BoundMode.SKIP:
        return ()
    found = plan_sync(
        Root(root),
        sysroot.store_path,
        default_lock(sysroot.store_path, name),
        _sync_options(sysroot, options),
    )
    return tuple(
        PlannedApp(image.resolved.image.reference, str(image.action), image.bytes)
        for image in found.images
    )


def record(prepared: Prepared | None, sysroot: Sysroot, deployment: Deployment) -> None:
    """Make sure that the record has the name that *deployment* got in the end."""
    if prepared is None:
        return
    from bound_images import default_lock

    wanted = default_lock(sysroot.store_path, deployment.name)
    if wanted != prepared.record and prepared.record.exists():
        prepared.record.rename(wanted)


def carry_over(sysroot: Sysroot, old: Deployment, new: Deployment) -> None:
    """Give *new*, a deployment of the same commit as *old*, the same record."""
    from bound_images import default_lock

    source = default_lock(sysroot.store_path, old.name)
    target = default_lock(sysroot.store_path, new.name)
    if source.exists() and not target.exists():
        os.link(source, target)


def recorded(sysroot: Sysroot, deployment: Deployment) -> tuple[dict[str, Any], ...]:
    """Return what is recorded of the app images of *deployment*, for its status."""
    from bound_images import default_lock, read_record

    lock = default_lock(sysroot.store_path, deployment.name)
    if not lock.exists():
        return ()
    return tuple(
        {"image": one.reference, "imageDigest": one.digest, "imageID": one.image_id}
        for one in read_record(lock).images
    )


def problems(sysroot: Sysroot, deployment: Deployment) -> tuple[tuple[str, str], ...]:
    """Return what is wrong with the app images of *deployment*: name and sentence of each.

    Raises:
        OrchError: its record or the store cannot be read.
    """
    from bound_images import Root, Verdict, check, default_lock

    lock = default_lock(sysroot.store_path, deployment.name)
    if not lock.exists():
        return ()
    found = check(Root(deployment.path), sysroot.store_path, lock)
    return tuple(
        (image.canonical, f"app image {image.canonical}: {image.detail or image.verdict}")
        for image in found.images
        if image.verdict is not Verdict.OK
    )


def collect(sysroot: Sysroot, progress: Progress, *, downloaded: Collection[str] = ()) -> None:
    """Remove app images that neither a deployment needs nor one that is still to be made.

    Args:
        sysroot: Where the store is.
        progress: Told of how many there were.
        downloaded: The commits of OS images that are stored to be deployed later.

    Raises:
        OrchError: what a deployment needs cannot be told; nothing was removed.
    """
    if not sysroot.store_path.is_dir():
        return
    from bound_images import default_lock, prune

    roots = [one.path for one in sysroot.deployments().all]
    records = [default_lock(sysroot.store_path, f"{commit}.*") for commit in downloaded]
    kept = [path for any_of in records for path in sorted(any_of.parent.glob(any_of.name))]
    plan = prune(sysroot.store_path, keep_roots=roots, keep_locks=kept)
    if plan.remove:
        progress.message(f"Pruned bound images: {len(plan.remove)}")


def next_name(sysroot: Sysroot, stateroot: str, commit: str) -> str:
    """Return the name that the next deployment of *commit* will get: the first free serial."""
    folder = sysroot.directories(f"ostree/deploy/{stateroot}/deploy")
    taken = [
        int(path.suffix[1:])
        for path in folder
        if path.stem == commit and path.suffix[1:].isdecimal()
    ]
    return f"{commit}.{max(taken, default=-1) + 1}"


def _sync_options(sysroot: Sysroot, options: BoundOptions) -> Any:  # noqa: ANN401 - see below
    """Return the options of `bound_images`, whose types are not loaded before they are needed."""
    from bound_images import SyncOptions

    transfer = options.transfer
    if transfer.authfile is None and not transfer.anonymous:
        transfer = replace(transfer, authfile=find_authfile())
    return SyncOptions(
        transfer,
        source=HOST_STORE if options.mode is BoundMode.STORED else None,
        host_files=options.host_files,
        # A bound unit says Policy=missing so that nothing is pulled at boot; an update follows
        # its tag all the same.
        refresh=True,
    )


def _teller(progress: Progress) -> Callable[[Any], None]:
    """Turn the events of `bound_images`, from any of its threads, into lines."""
    from bound_images import State

    lock = threading.Lock()

    def tell(event: Any) -> None:  # noqa: ANN401 - as above
        if event.state is State.PULLING and event.bytes == 0:
            with lock:
                progress.message(f"Fetching bound image: {event.image}")
        elif event.state is State.FAILED:
            with lock:
                progress.warning(f"{event.image}: {event.detail}")

    return tell
