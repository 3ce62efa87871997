"""Write a tree of files as an ostree commit, in the layers of an encapsulated image.

The serialisation is small enough to stand here: the bench must not use the code that it measures.
Source: libostree's ``ostree-core.h`` (object formats), GVariant's specification (framing offsets),
ostree-rs-ext (the layout of the layers).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from content import File, Pool
from tarstream import TarStream

REPOSITORY = "sysroot/ostree/repo"
CONFIG = b"[core]\nrepo_version=1\nmode=bare-split-xattrs\n"
REPOSITORY_DIRECTORIES = (
    "extensions", "refs", "refs/heads", "refs/mirrors", "refs/remotes", "state", "tmp", "tmp/cache",
)  # fmt: skip
DIRECTORY_MODE = 0o40755
REGULAR_TYPE = 0o100000


def content_checksum(mode: int, data: bytes) -> str:
    """Return the checksum of a regular file of root's, without extended attributes."""
    header = struct.pack(">IIII", 0, 0, REGULAR_TYPE | mode, 0) + b"\0" + bytes([17])
    digest = hashlib.sha256(struct.pack(">II", len(header), 0) + header)
    digest.update(data)
    return digest.hexdigest()


@dataclass(slots=True)
class Directory:
    """A directory of the commit while it is built: checksums of files, and subdirectories."""

    files: dict[str, str] = field(default_factory=dict)
    directories: dict[str, Directory] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetadataObject:
    """A dirtree, dirmeta or commit: its serialised bytes and its kind."""

    data: bytes
    kind: str

    @property
    def checksum(self) -> str:
        """The name of the object: 64 hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()


DIRMETA = MetadataObject(struct.pack(">III", 0, 0, DIRECTORY_MODE), "dirmeta")


def build_tree(files: Iterable[tuple[File, str]]) -> Directory:
    """Arrange *files*, each with its content checksum, in directories."""
    root = Directory()
    for file, checksum in files:
        *parents, name = file.path.split("/")
        directory = root
        for parent in parents:
            directory = directory.directories.setdefault(parent, Directory())
        directory.files[name] = checksum
    return root


def tree_objects(directory: Directory, path: str = "") -> Iterator[tuple[str, MetadataObject]]:
    """Yield (path, dirtree) for *directory* and what is below it; its own comes last."""
    children = []
    for name, child in sorted(directory.directories.items()):
        last = None
        for last in tree_objects(child, f"{path}/{name}" if path else name):
            yield last
        assert last is not None
        children.append((name, last[1].checksum))
    files = [
        _tuple([name.encode() + b"\0", bytes.fromhex(checksum)])
        for name, checksum in sorted(directory.files.items())
    ]
    subdirectories = [
        _tuple([name.encode() + b"\0", bytes.fromhex(checksum), bytes.fromhex(DIRMETA.checksum)])
        for name, checksum in children
    ]
    yield path, MetadataObject(_tuple([_array(files), _array(subdirectories)]), "dirtree")


def commit_object(root_checksum: str) -> MetadataObject:
    """Return a commit of the tree *root_checksum*: no metadata, no parent, no text, time zero."""
    body = b"\0\0".ljust(8, b"\0") + bytes(8)
    body += bytes.fromhex(root_checksum) + bytes.fromhex(DIRMETA.checksum)
    ends = (48, 2, 1, 0, 0, 0)  # dirtree, body, subject, related, parent, metadata
    return MetadataObject(body + bytes(ends), "commit")


def object_path(checksum: str, suffix: str) -> str:
    """Return where an object stands in a layer."""
    return f"{REPOSITORY}/objects/{checksum[:2]}/{checksum[2:]}.{suffix}"


def write_repository(tar: TarStream) -> None:
    """Write the empty repository that every ostree layer begins with."""
    for path in ("sysroot", "sysroot/ostree", REPOSITORY, f"{REPOSITORY}/objects"):
        tar.directory(path)
    for number in range(256):
        tar.directory(f"{REPOSITORY}/objects/{number:02x}")
    for name in REPOSITORY_DIRECTORIES:
        tar.directory(f"{REPOSITORY}/{name}")
    tar.file(f"{REPOSITORY}/config", CONFIG)


def write_commit_layer(tar: TarStream, tree: Directory) -> str:
    """Write the commit layer of *tree* without any file content; return the commit's checksum."""
    objects = list(tree_objects(tree))
    commit = commit_object(objects[-1][1].checksum)
    tar.directory("./")
    write_repository(tar)
    written: set[str] = set()
    for path, item in [("", commit), ("", DIRMETA), *reversed(objects)]:
        if path:
            tar.directory(path)
        if item.checksum not in written:
            tar.file(object_path(item.checksum, item.kind), item.data)
            written.add(item.checksum)
    tar.directory("var", 0o755)
    tar.directory("var/tmp", 0o1777)
    return commit.checksum


def write_content(tar: TarStream, files: Iterable[tuple[File, str]], pool: Pool) -> None:
    """Write one object for each of *files*, and the link to it at the file's own path."""
    for file, checksum in files:
        tar.file(object_path(checksum, "file-xattrs-link"), b"")
        tar.file(object_path(checksum, "file"), pool.content(file), file.mode)
        tar.hardlink(file.path, object_path(checksum, "file"), file.mode)


def _tuple(members: list[bytes]) -> bytes:
    """Serialise a tuple whose members are all of variable size and unaligned."""
    ends, position = [], 0
    for member in members[:-1]:
        position += len(member)
        ends.append(position)
    return b"".join(members) + _offsets(list(reversed(ends)), sum(map(len, members)))


def _array(items: list[bytes]) -> bytes:
    """Serialise an array of items of variable size, unaligned."""
    ends, position = [], 0
    for item in items:
        position += len(item)
        ends.append(position)
    return b"".join(items) + _offsets(ends, position)


def _offsets(ends: list[int], body: int) -> bytes:
    width = next(w for w in (1, 2, 4, 8) if body + w * len(ends) < 1 << (8 * w))
    return b"".join(end.to_bytes(width, "little") for end in ends)
