"""Read an ostree repository's files directly: refs, commits, trees, detached metadata.

A process for every ref or commit would cost more than the whole command; what is written goes
through the ostree program (`repo`), but for detached metadata, which it cannot
edit.  Metadata objects are checked against their checksum whenever they are read.
Source: ostree's repository layout (``refs/heads/REF``, ``objects/XX/REST.TYPE``) and formats.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from bootc_orch.model.gvariant import (
    Commit,
    Dirmeta,
    Dirtree,
    Variant,
    decode_dict,
    encode_dict,
    is_chunk_dirtree,
)
from bootc_orch.tools.ostree.files import (
    RefScan,
    damage_or_io,
    read_bytes,
    read_ref,
    scan_refs,
    write_atomically,
)
from orch_frame.errors import InvalidImageError, NotFoundError, StoreDamagedError

T = TypeVar("T")

_ARCHIVE_SIZE_OFFSET = 8


class RepoMode(StrEnum):
    """How a repository stores content, by the name in its configuration."""

    BARE = "bare"
    BARE_USER = "bare-user"
    BARE_USER_ONLY = "bare-user-only"
    BARE_SPLIT_XATTRS = "bare-split-xattrs"
    ARCHIVE = "archive-z2"


@dataclass(slots=True)
class Reach:
    """The objects that some commits consist of.

    Attributes:
        commits: Checksums of the commits.
        trees: Raw checksums of dirtrees.
        metas: Raw checksums of dirmetas.
        files: Raw checksums of content objects.
    """

    commits: set[str] = field(default_factory=set)
    trees: set[bytes] = field(default_factory=set)
    metas: set[bytes] = field(default_factory=set)
    files: set[bytes] = field(default_factory=set)


class Objects:
    """The files of the repository at *path*.

    Raises:
        NotFoundError: *path* holds no repository.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "objects").is_dir() or not (path / "config").is_file():
            raise NotFoundError(
                f"{path} is not an ostree repository.",
                hint=f"Create one with: ostree init --mode=bare --repo={path}",
                path=str(path),
            )

    @cached_property
    def mode(self) -> RepoMode:
        """How content is stored.

        Raises:
            StoreDamagedError: the configuration cannot be read or names an unknown mode.
        """
        from configparser import ConfigParser
        from configparser import Error as ConfigError

        config = ConfigParser(interpolation=None, strict=False)
        try:
            config.read_string(read_bytes(self.path / "config").decode())
            text = config.get("core", "mode")
            return RepoMode("archive-z2" if text == "archive" else text)
        except (ConfigError, ValueError) as error:
            raise StoreDamagedError(
                f"The configuration of repository {self.path} is damaged.",
                details=str(error),
                path=str(self.path / "config"),
            ) from error

    def scan_refs(self, prefix: str = "", *, below: str = "heads") -> RefScan:
        """Read every ref that is *prefix* or below it, in ``refs/BELOW``, sorted."""
        return scan_refs(self.path / "refs" / below, prefix)

    def refs(self, prefix: str = "", *, below: str = "heads") -> dict[str, str]:
        """Map every ref that is *prefix* or below it to its commit.

        Raises:
            StoreDamagedError: one of them cannot be read.
        """
        scan = self.scan_refs(prefix, below=below)
        for ref, reason in scan.damaged.items():
            raise self._damaged_ref(ref, reason)
        return dict(scan.commits)

    def rev_parse(self, ref: str) -> str | None:
        """Return the commit *ref* points to, 64 hexadecimal digits, or None if there is no ref.

        Raises:
            StoreDamagedError: the ref cannot be read.
        """
        try:
            return read_ref(self.path / "refs/heads", ref)
        except NotFoundError:
            return None
        except StoreDamagedError as error:
            raise self._damaged_ref(ref, error.summary) from error

    def rev_parse_intact(self, ref: str) -> str | None:
        """Do the same for who would set *ref* anew: one that cannot be read is none."""
        try:
            return self.rev_parse(ref)
        except StoreDamagedError:
            return None

    def _damaged_ref(self, ref: str, reason: str) -> StoreDamagedError:
        return StoreDamagedError(
            f"Ref {ref} of {self.path} is damaged: {reason}.",
            hint="Find out what it belongs to, and what to do, with: bootc-orch fsck",
        )

    def object_path(self, checksum: str, kind: str) -> Path:
        """Where the object *checksum* of *kind* (``commit``, ``dirtree``, …) is or would be."""
        return self.path / "objects" / checksum[:2] / f"{checksum[2:]}.{kind}"

    def content_path(self, checksum: str) -> Path:
        """Where the content object *checksum* is or would be."""
        return self.object_path(checksum, self.content_kind)

    @cached_property
    def content_kind(self) -> str:
        """The suffix of content objects: ``filez`` in an archive, else ``file``."""
        return "filez" if self.mode is RepoMode.ARCHIVE else "file"

    def has_commit(self, checksum: str) -> bool:
        """Say whether the commit object is there; its content may still be missing."""
        return self.object_path(checksum, "commit").exists()

    def commit(self, checksum: str) -> Commit:
        """Read a commit.

        Raises:
            StoreDamagedError: it is missing or not what its checksum says.
        """
        return _decode(Commit.decode, self._metadata(checksum, "commit"), checksum)

    def dirtree(self, checksum: str) -> Dirtree:
        """Read the entries of a directory.

        Raises:
            StoreDamagedError: the object is missing or not what its checksum says.
        """
        return _decode(Dirtree.decode, self._metadata(checksum, "dirtree"), checksum)

    def is_chunk_tree(self, checksum: str) -> bool:
        """Say whether a directory is that of a chunk layer: files named by their checksums.

        Raises:
            StoreDamagedError: the object is missing or not what its checksum says.
        """
        return _decode(is_chunk_dirtree, self._metadata(checksum, "dirtree"), checksum)

    def dirmeta(self, checksum: str) -> Dirmeta:
        """Read the attributes of a directory.

        Raises:
            StoreDamagedError: the object is missing or not what its checksum says.
        """
        return _decode(Dirmeta.decode, self._metadata(checksum, "dirmeta"), checksum)

    def detached_metadata(self, commit: str) -> dict[str, Variant]:
        """Read what is attached to *commit* without being part of it; empty if nothing is.

        Raises:
            StoreDamagedError: it cannot be read.
        """
        path = self.object_path(commit, "commitmeta")
        try:
            return dict(decode_dict(read_bytes(path)))
        except NotFoundError:
            return {}
        except InvalidImageError as error:
            raise StoreDamagedError(
                f"The detached metadata of commit {commit} is damaged.",
                details=error.summary,
                path=str(path),
            ) from error

    def write_detached_metadata(self, commit: str, metadata: Mapping[str, Variant]) -> None:
        """Replace what is attached to *commit*, atomically; remove it if *metadata* is empty."""
        path = self.object_path(commit, "commitmeta")
        if not metadata:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, encode_dict(metadata.items()), self.path / "tmp")

    def is_partial(self, commit: str) -> bool:
        """Say whether *commit* is marked as lacking some of its objects."""
        return (self.path / "state" / f"{commit}.commitpartial").exists()

    def collect(self, commit: str, into: Reach) -> None:
        """Add every object of *commit* to *into*, its parents excepted.

        Of a commit that is marked as partial, what is missing is passed over.

        Raises:
            StoreDamagedError: a metadata object is missing or damaged.
        """
        if commit in into.commits:
            return
        partial = self.is_partial(commit)
        head = self.commit(commit)
        into.commits.add(commit)
        into.metas.add(bytes.fromhex(head.meta))
        pending = [bytes.fromhex(head.tree)]
        while pending:
            checksum = pending.pop()
            if checksum in into.trees:
                continue
            into.trees.add(checksum)
            if partial and not self.object_path(checksum.hex(), "dirtree").exists():
                continue
            tree = self.dirtree(checksum.hex())
            into.files.update(file for _, file in tree.files)
            into.metas.update(meta for _, _, meta in tree.dirs)
            pending.extend(child for _, child, _ in tree.dirs)

    def content_size(self, checksum: str) -> int:
        """The length in bytes of a file's content; nothing for a symbolic link, in every mode.

        Raises:
            StoreDamagedError: the object is missing or damaged.
        """
        path = self.content_path(checksum)
        try:
            if self.mode is not RepoMode.ARCHIVE:
                status = path.lstat()
                return 0 if self._is_link(path, status.st_mode) else status.st_size
            with path.open("rb") as file:
                head = file.read(_ARCHIVE_SIZE_OFFSET + 8)
        except OSError as error:
            raise damage_or_io(error, path) from error
        return int.from_bytes(head[_ARCHIVE_SIZE_OFFSET:], "big")

    def _is_link(self, path: Path, mode: int) -> bool:
        """Say whether a content object is a symbolic link; ``bare-user`` keeps those in files."""
        if self.mode is not RepoMode.BARE_USER:
            return stat.S_ISLNK(mode)
        meta = _decode(Dirmeta.decode, os.getxattr(path, "user.ostreemeta"), path.name)
        return stat.S_ISLNK(meta.mode)

    def stored(self) -> Iterator[tuple[str, int]]:
        """Yield each object file, named ``CHECKSUM.TYPE``, with its length on disk."""
        for directory in sorted((self.path / "objects").iterdir()):
            try:
                entries = list(os.scandir(directory))
            except NotADirectoryError:
                continue
            for entry in entries:
                yield directory.name + entry.name, entry.stat(follow_symlinks=False).st_size

    def _metadata(self, checksum: str, kind: str) -> bytes:
        path = self.object_path(checksum, kind)
        try:
            data = read_bytes(path)
        except NotFoundError as error:
            raise StoreDamagedError(
                f"Object {checksum}.{kind} is missing from {self.path}.",
                hint=f"Look for more damage with: bootc-orch fsck --repo {self.path}",
                path=str(path),
            ) from error
        if hashlib.sha256(data).hexdigest() != checksum:
            raise StoreDamagedError(
                f"Object {checksum}.{kind} in {self.path} is not what its checksum says.",
                hint=f"Look for more damage with: bootc-orch fsck --repo {self.path}",
                path=str(path),
            )
        return data


def _decode(decode: Callable[[bytes], T], data: bytes, checksum: str) -> T:
    try:
        return decode(data)
    except InvalidImageError as error:
        raise StoreDamagedError(f"Object {checksum} is malformed: {error.summary}") from error
