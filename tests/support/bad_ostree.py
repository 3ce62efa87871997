"""Ostree layers that are not what they claim, made from the fixture image ``base``: rows O01-O20.

Its second layer holds two files of a kernel; the first holds the commit and its directories.
From row O15 on the objects are right but what they say is impossible.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bootc_orch.model.gvariant import (
    Commit,
    Dirmeta,
    content_header,
    encode_dirtree,
    encode_xattrs,
)
from support.bad_images import ImageCase
from support.bad_tars import INVALID, LIMIT, MEGABYTE, MISMATCH
from support.images import FIXTURES, manifest_of
from support.ociwriter import Blob, ImageWriter, gzipped
from support.rawtar import BLOCK, archive, file, header, padded, symlink

ZEROS = b"0" * 64
DIRECTORY = Dirmeta(0, 0, 0o40755)
# Length and padding, then owner 0:0, mode 0100644, no device, no link target, its offset.
CONTENT_HEADER = bytes.fromhex(
    "0000001200000000" + "00000000" * 2 + "000081a4" + "00000000" + "0011"
)
REPOSITORY = b"sysroot/ostree/repo/objects/"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a layer, with the long name that may precede it, as bytes of the archive."""

    name: str
    raw: bytes

    def with_data(self, change: Callable[[bytes], bytes]) -> Entry:
        """Return the same member with its content changed, in the same length."""
        start = len(self.raw) - -(-self._size // BLOCK) * BLOCK
        data = change(self.raw[start : start + self._size])
        assert len(data) == self._size
        return Entry(self.name, self.raw[:start] + padded(data))

    @property
    def _size(self) -> int:
        return _members(self.raw)[0].size


Change = Callable[[list[Entry]], list[Entry]]


def entries(tar: bytes) -> list[Entry]:
    """Cut an archive into its members."""
    members = _members(tar)
    ends = [member.offset for member in members[1:]]
    ends.append(members[-1].offset_data + -(-members[-1].size // BLOCK) * BLOCK)
    return [
        Entry(member.name, tar[member.offset : end])
        for member, end in zip(members, ends, strict=True)
    ]


def _members(tar: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return opened.getmembers()


def _with(index: int, change: Change) -> Callable[[Path], str]:
    """Return a writer of ``base`` whose layer *index* was changed, with all digests right."""

    def write(path: Path) -> str:
        manifest = manifest_of("base")
        layers = [_unpacked(layer["digest"]) for layer in manifest["layers"]]
        changed = change(entries(layers[index]))
        layers[index] = archive(*(entry.raw for entry in changed))
        blobs: list[Blob] = [gzipped(layer) for layer in layers]
        image = ImageWriter(path, blobs)
        config = json.loads(_fixture(manifest["config"]["digest"]))
        labels = config["config"]["Labels"]
        image.config["config"]["Labels"] = {**labels, "ostree.final-diffid": blobs[-1].diff_id}
        image.write()
        return image.reference

    return write


def _on(suffix: str, change: Callable[[Entry], list[Entry]]) -> Change:
    """Return a change of the first member whose name ends in *suffix*."""

    def apply(members: list[Entry]) -> list[Entry]:
        place = next(n for n, entry in enumerate(members) if entry.name.endswith(suffix))
        return [*members[:place], *change(members[place]), *members[place + 1 :]]

    return apply


def _flipped(entry: Entry) -> list[Entry]:
    return [entry.with_data(lambda data: data[:-1] + bytes([data[-1] ^ 1]))]


def _bomb(depth: int) -> Callable[[Path], str]:
    """Return a writer of directories that each contain the next one twice."""
    meta = _raw(DIRECTORY.encode())
    trees = [encode_dirtree((), ())]
    for _ in range(depth):
        below = _raw(trees[-1])
        trees.append(encode_dirtree((), ((b"a", below, meta), (b"b", below, meta))))
    return _commit(trees[-1], [(tree, b"dirtree") for tree in trees])


def _tree(
    *files: bytes,
    dirs: tuple[bytes, ...] = (),
    meta: Dirmeta = DIRECTORY,
    depth: int = 0,
) -> Callable[[Path], str]:
    """Return a writer of a commit whose root has *files* and *dirs* by these names, in this order.

    *depth* is the number of directories, one in the other, below the root.
    """
    content, empty = sha256(CONTENT_HEADER + b"data\n").digest(), encode_dirtree((), ())
    below, trees = empty, [empty]
    for _ in range(depth):
        below = encode_dirtree((), ((b"d", _raw(below), _raw(meta.encode())),))
        trees.append(below)
    names = (b"d",) if depth else dirs
    root = encode_dirtree(
        [(name, content) for name in files],
        [(name, _raw(below), _raw(meta.encode())) for name in names],
    )
    objects = [(meta.encode(), b"dirmeta"), *((tree, b"dirtree") for tree in (root, *trees))]
    return _commit(root, objects)


def _commit(
    root: bytes, objects: Sequence[tuple[bytes, bytes]], *members: bytes
) -> Callable[[Path], str]:
    """Return a writer of an image of one ostree layer: a commit of *root*, and *objects*.

    *members* of the archive follow.
    """
    commit = Commit((), None, 0, _raw(root).hex(), _raw(DIRECTORY.encode()).hex()).encode()
    first = [(commit, b"commit"), (DIRECTORY.encode(), b"dirmeta")]
    content = sha256(CONTENT_HEADER + b"data\n").hexdigest().encode()
    tar = archive(
        *(
            _object(_raw(data).hex().encode(), kind, data)
            for data, kind in dict([*first, *objects]).items()
        ),
        _object(content, b"file-xattrs-link", b""),
        _object(content, b"file", b"data\n"),
        *members,
    )

    def write(path: Path) -> str:
        layer = gzipped(tar)
        image = ImageWriter(path, [layer])
        image.config["config"]["Labels"] = {"ostree.final-diffid": layer.diff_id}
        image.write()
        return image.reference

    return write


def _raw(data: bytes) -> bytes:
    return sha256(data).digest()


def _dropped(entry: Entry) -> list[Entry]:
    return []


def _added(*raw: bytes) -> Change:
    return lambda members: [*members, *(Entry("", item) for item in raw)]


def _object(checksum: bytes, suffix: bytes, data: bytes) -> bytes:
    return file(REPOSITORY + checksum[:2] + b"/" + checksum[2:] + b"." + suffix, data)


def _repeated(members: list[Entry]) -> list[Entry]:
    """Append the first object of a chunk once more, xattrs and content."""
    place = next(n for n, e in enumerate(members) if e.name.endswith(".file-xattrs-link"))
    return [*members, members[place], members[place + 1]]


def _unpacked(digest: str) -> bytes:
    return gzip.decompress(_fixture(digest))


def _fixture(digest: str) -> bytes:
    return (FIXTURES / "images/blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


def _content(
    *, xattrs: bytes = b"", target: bytes = b"", data: bytes = b"data\n"
) -> Callable[[Path], str]:
    """Return a writer of a commit with one file, a link if it has a *target*."""
    mode = 0o120777 if target else 0o100644
    head = content_header(uid=0, gid=0, mode=mode, target=target, xattrs=xattrs)
    checksum = sha256(head + (b"" if target else data))
    root = encode_dirtree([(b"file", checksum.digest())], [])
    place = (
        REPOSITORY + checksum.hexdigest()[:2].encode() + b"/" + checksum.hexdigest()[2:].encode()
    )
    stored = symlink(place + b".file", target) if target else file(place + b".file", data)
    return _commit(root, [(root, b"dirtree")], file(place + b".file-xattrs-link", xattrs), stored)


def _with_xattrs(*pairs: tuple[bytes, bytes], target: bytes = b"") -> Callable[[Path], str]:
    return _content(xattrs=encode_xattrs(pairs), target=target)


BAD = (INVALID, MISMATCH)

OSTREE_CASES = (
    ImageCase("O01", _with(1, _on(".file", _flipped)), BAD, (".file",)),
    ImageCase("O02", _with(0, _on(".dirtree", _flipped)), BAD, (".dirtree",)),
    ImageCase("O03", _with(0, _on(".commit", _flipped)), BAD, (".commit",)),
    ImageCase("O04", _with(0, _on("cc7419a.dirtree", _dropped)), BAD),
    ImageCase("O04b", _with(1, _on(".file", _dropped)), BAD),
    ImageCase("O05", _with(1, _on(".file-xattrs-link", _dropped)), BAD, (".file",)),
    ImageCase("O06", _with(0, _on(".commit", lambda entry: [entry, entry])), BAD, ("commit",)),
    ImageCase(
        "O07",
        _with(0, _added(_object(ZEROS, b"dirtree", bytes(10 * MEGABYTE + 1)))),
        (LIMIT, *BAD),
        (".dirtree",),
    ),
    ImageCase("O08", _with(1, _added(file(REPOSITORY + b"zz/" + b"0" * 62 + b".dirtree"))), BAD),
    ImageCase(
        "O08b", _with(1, _added(file(REPOSITORY + b"../../../escape.file"))), BAD, ("escape",)
    ),
    ImageCase(
        "O09",
        _with(1, _added(_object(ZEROS, b"file-xattrs-link", bytes(MEGABYTE + 1)))),
        (LIMIT, *BAD),
    ),
    ImageCase("O10", _with(0, _on(".commit", _dropped)), BAD, ("commit",)),
    ImageCase("O11", _with(1, _added(_object(ZEROS, b"dirmeta", bytes(12)))), BAD, (".dirmeta",)),
    ImageCase("O12", _with(1, _repeated), BAD),
    ImageCase("O13", _with(0, lambda members: []), BAD, ("commit",)),
    ImageCase(
        "O14",
        _with(
            1,
            _added(
                _object(ZEROS, b"file-xattrs-link", b""),
                header(REPOSITORY + b"00/" + b"0" * 62 + b".file", b"1", link=b"etc/shadow"),
            ),
        ),
        BAD,
    ),
    ImageCase("O15", _tree(b"../escape"), BAD),
    ImageCase("O15b", _tree(b"a/b"), BAD),
    ImageCase("O15c", _tree(b"."), BAD),
    ImageCase("O15d", _tree(b""), BAD),
    ImageCase("O16", _tree(dirs=(b"..",)), BAD),
    ImageCase("O17", _tree(depth=2000), (LIMIT, *BAD)),
    ImageCase("O17b", _tree(depth=300), (LIMIT,)),
    ImageCase("O17c", _bomb(60), (LIMIT,)),
    ImageCase("O18", _tree(dirs=(b"usr",), meta=Dirmeta(0, 0, 0o100644)), BAD),
    ImageCase("O19", _tree(b"b", b"a"), BAD),
    ImageCase("O19b", _tree(b"a", b"a"), BAD),
    ImageCase("O19c", _tree(b"usr", dirs=(b"usr",)), BAD),
    ImageCase("O21", _tree(b"caf\xe9"), BAD, ("caf\\xe9",)),
    ImageCase("O21b", _tree(b"\xed\xa0\x80"), BAD),
    ImageCase("O21c", _tree(dirs=(b"caf\xe9",)), BAD, ("caf\\xe9",)),
    ImageCase("O21d", _tree(b"n" * 256), (LIMIT,)),
    ImageCase("O22", _content(target=b"caf\xe9"), BAD, ("caf\\xe9",)),
    ImageCase("O22b", _content(target=b"t" * 5000), BAD, ("5000 bytes",)),
    ImageCase("O22c", _content(target=b"t" * 4096), BAD, ("4096 bytes",)),
    ImageCase("O23", _with_xattrs((b"user.b\0", b"1"), (b"user.a\0", b"2")), BAD, ("order",)),
    ImageCase("O23b", _with_xattrs((b"user.a\0", b"1"), (b"user.a\0", b"2")), BAD, ("twice",)),
    ImageCase("O23c", _with_xattrs((b"user.a\0", b"")), BAD, ("user.a",)),
    ImageCase("O23d", _with_xattrs((b"user.a", b"1")), BAD, ("user.a",)),
    ImageCase("O23e", _with_xattrs((b"user.a\0b\0", b"1")), BAD),
    ImageCase("O23f", _with_xattrs((b"a\0", b"1")), BAD),
    ImageCase("O23g", _with_xattrs((b"\0", b"1")), BAD),
    ImageCase("O23h", _with_xattrs((b"user.a\0", b"v" * 65_536)), (LIMIT,), ("bytes",)),
    ImageCase("O23i", _with_xattrs((b"user.a\0", b"1"), target=b"x"), BAD, ("user.a",)),
    ImageCase("O23j", _with_xattrs((b"security.capability\0", b"")), BAD),
    ImageCase("O23k", _with_xattrs((b"security.capability\0", bytes(20))), BAD),
    ImageCase(
        "O23l", _with_xattrs(*((b"user.%03d\0" % n, b"v") for n in range(129))), (LIMIT,), ("129",)
    ),
    *(
        ImageCase(row, _tree(dirs=(b"usr",), meta=Dirmeta(0, 0, 0o40755, xattrs)), BAD)
        for row, xattrs in (
            ("O24", ((b"user.b\0", b"1"), (b"user.a\0", b"2"))),
            ("O24b", ((b"user.a\0", b"1"), (b"user.a\0", b"2"))),
            ("O24c", ((b"user.a\0", b""),)),
        )
    ),
    ImageCase("O17d", _bomb(21), (LIMIT,)),
    ImageCase("O20", _tree(dirs=(b"usr",), meta=Dirmeta((1 << 32) - 1, 0, 0o40755)), BAD),
)

GOOD_OSTREE_CASE = ImageCase("O00", _tree(b"file", dirs=(b"usr",)), tree=("/file", "/usr"))
