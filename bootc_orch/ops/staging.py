"""The private repository in which a pull prepares everything before anything is published.

It lies in ``tmp`` of the destination, so that its objects can be linked there, and names the
destination as its parent, so that ostree finds what is there already.  A pull that dies leaves it
behind; the next one takes over the layers that were finished in it, if the machine did not restart
in between, and removes it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootc_orch.errors import OrchError, ReadOnlyError, ToolError
from bootc_orch.model.refs import BLOB_PREFIX
from bootc_orch.stream.objects import Mode, ObjectStore
from bootc_orch.tools.ostree import Repo

logger = logging.getLogger(__name__)

PREFIX = "bootc-orch-"
_LOCK = "lock"
_BOOT = "boot-id"
_LOCKLESS_SECONDS = 60.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Staging:
    """A staging repository that is in use.

    Attributes:
        path: Its own directory in ``tmp`` of the destination, for other temporary files too.
        repo: The repository in it.
        store: The objects of that repository, above those of the destination.
    """

    path: Path
    repo: Path
    store: ObjectStore

    def set_ref(self, ref: str, commit: str) -> None:
        """Point *ref* of the staging repository to *commit*; atomic."""
        path = self.repo / "refs/heads" / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.repo / "tmp" / f"ref-{secrets.token_hex(8)}"
        temporary.write_text(f"{commit}\n")
        temporary.rename(path)


def object_mode(repo: Repo) -> Mode:
    """Return how *repo* keeps its objects.

    Raises:
        ToolError: images cannot be kept in a repository of that mode.
        ReadOnlyError: objects of that mode can be written by root only.
    """
    try:
        mode = Mode(repo.mode.value)
    except ValueError:
        raise ToolError(
            f"The repository {repo.path} is of mode {repo.mode}, which cannot hold OS images.",
            hint="Use a repository of mode bare, bare-user or archive.",
            path=str(repo.path),
        ) from None
    if mode is Mode.BARE and os.geteuid() != 0:
        raise ReadOnlyError(
            f"The repository {repo.path} is of mode bare, which only root can write.",
            hint="Run as root, or use a repository of mode bare-user.",
            path=str(repo.path),
        )
    return mode


@contextmanager
def open_staging(repo: Repo) -> Iterator[Staging]:
    """Make a staging repository and remove it when the block ends.

    Raises:
        OSError: the destination cannot be written.
    """
    mode = object_mode(repo)
    path = repo.path / "tmp" / f"{PREFIX}{secrets.token_hex(8)}"
    path.mkdir(mode=0o700)
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (path / _BOOT).write_text(_BOOT_ID.read_text())
        store = ObjectStore(path / "repo", mode, ObjectStore(repo.path, mode))
        _make_repository(path / "repo", mode, repo.path)
        yield Staging(path, path / "repo", store)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def recover(repo: Repo) -> None:
    """Take over the finished layers of pulls that died, and remove what they left.

    Raises:
        OSError: the leftovers cannot be removed.
    """
    for path in sorted((repo.path / "tmp").glob(f"{PREFIX}*")):
        if path.is_dir():
            with _abandoned(path) as abandoned:
                if abandoned:
                    _salvage(path, repo)
                    shutil.rmtree(path)


@contextmanager
def _abandoned(path: Path) -> Iterator[bool]:
    """Say whether no process works in *path*, and keep others from it meanwhile."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # its owner has just made it, or just removed it, or died in between
        yield _age(path) > _LOCKLESS_SECONDS
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


def _salvage(path: Path, repo: Repo) -> None:
    """Publish the layers that were finished in the staging repository at *path*.

    A layer has its ref there only after it was verified, and what was written before a process
    died is there as long as the machine runs; after a restart it may be there in part.
    """
    heads = path / "repo/refs/heads"
    refs = [
        str(file.relative_to(heads)) for file in (heads / BLOB_PREFIX).rglob("*") if file.is_file()
    ]
    try:
        same_boot = (path / _BOOT).read_text() == _BOOT_ID.read_text()
        if refs and same_boot:
            repo.pull_local(path / "repo", sorted(refs), verify_bindings=False)
            logger.info("Took over %d layers of a pull that was cut off.", len(refs))
    except (OrchError, OSError) as error:
        logger.info("What a pull that was cut off left is not usable: %s", error)


def _make_repository(path: Path, mode: Mode, parent: Path) -> None:
    """Lay out an empty repository; ``ostree init`` does the same, in a process of its own."""
    for name in ("objects", "tmp", "state", "extensions", "refs/heads", "refs/remotes"):
        (path / name).mkdir(parents=True)
    for number in range(256):
        (path / f"objects/{number:02x}").mkdir()
    config = f"[core]\nrepo_version=1\nmode={mode}\nparent={parent.resolve()}\n"
    (path / "config").write_text(config)
