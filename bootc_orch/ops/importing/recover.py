"""Clean up after processes that died: every pull begins with it.

Layers that were finished are taken over, and what else was left is removed.  ostree marks a commit
as partial while it is pulled; a mark that outlived its reason hides a good commit, so it is removed
once every object of the commit is there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bootc_orch.ops.importing.publish import publish_complete_layers
from bootc_orch.ops.importing.staging import Staging, object_mode, reopen_staging
from bootc_orch.ops.stored.workspace import PREFIX
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.tools.ostree.objects import Reach
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import OrchError

logger = logging.getLogger(__name__)

# A file that is being written has no lock; one that is this old has no writer any more.
_WRITING_SECONDS = 60.0
_PARTIAL = ".commitpartial"
# ostree's own directories for new objects each have a lock of this kind beside them.
# Source: libglnx, glnx_make_lock_file; fcntl(2), open file description locks.
_OSTREE_LOCKS = "staging-*-lock"
_WRITE_LOCK = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def recover(repo: Repo) -> None:
    """Bring *repo* in order.

    Raises:
        OSError: leftovers cannot be removed.
    """
    for path in sorted((repo.path / "tmp").glob(f"{PREFIX}*")):
        if not path.is_dir():
            if _age(path) > _WRITING_SECONDS:
                path.unlink(missing_ok=True)
            continue
        with _claim_abandoned(path) as abandoned:
            if abandoned:
                _salvage(path, repo)
                shutil.rmtree(path)
    for lock in sorted((repo.path / "tmp").glob(_OSTREE_LOCKS)):
        _sweep_ostree_lock(lock)
    for mark in sorted((repo.path / "state").glob(f"*{_PARTIAL}")):
        if is_complete(repo, mark.name.removesuffix(_PARTIAL)):
            logger.info("Removing the mark %s: the commit is complete.", mark)
            mark.unlink(missing_ok=True)


def is_complete(repo: Repo, commit: str) -> bool:
    """Say whether every object of *commit* is there."""
    store = ObjectStore(repo.path, object_mode(repo))
    reach = Reach()
    try:
        repo.collect(commit, reach)
    except OrchError:
        return False
    return (
        all(store.has(tree.hex(), "dirtree") for tree in reach.trees)
        and all(store.has(meta.hex(), "dirmeta") for meta in reach.metas)
        and all(store.has_file(file.hex()) for file in reach.files)
    )


def _sweep_ostree_lock(path: Path) -> None:
    """Remove the lock of a directory that ostree had removed when it was killed; it never would.

    A lock that is held, or whose directory is there for the next transaction, is left alone.
    """
    if path.with_name(path.name.removesuffix("-lock")).exists():
        return
    with suppress(OSError), path.open("r+b") as lock:
        fcntl.fcntl(lock, fcntl.F_OFD_SETLK, _WRITE_LOCK)
        path.unlink()


@contextmanager
def _claim_abandoned(path: Path) -> Iterator[bool]:
    """Say whether no process works in *path*, and keep others from it meanwhile."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # its owner has just removed it
        yield False
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(lock)


def _age(path: Path) -> float:
    """Seconds since *path* changed; nothing for what has gone."""
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def keep_finished_layers(staging: Staging) -> None:
    """Publish the layers that were finished in *staging*, for the next pull to find.

    A layer has its ref there only after it was verified.  What cannot be kept is fetched again.
    """
    try:
        layers = staging.layer_refs()
        if layers:
            kept = publish_complete_layers(layers, staging)
            logger.info("Took over %d layers of a pull that was cut off.", kept)
    except (OrchError, OSError) as error:
        logger.info("What a pull that was cut off left is not usable: %s", error)


def _salvage(path: Path, repo: Repo) -> None:
    """Take over the layers that were finished in the staging repository at *path*."""
    try:
        staging = reopen_staging(path, repo)
        if staging is not None:
            staging.store.discard_unfinished()
    except (OrchError, OSError) as error:
        logger.info("What a pull that was cut off left is not usable: %s", error)
        return
    if staging is not None:
        keep_finished_layers(staging)
