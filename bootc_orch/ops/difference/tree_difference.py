"""Which paths differ between the trees of two commits, by checksums alone.

What two trees share is passed over by the checksum of the directory that holds it, and no content
is read: the cost grows with what differs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bootc_orch.model.gvariant import Dirtree
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import LimitError

# Directories are shared by checksum, so a few objects can stand for any number of paths.
MAX_PATHS = 1 << 22


@dataclass(frozen=True, slots=True)
class TreeDifference:
    """Paths from the root on, sorted; that of a directory ends in a slash.

    Attributes:
        added: What only the new tree has; of a directory also all that is below it.
        removed: What only the old tree has, likewise.
        changed: What both have with other content, owner, mode or xattrs, or as something else.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def compare_trees(repo: Repo, old: str | None, new: str) -> TreeDifference:
    """Compare the trees of the commits *old*, None for an empty one, and *new*.

    Raises:
        StoreDamagedError: a commit or a directory is missing or damaged.
        LimitError: more than `MAX_PATHS` paths differ.
    """
    walk = _Walk(repo)
    after = repo.commit(new)
    if old is None:
        walk.all_below(after.tree, "/", walk.added)
    else:
        before = repo.commit(old)
        if before.meta != after.meta:
            walk.note(walk.changed, "/")
        walk.compare(before.tree, after.tree, "/")
    return TreeDifference(
        tuple(sorted(walk.added)), tuple(sorted(walk.removed)), tuple(sorted(walk.changed))
    )


@dataclass(slots=True)
class _Walk:
    """Goes through two trees side by side."""

    repo: Repo
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    count: int = 0

    def note(self, where: list[str], path: str) -> None:
        self.count += 1
        if self.count > MAX_PATHS:
            raise LimitError(f"More than {MAX_PATHS} files differ.")
        where.append(path)

    def compare(self, old: str, new: str, path: str) -> None:
        """Compare the dirtrees *old* and *new*, both at *path*, which ends in a slash."""
        if old == new:
            return
        before, after = self.repo.dirtree(old), self.repo.dirtree(new)
        old_dirs, new_dirs = _directories(before), _directories(after)
        old_files, new_files = dict(before.files), dict(after.files)
        for name, checksum in new_files.items():
            here = path + _text(name)
            if name in old_files or name in old_dirs:
                if old_files.get(name) != checksum:
                    self.note(self.changed, here)
            else:
                self.note(self.added, here)
        for name in old_files.keys() - new_files.keys() - new_dirs.keys():
            self.note(self.removed, path + _text(name))
        for name, (tree, meta) in new_dirs.items():
            here = f"{path}{_text(name)}/"
            if name in old_dirs:
                if old_dirs[name][1] != meta:
                    self.note(self.changed, here)
                self.compare(old_dirs[name][0], tree, here)
            else:
                self.note(self.changed if name in old_files else self.added, here)
                self.all_below(tree, here, self.added)
        for name in old_dirs.keys() - new_dirs.keys():
            here = f"{path}{_text(name)}/"
            if name not in new_files:
                self.note(self.removed, here)
            self.all_below(old_dirs[name][0], here, self.removed)

    def all_below(self, tree: str, path: str, where: list[str]) -> None:
        """Note everything below the dirtree *tree*, which is at *path*."""
        entries = self.repo.dirtree(tree)
        for name, _ in entries.files:
            self.note(where, path + _text(name))
        for name, (child, _) in _directories(entries).items():
            here = f"{path}{_text(name)}/"
            self.note(where, here)
            self.all_below(child, here, where)


def _directories(entries: Dirtree) -> dict[bytes, tuple[str, bytes]]:
    """Map each directory to its dirtree, in hexadecimal digits, and its dirmeta."""
    return {name: (tree.hex(), meta) for name, tree, meta in entries.dirs}


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
