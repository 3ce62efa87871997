"""A layer's bytes are hashed on both sides, and every member of what is compressed is read."""

from __future__ import annotations

import gzip
import io
import threading

import pytest

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import Compression
from bootc_orch.stream import decompress as decompress_module
from bootc_orch.stream.decompress import decompress
from bootc_orch.stream.layer_stream import LayerStream, read_ahead
from orch_frame.errors import InvalidImageError, LimitError, MismatchError

TEXT = b"some text, " * 100_000


def stream_of(blob: bytes, compression: Compression = Compression.GZIP, size: int | None = None):
    seen = []
    stream = LayerStream(
        io.BytesIO(blob).read,
        compression,
        len(blob) if size is None else size,
        on_read=seen.append,
        on_output=lambda count: None,
    )
    return stream, seen


@pytest.mark.parametrize("size", [pytest.param(0, id="in line"), pytest.param(1 << 30, id="ahead")])
def test_what_is_read_is_verified_on_both_sides(size):
    blob = gzip.compress(TEXT)
    stream, seen = stream_of(blob, size=size)
    with stream.pieces() as pieces:
        assert b"".join(pieces) == TEXT
    stream.verify(Digest.of(blob), Digest.of(TEXT))
    assert sum(seen) == len(blob)
    with pytest.raises(MismatchError, match="does not match its diff_id"):
        stream.verify(Digest.of(blob), Digest.of(b"other"))
    with pytest.raises(MismatchError, match="has another digest"):
        stream.verify(Digest.of(b"other"), Digest.of(TEXT))


def test_several_members_are_one_content():
    blob = gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(b"end")
    assert b"".join(decompress([blob], Compression.GZIP)) == TEXT + b"end"
    assert b"".join(decompress([bytes([b]) for b in blob], Compression.GZIP)) == TEXT + b"end"


def test_many_small_members_are_read_in_linear_time_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(decompress_module, "MEMBERS_MAX", 2000)
    member = gzip.compress(b"x")
    assert b"".join(decompress([member * 2000], Compression.GZIP)) == b"x" * 2000
    with pytest.raises(LimitError, match="more than 2000 members"):
        list(decompress([member * 2001], Compression.GZIP))


@pytest.mark.parametrize(
    ("blob", "complaint"),
    [
        pytest.param(gzip.compress(TEXT)[:-4], "ends in the middle", id="cut in the trailer"),
        pytest.param(gzip.compress(TEXT) + b"more" * 9, "followed by something else", id="garbage"),
        pytest.param(b"", "ends in the middle", id="empty"),
        pytest.param(gzip.compress(TEXT)[:10], "ends in the middle", id="header alone"),
        pytest.param(TEXT, "damaged", id="not compressed"),
    ],
)
def test_damaged_gzip_is_refused(blob, complaint):
    with pytest.raises(InvalidImageError, match=complaint):
        list(decompress([blob], Compression.GZIP))


def test_a_failure_of_the_producer_is_raised_where_the_next_piece_would_be():
    def produce():
        yield b"one"
        raise MismatchError("broken")

    with read_ahead(produce(), 2) as pieces:
        assert next(pieces) == b"one"
        with pytest.raises(MismatchError, match="broken"):
            next(pieces)


def test_a_reader_that_stops_early_stops_the_producer_and_leaves_no_thread():
    produced = []

    def produce():
        for number in range(1_000_000):
            produced.append(number)
            yield b"x"

    before = threading.active_count()
    with read_ahead(produce(), 3) as pieces:
        next(pieces)
    assert threading.active_count() == before
    assert len(produced) < 1000
