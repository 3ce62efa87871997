"""Verify the objects of commits: that each is there and is what its checksum says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from bootc_orch.ops.importing.staging import object_mode
from bootc_orch.stream.object_format import Attributes, StoredFile, checksum_head
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import OrchError


class Verifier:
    """Walks commits of one repository; every object is looked at once.

    Args:
        repo: The repository.
        contents: Whether to read and hash the content of files, or only see whether it is there.
    """

    def __init__(self, repo: Repo, *, contents: bool) -> None:
        self._repo = repo
        self._contents = contents
        self._store = ObjectStore(repo.path, object_mode(repo))
        self._files: dict[bytes, bool] = {}
        self._trees: dict[bytes, frozenset[str]] = {}
        self._metas: dict[bytes, bool] = {}

    @property
    def checked(self) -> int:
        """How many objects were looked at, commits aside."""
        return len(self._files) + len(self._trees) + len(self._metas)

    def damage(self, commit: str) -> frozenset[str]:
        """Return the objects of *commit*, named ``CHECKSUM.TYPE``, that are missing or damaged."""
        try:
            head = self._repo.commit(commit)
        except OrchError:
            return frozenset({f"{commit}.commit"})
        bad = self._tree(bytes.fromhex(head.tree))
        return bad if self._meta(bytes.fromhex(head.meta)) else bad | {f"{head.meta}.dirmeta"}

    def _tree(self, checksum: bytes) -> frozenset[str]:
        if checksum in self._trees:
            return self._trees[checksum]
        try:
            tree = self._repo.dirtree(checksum.hex())
        except OrchError:
            found = frozenset({f"{checksum.hex()}.dirtree"})
        else:
            files = {f"{file.hex()}.file" for _, file in tree.files if not self._file(file)}
            metas = {f"{meta.hex()}.dirmeta" for _, _, meta in tree.dirs if not self._meta(meta)}
            below: Iterable[frozenset[str]] = (self._tree(child) for _, child, _ in tree.dirs)
            found = frozenset(files | metas).union(*below)
        self._trees[checksum] = found
        return found

    def _meta(self, checksum: bytes) -> bool:
        if checksum not in self._metas:
            try:
                self._repo.dirmeta(checksum.hex())
                self._metas[checksum] = True
            except OrchError:
                self._metas[checksum] = False
        return self._metas[checksum]

    def is_sound(self, checksum: str) -> bool:
        """Say whether the content object *checksum* is there and whole."""
        return self._file(bytes.fromhex(checksum))

    def _file(self, checksum: bytes) -> bool:
        if checksum not in self._files:
            self._files[checksum] = self._read(checksum.hex())
        return self._files[checksum]

    def _read(self, checksum: str) -> bool:
        if not self._contents:
            return self._store.has_file(checksum)
        try:
            return content_checksum(self._store.open_file(checksum)) == checksum
        except (OrchError, OSError, ValueError):
            return False


def content_checksum(stored: StoredFile) -> str:
    """Return the checksum that *stored* should have as its name.

    Raises:
        OSError: it cannot be read.
        StoreDamagedError: its compressed content is malformed.
    """
    digest = hashlib.sha256(checksum_head(Attributes.of(stored.header)))
    for piece in stored.pieces():
        digest.update(piece)
    return digest.hexdigest()


def affected(damage: Mapping[str, frozenset[str]]) -> dict[str, tuple[str, ...]]:
    """Turn "commit to its damaged objects" round: each damaged object to its commits, sorted."""
    found: dict[str, list[str]] = {}
    for commit, objects in damage.items():
        for name in objects:
            found.setdefault(name, []).append(commit)
    return {name: tuple(sorted(commits)) for name, commits in sorted(found.items())}
