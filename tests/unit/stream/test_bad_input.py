"""The rows of the bad-input table, in process: what the readers alone must refuse or take in.

The same cases run through the command line in ``tests/integration/importing/test_bad_images.py``.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from support.bad_images import IMAGE_CASES, ImageCase
from support.bad_tars import LOWER, PLAIN, TAR_CASES, TarCase

from bootc_orch.model.image.layout import Compression, classify
from bootc_orch.model.image.manifest import ImageConfig, Manifest, image_timestamp
from bootc_orch.stream.decompress import decompress
from bootc_orch.stream.derived import import_derived_layer
from bootc_orch.stream.layer_report import LayerReport
from bootc_orch.stream.object_format import Mode
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.stream.paths import PathRules
from bootc_orch.stream.tar import TarReader
from bootc_orch.stream.trees import Directory, Trees
from orch_frame.errors import MismatchError, OrchError

PIECE_BYTES = 1000
# They need the whole program: skopeo reads the index; sizes are compared while blobs arrive.
OTHER_LAYERS_OF_CODE = {"M09", "M09b", "M15", "M15b", "M15c", "M22c"}
BAD_TARS = [pytest.param(case, id=case.id) for case in TAR_CASES if case.refused]
ODD_TARS = [pytest.param(case, id=case.id) for case in TAR_CASES if not case.refused]
IMAGES = [
    pytest.param(case, id=case.id) for case in IMAGE_CASES if case.id not in OTHER_LAYERS_OF_CODE
]


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    """Directories in an empty repository of the kind that anyone may write."""
    for number in range(256):
        (tmp_path / f"objects/{number:02x}").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    return Trees(ObjectStore(tmp_path, Mode.BARE_USER))


def imported(case: TarCase, trees: Trees) -> tuple[Directory, LayerReport]:
    """Import the case's layer as the layer of an image, and lay it over what is below."""
    rules = PathRules(allow_nonusr=case.over == PLAIN, keep_var=True)
    below, _ = import_derived_layer(cut(LOWER), trees, rules=rules, labeler=None)
    layer, report = import_derived_layer(cut(case.tar), trees, rules=rules, labeler=None)
    return trees.overlay(below, layer, lambda path: None), report


def cut(data: bytes) -> Iterator[bytes]:
    """Hand *data* over in pieces whose ends fall anywhere."""
    return (data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))


def listing(trees: Trees, directory: Directory, path: str = "") -> dict[str, tuple[str, str]]:
    """Return each path below *directory*, with its mode as ostree prints it, and its object."""
    found = {path or "/": (f"d{trees.load_meta(directory.meta).mode & 0o7777:05o}", "")}
    entries = trees.load(directory.tree)
    for name, checksum in entries.files.items():
        mode = trees.store.open_file(checksum.hex()).header.mode
        kind = "l" if stat.S_ISLNK(mode) else "-"
        found[f"{path}/{name.decode()}"] = (f"{kind}{mode & 0o7777:05o}", checksum.hex())
    for name, child in entries.dirs.items():
        found |= listing(trees, child, f"{path}/{name.decode()}")
    return found


@pytest.mark.parametrize("case", BAD_TARS)
def test_a_bad_layer_is_refused(case: TarCase, trees: Trees) -> None:
    with pytest.raises(OrchError) as caught:
        imported(case, trees)
    error = caught.value
    assert error.kind == case.refused
    told = f"{error} {error.path} {error.details}"
    assert [text for text in case.says if text not in told] == []
    assert "offset" in told
    assert list((trees.store.repository / "tmp").iterdir()) == []


@pytest.mark.parametrize("case", ODD_TARS)
def test_an_odd_layer_is_taken_in(case: TarCase, trees: Trees) -> None:
    merged, report = imported(case, trees)
    found = listing(trees, merged)
    for line in case.tree:
        mode, path = line.split(" ", 1)
        assert found[path][0] == mode
    assert [path for path in case.absent if path in found] == []
    for path, data in case.contents:
        assert trees.store.read_file(found[path][1]) == data
    told = f"{report.filtered} {report.examples}"
    if report.dropped_labels:
        told += " security.selinux"
    assert [text for text in case.says if text not in told] == []


@pytest.mark.parametrize("case", IMAGES)
def test_a_bad_image_is_refused_and_an_odd_one_is_not(case: ImageCase, tmp_path: Path) -> None:
    case.write(tmp_path)
    if not case.refused:
        read(tmp_path)
        return
    with pytest.raises(OrchError) as caught:
        read(tmp_path)
    assert caught.value.kind in case.refused


def read(layout: Path) -> None:
    """Read everything of the only image in *layout*, and compare the digests."""
    descriptor = json.loads((layout / "index.json").read_text())["manifests"][0]
    manifest = Manifest.parse(blob(layout, descriptor["digest"]))
    config = ImageConfig.parse(blob(layout, str(manifest.config.digest)))
    image_timestamp(manifest, config)
    for layer in classify(manifest, config):
        data = blob(layout, str(layer.descriptor.digest))
        if content_digest(data, layer.compression) != layer.diff_id.hex:
            raise MismatchError("The content has another digest.")


def content_digest(data: bytes, compression: Compression) -> str:
    """Read a whole layer, and return the digest of the archive in it."""
    digest = sha256()

    def pieces() -> Iterator[bytes]:
        for piece in decompress(cut(data), compression):
            digest.update(piece)
            yield piece

    for _ in TarReader(pieces()):
        pass
    return digest.hexdigest()


def blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()
