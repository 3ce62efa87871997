"""Images with hostile or odd documents, rows M01-M30, and blobs, rows C01-C14.

Each case writes its image and says what must become of it.
"""

from __future__ import annotations

import gzip
import json
import lzma
import struct
import zlib
from bz2 import compress as bzip2
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.bad_tars import INVALID, LIMIT, LOWER, MEGABYTE, MISMATCH
from support.ociwriter import (
    CONFIG,
    INDEX,
    LAYER,
    Blob,
    ImageWriter,
    digest_of,
    encode,
    gzipped,
    stored,
)
from support.rawtar import archive, directory, file
from support.zstdframes import dictionary_frame, frame, skippable, window_frame

LAYERS_MAX = 512
DOCUMENT_BYTES_MAX = 4 * MEGABYTE


@dataclass(frozen=True, slots=True)
class ImageCase:
    """One image and what must become of it.

    Attributes:
        id: The row of the table.
        write: Writes the image into the layout at a path, and returns its reference.
        refused: The classes that its error may have; empty if the image is good.
        says: What must be read in the error.
        tree: Paths that must be in the merged tree.
    """

    id: str
    write: Callable[[Path], str]
    refused: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    tree: tuple[str, ...] = ()


GOOD = gzipped(LOWER)
OTHER = gzipped(archive(directory(b"usr/"), file(b"usr/other")))


def _image(change: Callable[[ImageWriter], Any] = lambda image: None) -> Callable[[Path], str]:
    """Return a writer of a good image to which *change* was done before it was written."""

    def write(path: Path) -> str:
        image = ImageWriter(path, [GOOD, OTHER])
        change(image)
        image.write()
        return image.reference

    return write


def _manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], str]:
    return _image(lambda image: change(image.manifest))


def _config(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], str]:
    return _image(lambda image: change(image.config))


def _documents(
    *,
    config: Callable[[bytes], bytes] | None = None,
    manifest: Callable[[bytes], bytes] | None = None,
) -> Callable[[Path], str]:
    """Return a writer of a good image whose documents were changed as text."""

    def write(path: Path) -> str:
        image = ImageWriter(path, [GOOD, OTHER])
        if config is not None:
            image.manifest["config"] = image.store(config(encode(image.config)), CONFIG)
        else:
            image.manifest["config"] = image.store(encode(image.config), CONFIG)
        text = encode(image.manifest)
        image.write(manifest=manifest(text) if manifest else text)
        return image.reference

    return write


def _layers(*layers: Blob) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        image = ImageWriter(path, layers)
        image.write()
        return image.reference

    return write


def _first(**fields: object) -> Callable[[Path], str]:
    """Return a writer of an image whose first layer's descriptor has *fields*."""
    return _manifest(lambda manifest: manifest["layers"][0].update(fields))


def _labels(**labels: str) -> Callable[[Path], str]:
    named = {name.replace("_", "."): value for name, value in labels.items()}
    return _config(lambda config: config["config"]["Labels"].update(named))


def _replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(text: bytes) -> bytes:
        assert old in text
        return text.replace(old, new, 1)

    return change


def _index(nested: Callable[[ImageWriter, dict[str, Any]], list[dict[str, Any]]]) -> Any:
    """Return a writer of a layout whose only entry is an index; *nested* makes its entries."""

    def write(path: Path) -> str:
        image = ImageWriter(path, [GOOD])
        image.write()
        [good] = json.loads((path / "index.json").read_text())["manifests"]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": nested(image, good)}
        image.write_index([image.store(encode(index), INDEX)])
        return image.reference

    return write


def _platform(descriptor: dict[str, Any], architecture: str) -> dict[str, Any]:
    return {**descriptor, "platform": {"os": "linux", "architecture": architecture}}


def _many_layers(count: int) -> Callable[[Path], str]:
    layers = [
        gzipped(archive(directory(b"usr/"), file(b"usr/part-%03d" % number)))
        for number in range(count)
    ]
    return _layers(*layers)


MANIFESTS = (
    ImageCase(
        "M01", _manifest(lambda m: m.update(annotations={"x": "y" * 5 * MEGABYTE})), (LIMIT,)
    ),
    ImageCase(
        "M02",
        _image(
            lambda image: (
                image.manifest.update(annotations={"x": "y" * 200 * 1024}),
                image.config["config"]["Labels"].update(big="z" * 3 * MEGABYTE),
            )
        ),
        tree=("/usr/other",),
    ),
    ImageCase("M03", _many_layers(LAYERS_MAX), tree=("/usr/part-511",)),
    ImageCase("M03b", _many_layers(LAYERS_MAX + 1), (LIMIT,)),
    ImageCase("M04", _layers(GOOD, OTHER, GOOD), tree=("/usr/other", "/usr/lib/lower")),
    ImageCase("M05", _first(digest="sha512:" + "0" * 128), (INVALID,)),
    ImageCase("M06", _first(digest="md5:" + "0" * 32), (INVALID,)),
    ImageCase("M07", _first(digest="sha256:" + "A" * 64), (INVALID,)),
    ImageCase("M08", _first(digest="sha256:../../x"), (INVALID,)),
    ImageCase("M08b", _first(digest="sha256:" + "0" * 63), (INVALID,)),
    ImageCase("M08c", _first(digest="sha256:" + "0" * 64 + "\n"), (INVALID,)),
    ImageCase("M09", _first(size=len(GOOD.data) + 5), (MISMATCH, INVALID)),
    ImageCase("M09b", _first(size=len(GOOD.data) - 5), (MISMATCH, INVALID)),
    ImageCase("M10", _first(size=-1), (INVALID,)),
    ImageCase("M11", _first(size=1.5), (INVALID,)),
    ImageCase("M11b", _first(size="10"), (INVALID,)),
    ImageCase("M11c", _first(size=2**63), (INVALID,)),
    ImageCase("M12", _manifest(lambda m: m.update(schemaVersion=1)), (INVALID,)),
    ImageCase("M13", _manifest(lambda m: m.update(manifests=[])), (INVALID,)),
    ImageCase("M14", _documents(manifest=_replaced(b"manifest.v1", b"index.v1")), (INVALID,)),
    ImageCase("M15", _index(lambda image, good: [_platform(good, "sparc64")]), (INVALID,)),
    ImageCase(
        "M15b",
        _index(
            lambda image, good: [
                _platform(
                    image.store(encode({"schemaVersion": 2, "manifests": [good]}), INDEX), "amd64"
                )
            ]
        ),
        (INVALID,),
    ),
    ImageCase(
        "M15c",
        _index(lambda image, good: [_platform(good, "amd64"), _platform(good, "amd64")]),
        tree=("/usr/lib/lower",),
    ),
    ImageCase(
        "M16",
        _documents(manifest=lambda text: text[:-1] + b',"layers":[]}'),
        (INVALID,),
    ),
    ImageCase("M16b", _manifest(lambda m: m.update(Layers=[])), (INVALID,)),
    ImageCase(
        "M17",
        _documents(
            manifest=lambda text: text[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        ),
        (INVALID,),
    ),
    ImageCase("M18", _manifest(lambda m: m.update(x=float("nan"))), (INVALID,)),
    ImageCase("M18b", _documents(manifest=lambda text: b"\xef\xbb\xbf" + text), (INVALID,)),
    ImageCase("M18c", _documents(manifest=lambda text: text[:-1] + b',"x":"\xff"}'), (INVALID,)),
    ImageCase("M18d", _documents(manifest=lambda text: text + b"trailing"), (INVALID,)),
    ImageCase("M18e", _manifest(lambda m: m.update(annotations={"x": "\ud800"})), (INVALID,)),
    ImageCase(
        "M18f",
        _documents(manifest=lambda text: text[:-1] + b',"x":' + b"9" * 4401 + b"}"),
        (INVALID,),
    ),
    ImageCase("M19", _config(lambda c: c.pop("rootfs")), (INVALID, MISMATCH)),
    ImageCase("M19b", _documents(config=lambda text: b"not JSON"), (INVALID,)),
    ImageCase("M19c", _documents(config=lambda text: b"{}"), (INVALID, MISMATCH)),
    ImageCase(
        "M32",
        _documents(config=lambda text: b'{"config": {"Labels": {}}, ' + text[1:]),
        (INVALID,),
        says=("'config' is there twice",),
    ),
    ImageCase(
        "M32b",
        _config(lambda c: c.update(Config={"Labels": {"who": "other"}})),
        (INVALID,),
        says=("'Config' where the format has 'config'",),
    ),
    ImageCase(
        "M32c",
        _documents(config=_replaced(b'"Labels": {', b'"Labels": {"a": "1", "a": "2"')),
        (INVALID,),
        says=("'a' is there twice",),
    ),
    ImageCase(
        "M32d",
        _config(lambda c: c["rootfs"].update(DIFF_IDS=[])),
        (INVALID,),
        says=("'DIFF_IDS' where the format has 'diff_ids'",),
    ),
    ImageCase("M20", _config(lambda c: c["rootfs"]["diff_ids"].pop()), (MISMATCH,)),
    ImageCase("M20b", _config(lambda c: c["rootfs"]["diff_ids"].append(GOOD.diff_id)), (MISMATCH,)),
    ImageCase(
        "M21",
        _config(lambda c: c["rootfs"]["diff_ids"].__setitem__(1, GOOD.diff_id)),
        (MISMATCH,),
        (digest_of(OTHER.data),),
    ),
    ImageCase(
        "M22",
        _labels(name="line\nline", note="n" * MEGABYTE),
        tree=("/usr/other",),
    ),
    ImageCase(
        "M22b",
        _config(
            lambda c: c["config"]["Labels"].update({"ostree.final-diffid": "sha256:" + "0" * 64})
        ),
        (INVALID,),
    ),
    ImageCase(
        "M22c",
        _config(lambda c: c["config"]["Labels"].update({"ostree.final-diffid": OTHER.diff_id})),
        (INVALID,),
    ),
    ImageCase(
        "M23",
        _manifest(lambda m: m.update(annotations={"org.opencontainers.image.created": "soon"})),
        tree=("/usr/other",),
    ),
    ImageCase("M23b", _config(lambda c: c.update(created="1901-01-01T00:00:00Z")), (INVALID,)),
    ImageCase(
        "M24",
        _first(mediaType="application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
        (INVALID,),
        ("helm",),
    ),
    ImageCase("M24b", _first(mediaType=LAYER), (INVALID,)),
    ImageCase("M24c", _first(mediaType=f"{LAYER}+zstd"), (INVALID,)),
    ImageCase("M24d", _layers(stored(LOWER, suffix="+gzip")), (INVALID,)),
    ImageCase(
        "M24e",
        _first(mediaType="application/vnd.docker.image.rootfs.diff.tar.gzip"),
        tree=("/usr/other",),
    ),
    ImageCase("M24f", _first(mediaType=f"{LAYER}+xz"), (INVALID,), ("xz",)),
    ImageCase("M25", _first(urls=["http://127.0.0.1:1/layer"]), (INVALID,)),
    ImageCase("M26", _first(mediaType=f"{LAYER}+gzip+encrypted"), (INVALID,), ("encrypted",)),
    ImageCase(
        "M27",
        _image(
            lambda image: image.manifest.update(
                config=image.store(encode(image.config), "application/vnd.cncf.helm.config.v1+json")
            )
        ),
        (INVALID,),
    ),
    ImageCase(
        "M28",
        _manifest(
            lambda m: m.update(
                artifactType="application/x-note",
                subject={"mediaType": CONFIG, "digest": "sha256:" + "1" * 64, "size": 1},
            )
        ),
        tree=("/usr/other",),
    ),
    ImageCase("M29", _config(lambda c: c.update(architecture="s390x")), tree=("/usr/other",)),
    ImageCase("M30", _layers(), (INVALID,)),
)


def _zeros(megabytes: int) -> Blob:
    """A layer of one file of zeros that compresses a thousandfold."""
    return gzipped(archive(directory(b"usr/"), file(b"usr/zeros", bytes(megabytes << 20))))


def _cut(blob: Blob, count: int) -> Blob:
    return stored(blob.data[:-count], suffix="+gzip", of=LOWER)


def _gzip_header_fields() -> bytes:
    """A gzip member with 64 KiB of extra field and of file name."""
    extra = bytes(65535)
    head = b"\x1f\x8b\x08" + bytes([4 | 8]) + bytes(6) + struct.pack("<H", len(extra)) + extra
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = deflate.compress(LOWER) + deflate.flush()
    return head + b"n" * 65535 + b"\0" + body + struct.pack("<II", zlib.crc32(LOWER), len(LOWER))


def _gzip_blob(data: bytes) -> Blob:
    return stored(data, suffix="+gzip", of=LOWER)


def _zstd_blob(data: bytes) -> Blob:
    return stored(data, suffix="+zstd", of=LOWER)


_HALF = len(LOWER) // 2
_GZIP = GOOD.data
_LOWER_TREE = ("/usr/lib/lower",)

BLOBS = (
    ImageCase("C01", _layers(_zeros(64)), tree=("/usr/zeros",)),
    ImageCase(
        "C02",
        _layers(_gzip_blob(gzip.compress(LOWER[:_HALF]) + gzip.compress(LOWER[_HALF:]))),
        tree=_LOWER_TREE,
    ),
    ImageCase(
        "C02b", _layers(_zstd_blob(frame(LOWER[:_HALF]) + frame(LOWER[_HALF:]))), tree=_LOWER_TREE
    ),
    ImageCase("C03", _layers(_gzip_blob(_GZIP + b"garbage")), (INVALID,)),
    ImageCase("C03b", _layers(_gzip_blob(_GZIP + bytes(100))), (INVALID,)),
    ImageCase("C04", _layers(_cut(GOOD, 3)), (INVALID,)),
    ImageCase("C04b", _layers(_cut(GOOD, 50)), (INVALID,)),
    ImageCase("C05", _layers(_gzip_blob(_GZIP[:-8] + b"\0\0\0\0" + _GZIP[-4:])), (INVALID,)),
    ImageCase("C05b", _layers(_gzip_blob(_GZIP[:-4] + b"\1\0\0\0")), (INVALID,)),
    ImageCase("C06", _layers(_zstd_blob(window_frame(LOWER))), (LIMIT,)),
    ImageCase(
        "C07",
        _layers(_zstd_blob(skippable(b"toc") + frame(LOWER) + skippable(b"toc"))),
        tree=_LOWER_TREE,
    ),
    ImageCase("C08", _layers(_zstd_blob(frame(LOWER) + b"garbage")), (INVALID,)),
    ImageCase("C08b", _layers(_zstd_blob(frame(LOWER)[:-3])), (INVALID,)),
    ImageCase("C09", _layers(stored(lzma.compress(LOWER), suffix="+gzip", of=LOWER)), (INVALID,)),
    ImageCase("C09b", _layers(stored(bzip2(LOWER), suffix="+gzip", of=LOWER)), (INVALID,)),
    ImageCase("C09c", _layers(stored(bzip2(LOWER), of=LOWER)), (INVALID, MISMATCH)),
    ImageCase("C10", _layers(_gzip_blob(_gzip_header_fields())), tree=_LOWER_TREE),
    ImageCase("C11", _layers(_zstd_blob(dictionary_frame(LOWER))), (INVALID,)),
    ImageCase("C12", _layers(gzipped(_GZIP)), (INVALID,)),
    ImageCase("C13", _layers(_gzip_blob(gzip.compress(b"", mtime=0) * 10**6)), (LIMIT,)),
    ImageCase("C14", _layers(_gzip_blob(b"")), (INVALID, MISMATCH)),
    ImageCase("C14b", _layers(_gzip_blob(_GZIP[:10])), (INVALID,)),
)

IMAGE_CASES = (*MANIFESTS, *BLOBS)
