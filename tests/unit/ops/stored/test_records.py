"""What the program knows by itself: a file a fact, and damage is as good as no record."""

from pathlib import Path

import pytest

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.ops.stored.known_layers import (
    KnownLayer,
    damaged_records,
    forget_layer,
    known_layer,
    known_layers,
    record_layers,
)
from bootc_orch.ops.stored.records import MAX_BYTES, parse_record, render_record

LAYER = KnownLayer(Digest.of(b"blob"), LayerKind.DERIVED, "c" * 64, Digest.of(b"content"))
OTHER = KnownLayer(Digest.of(b"other"), LayerKind.CHUNK, "d" * 64, Digest.of(b"more"))


@pytest.fixture
def repo(tmp_path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path


def place(repo, digest=LAYER.digest):
    return repo / "extensions/bootc-orch/layers" / digest.hex


def test_what_was_recorded_is_known(repo):
    assert known_layers(repo) == {}
    record_layers(repo, [LAYER, OTHER])
    assert known_layers(repo) == {LAYER.digest: LAYER, OTHER.digest: OTHER}
    assert known_layer(repo, OTHER.digest) == OTHER
    assert list((repo / "tmp").iterdir()) == []


def test_a_later_finding_takes_the_place_of_an_earlier_one(repo):
    record_layers(repo, [LAYER])
    newer = KnownLayer(LAYER.digest, LAYER.kind, "e" * 64, LAYER.diff_id)
    record_layers(repo, [newer])
    assert known_layers(repo) == {LAYER.digest: newer}


def test_what_is_forgotten_is_not_known(repo):
    record_layers(repo, [LAYER, OTHER])
    forget_layer(repo, LAYER.digest)
    forget_layer(repo, LAYER.digest)
    assert known_layers(repo) == {OTHER.digest: OTHER}
    assert known_layer(repo, LAYER.digest) is None


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("at", [0, 80, 90, 200, -70, -2])
def test_a_flipped_bit_anywhere_leaves_no_record_and_is_found(repo, at):
    record_layers(repo, [LAYER, OTHER])
    path = place(repo)
    data = path.read_bytes()
    path.write_bytes(flip(data, at % len(data)))
    assert known_layers(repo) == {OTHER.digest: OTHER}
    assert known_layer(repo, LAYER.digest) is None
    assert damaged_records(repo) == (path,)


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_record_that_was_cut_is_none(repo, length):
    record_layers(repo, [LAYER])
    place(repo).write_bytes(place(repo).read_bytes()[:length])
    assert known_layers(repo) == {}


def test_a_record_under_another_name_is_not_that_of_the_name(repo):
    record_layers(repo, [LAYER])
    place(repo).rename(place(repo, OTHER.digest))
    assert known_layer(repo, OTHER.digest) is None
    assert damaged_records(repo) == (place(repo, OTHER.digest),)


def test_a_link_is_no_record(repo):
    record_layers(repo, [LAYER])
    place(repo).rename(repo / "elsewhere")
    place(repo).symlink_to(repo / "elsewhere")
    assert known_layer(repo, LAYER.digest) is None


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(["x"], id="too-few"),
        pytest.param([str(LAYER.digest), "kernel", "c" * 64, str(LAYER.diff_id)], id="kind"),
        pytest.param([str(LAYER.digest), "derived", "c" * 63, str(LAYER.diff_id)], id="commit"),
        pytest.param([str(LAYER.digest), "derived", "C" * 64, str(LAYER.diff_id)], id="case"),
        pytest.param([str(LAYER.digest), "derived", "c" * 64, "sha256:x"], id="diff-id"),
    ],
)
def test_a_whole_record_of_something_else_is_none(repo, fields):
    record_layers(repo, [OTHER])
    place(repo).write_bytes(render_record(fields))
    assert known_layer(repo, LAYER.digest) is None
    assert damaged_records(repo) == (place(repo),)


def test_a_record_is_its_line_and_the_digest_of_it():
    assert parse_record(render_record(["a", "b"])) == ("a", "b")
    assert parse_record(render_record(["a" * MAX_BYTES])) is None
    assert parse_record(render_record(["a"]) + b"\n") is None
    assert parse_record(b"") is None
