"""The private repository in which a pull prepares everything before anything is published.

It lies in ``tmp`` of the destination, so that its objects can be linked there, and names the
destination as its parent, so that ostree finds what is there already.  A pull that dies leaves it
behind; the next one takes over the layers that were finished in it, if the machine did not restart
in between, and removes it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootc_orch.model.image.refs import BLOB_PREFIX
from bootc_orch.ops.stored.workspace import locked_directory
from bootc_orch.stream.object_format import Mode
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import ReadOnlyError, ToolError

_BOOT_NAME = "boot-id"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Staging:
    """A staging repository that is in use.

    Attributes:
        path: Its own directory in ``tmp`` of the destination, for other temporary files too.
        repo: The repository in it.
        store: The objects of that repository, above those of the destination.
        destination: The repository for which all this is prepared.
    """

    path: Path
    repo: Path
    store: ObjectStore
    destination: Repo

    def layer_refs(self) -> dict[str, str]:
        """Return the refs of the layers that were finished here, and their commits."""
        heads = self.repo / "refs/heads"
        files = (file for file in (heads / BLOB_PREFIX).rglob("*") if file.is_file())
        return {str(file.relative_to(heads)): file.read_text().strip() for file in files}

    def write_detached(self, commit: str, data: bytes) -> None:
        """Lay serialised detached metadata beside *commit*; it is published with it."""
        path = Path(self.store.path(commit, "commitmeta"))
        path.write_bytes(data)
        path.chmod(0o644)

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
    """
    try:
        return Mode(repo.mode.value)
    except ValueError:
        raise ToolError(
            f"The repository {repo.path} is of mode {repo.mode}, which cannot hold OS images.",
            hint="Use a repository of mode bare, bare-user or archive.",
            path=str(repo.path),
        ) from None


def writable_mode(repo: Repo) -> Mode:
    """Return how *repo* keeps its objects, if this user can write such ones.

    Raises:
        ToolError: images cannot be kept in a repository of that mode.
        ReadOnlyError: objects of that mode can be written by root only.
    """
    mode = object_mode(repo)
    if mode is Mode.BARE and os.geteuid() != 0:
        raise ReadOnlyError(
            f"The repository {repo.path} is of mode bare, which only root can write.",
            hint="Run the command as root, or use a repository of mode bare-user.",
            path=str(repo.path),
        )
    return mode


@contextmanager
def open_staging(repo: Repo) -> Iterator[Staging]:
    """Make a staging repository and remove it when the block ends.

    Raises:
        OSError: the destination cannot be written.
    """
    mode = writable_mode(repo)
    path, lock = locked_directory(repo.path / "tmp")
    try:
        (path / _BOOT_NAME).write_text(_BOOT_ID.read_text())
        _make_repository(path / "repo", mode, repo.path)
        yield _staging(path, mode, repo)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def reopen_staging(path: Path, repo: Repo) -> Staging | None:
    """Return the staging repository that another process left at *path*, if it can be used.

    What was written before a process died is there as long as the machine runs; after a restart it
    may be there in part.
    """
    try:
        same_boot = (path / _BOOT_NAME).read_text() == _BOOT_ID.read_text()
    except FileNotFoundError:
        return None
    return _staging(path, object_mode(repo), repo) if same_boot else None


def _staging(path: Path, mode: Mode, repo: Repo) -> Staging:
    store = ObjectStore(path / "repo", mode, ObjectStore(repo.path, mode))
    return Staging(path, path / "repo", store, repo)


def _make_repository(path: Path, mode: Mode, parent: Path) -> None:
    """Lay out an empty repository; ``ostree init`` does the same, in a process of its own."""
    for name in ("objects", "tmp", "state", "extensions", "refs/heads", "refs/remotes"):
        (path / name).mkdir(parents=True)
    for number in range(256):
        (path / f"objects/{number:02x}").mkdir()
    config = f"[core]\nrepo_version=1\nmode={mode}\nparent={parent.resolve()}\n"
    (path / "config").write_text(config)
