"""The tree of a commit that is not deployed yet: single files, or all of it in a directory."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootc_orch.model.gvariant import Dirtree
from bootc_orch.ops.stored.workspace import workspace
from bootc_orch.process import run
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import InvalidImageError, LimitError, StoreDamagedError

FILE_LIMIT = 1 << 20


class CommitTree:
    """The files of *commit* in *repo*, a repository whose content objects are plain files."""

    def __init__(self, repo: Repo, commit: str) -> None:
        self._repo = repo
        self.commit = commit
        self._root = repo.commit(commit).tree

    def directory(self, path: str) -> Dirtree | None:
        """Return the entries of the directory *path* below the root, or None if there is none."""
        tree = self._repo.dirtree(self._root)
        for part in Path(path).parts:
            child = next((entry for entry in tree.dirs if entry[0] == part.encode()), None)
            if child is None:
                return None
            tree = self._repo.dirtree(child[1].hex())
        return tree

    def find(self, path: str) -> str | None:
        """Return the checksum of the file *path*, or None if nothing is there."""
        folder = self.directory(str(Path(path).parent))
        name = Path(path).name.encode()
        found = (
            next((entry for entry in folder.files if entry[0] == name), None) if folder else None
        )
        return None if found is None else found[1].hex()

    def read(self, path: str, *, limit: int = FILE_LIMIT) -> bytes | None:
        """Return the content of the regular file *path*, as `content` finds it."""
        content = self.content(path, limit=limit)
        return None if content is None else content.read_bytes()

    def content(self, path: str, *, limit: int) -> Path | None:
        """Return where the content of the regular file *path* lies; None if nothing is there.

        Raises:
            InvalidImageError: it is no regular file.
            LimitError: it is longer than *limit* bytes.
        """
        found = self.find(path)
        if found is None:
            return None
        content = self._repo.content_path(found)
        try:
            status = content.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise InvalidImageError(f"{path} in the image is no regular file.", path=path)
            if status.st_size > limit:
                raise LimitError(f"{path} in the image is longer than {limit} bytes.", path=path)
        except FileNotFoundError as error:
            raise StoreDamagedError(
                f"The content of {path} in commit {self.commit} is missing.", path=str(content)
            ) from error
        return content


@contextmanager
def checked_out(repo: Repo, commit: str) -> Iterator[Path]:
    """Check *commit* out beside the repository's objects while the block runs.

    Files are hard links to objects, so nothing may write there; a block that runs foreign code
    shows it a read-only mount.
    """
    with workspace(repo, "root") as work:
        root = work / "root"
        run(["ostree", "checkout", f"--repo={repo.path}", "--require-hardlinks", commit, str(root)])
        yield root
