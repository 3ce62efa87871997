"""Import an ostree layer: a tar archive of the objects of a repository.

The commit layer has one commit, its directories and the content that is in no chunk; a chunk layer
has content only.  Each object is named in the archive, so each is verified while it is written;
hard links to the objects at the paths of the real files are for other readers, and passed over.

Source: ostree-rs-ext, export formats 0 and 1, and the mode ``bare-split-xattrs`` they are made of.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from bootc_orch.model.gvariant import Commit, decode_dict, encode_chunk_dirtree
from bootc_orch.stream.commit_tree import CommitTree
from bootc_orch.stream.object_format import Attributes
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.stream.storable import check_serialized_xattrs, check_target
from bootc_orch.stream.tar import (
    DIRECTORY,
    HARDLINK,
    REGULAR,
    SMALL_BYTES,
    SYMLINK,
    Member,
    TarReader,
    locate_in_archive,
)
from bootc_orch.stream.trees import DEFAULT_DIRMETA
from orch_frame.errors import InvalidImageError, LimitError, OrchError
from orch_frame.text import printable

REPOSITORY = b"sysroot/ostree/repo/"
OBJECTS = b"sysroot/ostree/repo/objects/"
METADATA_BYTES_MAX = 10 * 1024 * 1024
XATTRS_BYTES_MAX = 1024 * 1024
# A chunk of half a million objects, which is five times the largest images of distributions whole.
KEPT_BYTES_MAX = 96 << 20
# What a checksum takes in a set, and a list of attributes beside its bytes, as Python 3.11 has it.
_CONTENT_BYTES = 180
_SHARED_BYTES = 300
_OBJECT = re.compile(
    rb"sysroot/ostree/repo/objects/([0-9a-f]{2})/([0-9a-f]{62})"
    rb"\.(commit|commitmeta|dirtree|dirmeta|file-xattrs-link|file-xattrs|file\.xattrs|file)"
)
_XATTRS_BY_SUM = re.compile(rb"sysroot/ostree/repo/xattrs/([0-9a-f]{64})")
_METADATA = (b"dirtree", b"dirmeta")


@dataclass(frozen=True, slots=True)
class OstreeLayer:
    """What an ostree layer held.

    Attributes:
        commit: For the commit layer the checksum of its commit, else None.
        commitmeta: The commit's detached metadata, serialised, if the layer has it.
        contents: Raw checksums of the content objects, sorted.
    """

    commit: str | None
    commitmeta: bytes | None
    contents: tuple[bytes, ...]


def import_ostree_layer(
    pieces: Iterable[bytes],
    store: ObjectStore,
    *,
    chunk: bool,
    verify_commit: Callable[[bytes, bytes | None], None] | None = None,
) -> OstreeLayer:
    """Write the objects of the archive *pieces* into *store*.

    Args:
        pieces: The uncompressed archive.
        store: Where the objects go.
        chunk: Whether only content may be there; otherwise a commit must come first.
        verify_commit: Given the commit and its detached metadata before anything is written;
            raises to refuse them.

    Raises:
        InvalidImageError: an object is malformed, repeated or in the wrong kind of layer.
        MismatchError: an object is not what its name says.
        LimitError: a metadata object is too large.
    """
    importer = _Importer(pieces, store, chunk=chunk, verify_commit=verify_commit)
    return importer.run()


def chunk_commit(store: ObjectStore, contents: Iterable[bytes]) -> str:
    """Write the commit that stands for a chunk layer and return its checksum.

    It is a flat directory of the layer's content objects, each under its own checksum as name, so
    that the same chunk has the same commit everywhere.
    """
    tree = store.add_metadata(encode_chunk_dirtree(contents), "dirtree")
    meta = store.add_metadata(DEFAULT_DIRMETA.encode(), "dirmeta")
    return store.add_metadata(Commit((), None, 0, tree, meta).encode(), "commit")


class _Importer:
    """One pass over one layer."""

    def __init__(
        self,
        pieces: Iterable[bytes],
        store: ObjectStore,
        *,
        chunk: bool,
        verify_commit: Callable[[bytes, bytes | None], None] | None,
    ) -> None:
        self._reader = TarReader(pieces)
        self._store = store
        self._chunk = chunk
        self._verify_commit = verify_commit
        self._commit: tuple[str, bytes] | None = None
        self._commit_written = False
        self._commitmeta: bytes | None = None
        self._contents: set[bytes] = set()
        self._xattrs_of: tuple[str, bytes] | None = None
        self._xattrs_by_sum: dict[bytes, bytes] = {}
        self._tree = CommitTree()
        self._kept = 0

    def run(self) -> OstreeLayer:
        for member in self._reader:
            # Directories and the links at real paths; objects are files and symbolic links.
            if member.type == DIRECTORY or not member.name.startswith(REPOSITORY):
                continue
            try:
                self._member(member)
            except OrchError as error:
                raise locate_in_archive(error, member) from error
        if not self._chunk:
            if self._commit is None:
                raise InvalidImageError("The first layer of the image holds no ostree commit.")
            self._write_commit()
            commit = Commit.decode(self._commit[1])
            self._tree.check(commit.tree, commit.meta)
        return OstreeLayer(
            self._commit[0] if self._commit else None,
            self._commitmeta,
            tuple(sorted(self._contents)),
        )

    def _member(self, member: Member) -> None:
        match = _OBJECT.fullmatch(member.name)
        if match is not None:
            self._object(member, (match[1] + match[2]).decode(), match[3])
        elif (shared := _XATTRS_BY_SUM.fullmatch(member.name)) is not None:
            self._share_xattrs(member, shared[1])
        elif member.name.startswith(OBJECTS):
            raise InvalidImageError(f"{printable(member.name)} is no object of a repository.")

    def _object(self, member: Member, checksum: str, kind: bytes) -> None:
        if kind == b"commit":
            self._take_commit(member, checksum)
            return
        if kind == b"commitmeta":
            self._take_commitmeta(member, checksum)
            return
        if not self._chunk:
            self._write_commit()
        if kind == b"file":
            self._file(member, checksum)
        elif kind in _METADATA:
            self._metadata(member, checksum, kind.decode())
        elif kind == b"file-xattrs":
            self._share_xattrs(member, checksum.encode())
        else:
            self._xattrs_of = (checksum, self._xattrs(member))

    def _take_commit(self, member: Member, checksum: str) -> None:
        if self._chunk or self._commit is not None:
            raise InvalidImageError(f"The layer has a commit out of place: {checksum}.")
        self._commit = (checksum, self._read(member, METADATA_BYTES_MAX))
        if sha256(self._commit[1]).hexdigest() != checksum:
            raise InvalidImageError(f"The commit {checksum} does not match its name.")
        Commit.decode(self._commit[1])

    def _take_commitmeta(self, member: Member, checksum: str) -> None:
        if self._commit is None or self._commit_written or self._commit[0] != checksum:
            raise InvalidImageError(f"The layer has detached metadata out of place: {checksum}.")
        self._commitmeta = self._read(member, METADATA_BYTES_MAX)
        decode_dict(self._commitmeta)

    def _write_commit(self) -> None:
        """Write the commit once what follows it shows whether it has detached metadata."""
        if self._commit_written:
            return
        if self._commit is None:
            raise InvalidImageError("The first layer of the image does not begin with a commit.")
        checksum, data = self._commit
        if self._verify_commit is not None:
            self._verify_commit(data, self._commitmeta)
        self._store.add_metadata(data, "commit", expected=checksum)
        self._commit_written = True

    def _metadata(self, member: Member, checksum: str, kind: str) -> None:
        if self._chunk:
            raise InvalidImageError(f"A chunk layer has the metadata object {checksum}.{kind}.")
        data = self._read(member, METADATA_BYTES_MAX)
        self._store.add_metadata(data, kind, expected=checksum)
        self._keep(self._tree.add(checksum, kind, data))

    def _share_xattrs(self, member: Member, name: bytes) -> None:
        """Keep attributes that later objects name by their checksum."""
        data = self._read(member, XATTRS_BYTES_MAX)
        if sha256(data).hexdigest().encode() != name:
            raise InvalidImageError(f"The attributes {name.decode()} do not match their name.")
        if name not in self._xattrs_by_sum:
            self._keep(_SHARED_BYTES + len(data))
        self._xattrs_by_sum[name] = data

    def _keep(self, count: int) -> None:
        """Account for *count* bytes that stay in memory until the layer is complete."""
        self._kept += count
        if self._kept > KEPT_BYTES_MAX:
            raise LimitError(
                "The layer has too many objects: to handle them takes more than "
                f"{KEPT_BYTES_MAX >> 20} MiB of memory."
            )

    def _xattrs(self, member: Member) -> bytes:
        if member.type == REGULAR:
            return self._read(member, XATTRS_BYTES_MAX)
        name = _linked_xattrs(member.link) if member.type == HARDLINK else None
        shared = self._xattrs_by_sum.get(name) if name else None
        if shared is None:
            raise InvalidImageError(f"{printable(member.name)} has no attributes to link to.")
        return shared

    def _file(self, member: Member, checksum: str) -> None:
        owner, xattrs = self._xattrs_of or ("", b"")
        self._xattrs_of = None
        if owner != checksum:
            raise InvalidImageError(
                f"The content object {checksum} does not follow its attributes."
            )
        raw = bytes.fromhex(checksum)
        if raw in self._contents:
            if self._chunk:
                raise InvalidImageError(f"The layer has the object {checksum} twice.")
            return
        check_serialized_xattrs(
            xattrs, of=f"The content object {checksum}", link=member.type == SYMLINK
        )
        self._write_file(member, checksum, xattrs)
        self._keep(_CONTENT_BYTES)
        self._contents.add(raw)

    def _write_file(self, member: Member, checksum: str, xattrs: bytes) -> None:
        if member.type == SYMLINK:
            check_target(member.link, of=f"The content object {checksum}")
            mode = stat.S_IFLNK | 0o777
            attributes = Attributes(member.uid, member.gid, mode, xattrs, member.link)
            self._store.add_file(attributes, b"", expected=checksum)
            return
        if member.type != REGULAR:
            raise InvalidImageError(f"The content object {checksum} is neither file nor link.")
        attributes = Attributes(member.uid, member.gid, stat.S_IFREG | member.mode, xattrs)
        if member.size > SMALL_BYTES:
            pieces = self._reader.pieces()
            self._store.add_large_file(attributes, member.size, pieces, expected=checksum)
        else:
            self._store.add_file(attributes, self._reader.read(), expected=checksum)

    def _read(self, member: Member, limit: int) -> bytes:
        if member.type != REGULAR:
            raise InvalidImageError(f"The object {printable(member.name)} is not a regular file.")
        if member.size > limit:
            raise LimitError(f"The object {printable(member.name)} has {member.size} bytes.")
        return self._reader.read()


def _linked_xattrs(target: bytes) -> bytes | None:
    """Return the checksum of the attributes that an older format links to."""
    if (match := _XATTRS_BY_SUM.fullmatch(target)) is not None:
        return match[1]
    match = _OBJECT.fullmatch(target)
    return match[1] + match[2] if match is not None and match[3] == b"file-xattrs" else None
