"""The objects of an ostree repository: where they are, and how they are written.

An object is named by the SHA-256 of what it is: attributes and content.  It is written beside its
place or, where the whole content is at hand, in one go; a file that is there is complete unless the
process died in that very write, and then the repository, a private staging one, is thrown away.
Nothing here makes anything visible: refs do.

Source: ostree's repository layout.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Self

from bootc_orch.model.gvariant import decode_xattrs
from bootc_orch.stream.object_format import (
    PIECE_BYTES,
    Attributes,
    Mode,
    StoredFile,
    checksum_head,
    filez,
    open_stored,
    set_attributes,
)
from bootc_orch.stream.storable import set_xattrs
from orch_frame.errors import InvalidImageError, MismatchError, StoreDamagedError

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_EPOCH = (0, 0)
_CLAIM_POLL_SECONDS = 0.0005
_numbers = itertools.count()


class ObjectStore:
    """The ``objects`` directory of a repository.

    Args:
        repository: The repository.
        mode: How it keeps content.
        lower: A repository whose objects need not be written again.

    Attributes:
        content_suffix: What the names of content objects end in, with its dot.
    """

    def __init__(self, repository: Path, mode: Mode, lower: ObjectStore | None = None) -> None:
        self.repository = repository
        self.mode = mode
        self.lower = lower
        self.content_suffix = ".filez" if mode is Mode.ARCHIVE else ".file"
        self._root = f"{repository}/objects/"
        self._busy: dict[str, object] = {}

    def path(self, checksum: str, extension: str) -> str:
        """Return where an object lies; *extension* is ``commit``, ``dirtree`` and so on."""
        return f"{self._root}{checksum[:2]}/{checksum[2:]}.{extension}"

    def file_path(self, checksum: str) -> str:
        """Return where a content object lies."""
        return f"{self._root}{checksum[:2]}/{checksum[2:]}{self.content_suffix}"

    def has(self, checksum: str, extension: str) -> bool:
        """Say whether a metadata object is there, or in the lower store."""
        if self._is_complete(self.path(checksum, extension)):
            return True
        return self.lower is not None and self.lower.has(checksum, extension)

    def has_file(self, checksum: str) -> bool:
        """Say whether a content object is there, or in the lower store."""
        if self._is_complete(self.file_path(checksum)):
            return True
        return self.lower is not None and self.lower.has_file(checksum)

    def _is_complete(self, path: str) -> bool:
        # In this order: who has begun it has said so before.
        return os.path.lexists(path) and path not in self._busy

    def metadata(self, checksum: str, extension: str) -> bytes:
        """Return the bytes of a metadata object.

        Raises:
            StoreDamagedError: it is neither here nor in the lower store, or is not what its name
                says.
        """
        try:
            data = Path(self.path(checksum, extension)).read_bytes()
        except FileNotFoundError as error:
            if self.lower is not None:
                return self.lower.metadata(checksum, extension)
            raise self._missing(f"{checksum}.{extension}") from error
        if sha256(data).hexdigest() != checksum:
            raise StoreDamagedError(
                f"The object {checksum}.{extension} in {self.repository} is damaged.",
                hint="Run bootc-orch fsck on the repository.",
                path=self.path(checksum, extension),
            )
        return data

    def add_metadata(self, data: bytes, extension: str, *, expected: str | None = None) -> str:
        """Write a metadata object and return its checksum, 64 hexadecimal digits.

        Raises:
            MismatchError: the checksum is not *expected*.
        """
        checksum = sha256(data).hexdigest()
        _verify(checksum, expected, extension)
        if self.lower is None or not self.lower.has(checksum, extension):
            self._create(self.path(checksum, extension), data)
        return checksum

    def add_file(self, attributes: Attributes, data: bytes, *, expected: str | None = None) -> str:
        """Write a content object that fits in memory; see `add_metadata`."""
        digest = sha256(checksum_head(attributes))
        digest.update(data)
        checksum = digest.hexdigest()
        _verify(checksum, expected, "file")
        if self.lower is None or not self.lower.has_file(checksum):
            self._write_file(self.file_path(checksum), attributes, data)
        return checksum

    def add_large_file(
        self,
        attributes: Attributes,
        size: int,
        pieces: Iterable[bytes],
        *,
        expected: str | None = None,
    ) -> str:
        """Write a regular file's object from a stream of exactly *size* bytes; see `add_file`."""
        digest = sha256(checksum_head(attributes))
        with _TemporaryFile(self.repository / "tmp") as temporary:
            hashed = _hash(pieces, digest.update)
            if self.mode is Mode.ARCHIVE:
                hashed = filez(attributes, size, hashed)
            for piece in hashed:
                _write(temporary.fd, piece)
            set_attributes(temporary.fd, attributes, self.mode)
            checksum = digest.hexdigest()
            _verify(checksum, expected, "file")
            temporary.move_to(self.file_path(checksum))
        return checksum

    def open_file(self, checksum: str) -> StoredFile:
        """Open a content object.

        Raises:
            StoreDamagedError: it is neither here nor in the lower store, or cannot be read.
        """
        path = Path(self.file_path(checksum))
        try:
            return open_stored(path, self.mode)
        except FileNotFoundError as error:
            if self.lower is not None:
                return self.lower.open_file(checksum)
            raise self._missing(f"{checksum}{self.content_suffix}") from error
        except (InvalidImageError, OSError) as error:
            raise StoreDamagedError(
                f"The object {path} cannot be read: {error}", path=str(path)
            ) from error

    def read_file(self, checksum: str) -> bytes:
        """Return the whole content of a regular file's object; meant for small ones."""
        return b"".join(self.open_file(checksum).pieces())

    def add_copy(self, stored: StoredFile, attributes: Attributes) -> str:
        """Write *stored* again with other *attributes*, and return the new checksum."""
        if stored.header.size <= PIECE_BYTES:
            return self.add_file(attributes, b"".join(stored.pieces()))
        return self.add_large_file(attributes, stored.header.size, stored.pieces())

    def _write_file(self, path: str, attributes: Attributes, data: bytes) -> None:
        if self.mode is Mode.ARCHIVE:
            data = b"".join(filez(attributes, len(data), [data] if data else []))
        elif stat.S_ISLNK(attributes.mode):
            if self.mode is Mode.BARE:
                self._write_link(path, attributes)
                return
            data = attributes.target + b"\0"
        self._create(path, data, attributes)

    def _create(self, path: str, data: bytes, attributes: Attributes | None = None) -> None:
        """Write a whole object in its place, once: who comes second waits for the first.

        Whoever sees an object takes it for complete, so nobody may see one that another worker has
        only begun; `dict.setdefault` lets exactly one claim it.
        """
        claim = object()
        while self._busy.setdefault(path, claim) is not claim:
            time.sleep(_CLAIM_POLL_SECONDS)
        try:
            fd = os.open(path, _NEW_FILE, 0o600)
        except FileExistsError:
            del self._busy[path]
            return
        except BaseException:
            del self._busy[path]
            raise
        try:
            _write(fd, data)
            if attributes is None:
                os.fchmod(fd, 0o644)
            else:
                set_attributes(fd, attributes, self.mode)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(fd)
            del self._busy[path]

    def discard_unfinished(self) -> None:
        """Remove the objects whose writer died before they were whole.

        A writer gives an object its attributes when all of the content is there: metadata its mode,
        content its time, which is last and always the epoch.
        """
        for directory in (self.repository / "objects").iterdir():
            for path in directory.iterdir():
                status = path.lstat()
                is_content = path.name.endswith(self.content_suffix)
                whole = (
                    status.st_mtime == 0 if is_content else stat.S_IMODE(status.st_mode) != 0o600
                )
                if not whole:
                    path.unlink()

    def _write_link(self, path: str, attributes: Attributes) -> None:
        with _Temporary(self.repository / "tmp") as temporary:
            os.symlink(attributes.target, os.fsencode(temporary.path))
            if attributes.uid or attributes.gid:
                os.lchown(temporary.path, attributes.uid, attributes.gid)
            set_xattrs(temporary.path, decode_xattrs(attributes.xattrs))
            os.utime(temporary.path, _EPOCH, follow_symlinks=False)
            temporary.move_to(path)

    def _missing(self, name: str) -> StoreDamagedError:
        return StoreDamagedError(
            f"The object {name} is missing in {self.repository}.",
            hint="Run bootc-orch fsck on the repository.",
        )


class _Temporary:
    """A name in the repository's own ``tmp`` that is removed unless it was moved to its place."""

    def __init__(self, directory: Path) -> None:
        self.path = f"{directory}/object-{os.getpid()}-{next(_numbers)}"
        self._moved = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._moved:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def move_to(self, path: str) -> None:
        """Give it its final name, replacing an equal object."""
        os.rename(self.path, path)
        self._moved = True


class _TemporaryFile(_Temporary):
    """The same, already open for writing as `fd`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.fd = os.open(self.path, _NEW_FILE, 0o600)

    def __exit__(self, *details: object) -> None:
        os.close(self.fd)
        super().__exit__(*details)


def _hash(pieces: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece


def _verify(checksum: str, expected: str | None, extension: str) -> None:
    if expected is not None and checksum != expected:
        raise MismatchError(
            f"The content of the object {expected}.{extension} does not match its name.",
            details=f"its checksum is {checksum}",
        )


def _write(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        data = data[written:]
        written = os.write(fd, data)
