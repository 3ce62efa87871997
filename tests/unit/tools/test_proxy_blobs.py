"""Blobs through the proxy client, by both calls, against a scripted peer on a real socket."""

# ruff: noqa: SIM117, PT012 - each block is one step of a conversation

import fcntl
import json
import os
import time
from contextlib import contextmanager

import pytest
from support.proxy_peer import (
    DIGEST,
    IMAGE,
    NEW,
    OLD,
    QUICK,
    open_descriptors,
    playing,
    read_all,
    serving,
)

from bootc_orch.model.digest import Digest
from bootc_orch.tools.proxy.errors import ProxyError
from orch_frame.errors import (
    InvalidImageError,
    LimitError,
    MismatchError,
    StallError,
    TransientError,
)


def blob_script(version, data, *, value=-1, error=None):
    """Serve *data* as a blob in the manner of *version*, with skopeo's words at the end."""
    if version == NEW:
        verdict = json.dumps({"code": "other", "message": error}).encode() if error else b""
        return {"GetRawBlob": lambda peer, *_: peer.raw(data, verdict, value)}

    def get_blob(peer, image, digest, size):
        peer.verdict = {"success": False, "error": error} if error else {}
        peer.pipe(data, value=value)

    return {"GetBlob": get_blob}


both = pytest.mark.parametrize("version", [OLD, NEW])


@both
@pytest.mark.parametrize("value", [-1, 300_000])
def test_a_blob_is_streamed_to_its_end(version, value):
    data = os.urandom(300_000)
    before = open_descriptors()
    with playing(version, **blob_script(version, data, value=value)) as (proxy, image, peer):
        with proxy.blob(image, DIGEST, len(data)) as stream:
            assert read_all(stream) == data
            assert stream.read() == b""
            assert stream.count == len(data)
        assert proxy.idle
    assert open_descriptors() == before
    assert peer.asked[2:] == (
        [("GetRawBlob", 1, str(DIGEST))]
        if version == NEW
        else [("GetBlob", 1, str(DIGEST), 300_000), ("FinishPipe", 7)]
    )


@both
def test_what_is_left_is_drained_when_the_block_ends(version):
    with playing(version, **blob_script(version, b"x" * 300_000)) as (proxy, image, _):
        with proxy.blob(image, DIGEST, 300_000) as stream:
            stream.read(10)
        assert stream.count == 300_000


@both
def test_m09_a_blob_of_another_size_where_it_is_stored_is_refused_unread(version):
    with playing(version, **blob_script(version, b"x" * 9, value=9)) as (proxy, image, _):
        with pytest.raises(MismatchError, match="has 9 bytes where it is stored, not the 4"):
            with proxy.blob(image, DIGEST, 4):
                pytest.fail("the blob was handed over")


@both
def test_r10_not_one_byte_more_than_promised_is_handed_over(version):
    script = blob_script(version, b"x" * 300_000)
    with playing(version, **script) as (proxy, image, _):
        received = b""
        with pytest.raises(LimitError, match="is longer than its 5 bytes") as caught:
            with proxy.blob(image, DIGEST, 5) as stream:
                while data := stream.read(4):
                    received += data
        assert len(received) <= 5
    assert caught.value.layer == str(DIGEST)


@both
def test_r09_a_shorter_blob_is_refused_at_its_end(version):
    with playing(version, **blob_script(version, b"xxx")) as (proxy, image, _):
        with pytest.raises(MismatchError, match="ended after 3 of its 5 bytes"):
            with proxy.blob(image, DIGEST, 5) as stream:
                read_all(stream)


@both
def test_r08_the_verdict_on_the_whole_is_raised(version):
    script = blob_script(version, b"blob", error=f"corrupted blob, expecting {DIGEST}")
    with playing(version, **script) as (proxy, image, _):
        with pytest.raises(MismatchError, match="not what was promised") as caught:
            with proxy.blob(image, DIGEST, 4) as stream:
                assert stream.read(4) == b"blob"
    assert caught.value.details == f"corrupted blob, expecting {DIGEST}"
    assert (caught.value.layer, caught.value.image) == (str(DIGEST), str(IMAGE))


@both
def test_r05_a_cut_off_blob_says_why(version):
    script = blob_script(version, b"bl", error="unexpected EOF")
    with playing(version, **script) as (proxy, image, _), pytest.raises(TransientError):
        with proxy.blob(image, DIGEST, 4) as stream:
            read_all(stream)


@both
def test_the_error_of_the_block_wins_and_the_proxy_can_be_used_again(version):
    script = blob_script(version, b"x" * 300_000, error="write |1: broken pipe")
    before = open_descriptors()
    with playing(version, GetFullConfig=serving(b"{}"), **script) as (proxy, image, peer):
        with pytest.raises(KeyError), proxy.blob(image, DIGEST, 300_000) as stream:
            stream.read(10)
            raise KeyError
        peer.verdict = {}
        assert proxy.config(image) == b"{}"
    assert open_descriptors() == before


@both
def test_an_error_of_the_block_is_told_which_layer_it_is_about(version):
    layer = Digest.of(b"in the manifest")
    with playing(version, **blob_script(version, b"blob")) as (proxy, image, _):
        with pytest.raises(InvalidImageError) as caught:
            with proxy.blob(image, DIGEST, 4, layer=layer):
                raise InvalidImageError("bad tar", path="a/b")
    assert (caught.value.layer, caught.value.path) == (str(layer), "a/b")


@both
def test_r12_a_blob_that_never_starts_stalls(version):
    with silence(version) as (proxy, image):
        start = time.monotonic()
        with pytest.raises(StallError, match="stalled after 0 bytes"):
            with proxy.blob(image, DIGEST, 4) as stream:
                stream.read()
        assert 0.2 < time.monotonic() - start < 1


@both
def test_r12_a_blob_that_stops_stalls(version):
    with silence(version, b"bl") as (proxy, image):
        with pytest.raises(StallError, match="stalled after 2 bytes"):
            with proxy.blob(image, DIGEST, 4) as stream:
                read_all(stream)
        assert not proxy.idle or version == NEW


@contextmanager
def silence(version, data=b""):
    """Serve a blob that says *data* and then nothing, and does not end."""
    ends = []

    def answer(peer, *_):
        ends.extend((os.pipe(), os.pipe()) if version == NEW else (os.pipe(),))
        os.write(ends[0][1], data)
        peer.answer([read_end for read_end, _ in ends], value=-1, pipeid=0 if len(ends) > 1 else 7)

    script = {"GetRawBlob" if version == NEW else "GetBlob": answer}
    with playing(version, FinishPipe=lambda peer, number: None, **script) as (proxy, image, _):
        yield proxy, image
    for _, write_end in ends:
        os.close(write_end)


def test_a_slow_consumer_is_not_a_stalled_source():
    with playing(**blob_script(OLD, b"x" * 4)) as (proxy, image, _):
        with proxy.blob(image, DIGEST, 4) as stream:
            assert stream.read(1) == b"x"
            time.sleep(QUICK.stall * 2)
            assert read_all(stream) == b"xxx"


@both
def test_p06_a_proxy_that_dies_within_a_blob_may_be_tried_again(version):
    def answer(peer, *_):
        ends = [os.pipe(), os.pipe()][: 2 if version == NEW else 1]
        os.write(ends[0][1], b"bl")
        peer.answer([read_end for read_end, _ in ends], value=4, pipeid=0 if len(ends) > 1 else 7)
        peer.hang_up()
        for _, write_end in ends:
            os.close(write_end)

    script = {"GetRawBlob" if version == NEW else "GetBlob": answer}
    with playing(version, **script) as (proxy, image, _):
        with pytest.raises(TransientError), proxy.blob(image, DIGEST, 4) as stream:
            read_all(stream)
        assert not proxy.idle or version == NEW


@pytest.mark.parametrize("verdict", [b"x", b"{}", b"[]", b'{"message": 1}', b"x" * 100_000])
def test_p07_a_verdict_that_is_none_is_refused(verdict):
    with playing(NEW, GetRawBlob=lambda peer, *_: peer.raw(b"blob", verdict)) as (proxy, image, _):
        with pytest.raises(ProxyError, match="verdict"):
            with proxy.blob(image, DIGEST, 4) as stream:
                read_all(stream)


def test_a_verdict_may_say_that_it_is_worth_another_try():
    verdict = b'{"code": "retryable", "message": "something new"}'
    with playing(NEW, GetRawBlob=lambda peer, *_: peer.raw(b"bl", verdict)) as (proxy, image, _):
        with pytest.raises(TransientError) as caught:
            with proxy.blob(image, DIGEST, 4) as stream:
                read_all(stream)
    assert caught.value.details == "something new"


def test_a_blob_by_diff_id_is_asked_twice_to_learn_its_size():
    with playing(**blob_script(OLD, b"tar" * 100_000, value=300_000)) as (proxy, image, peer):
        with proxy.blob_by_diff_id(image, DIGEST) as stream:
            assert read_all(stream) == b"tar" * 100_000
    assert [asked for asked in peer.asked if asked[0] == "GetBlob"] == [
        ("GetBlob", 1, str(DIGEST), -1),
        ("GetBlob", 1, str(DIGEST), 300_000),
    ]


def test_a_blob_whose_size_nobody_knows_is_refused_by_old_proxies():
    with playing(**blob_script(OLD, b"tar")) as (proxy, image, _):
        with pytest.raises(ProxyError, match="does not know the size"):
            with proxy.blob(image, DIGEST, None):
                pass


def test_a_raw_blob_needs_no_known_size():
    with playing(NEW, **blob_script(NEW, b"tar")) as (proxy, image, _):
        with proxy.blob(image, DIGEST, None) as stream:
            assert read_all(stream) == b"tar"


def test_the_pipe_of_a_large_blob_is_widened():
    data = bytes(600_000)
    with playing(**blob_script(OLD, data)) as (proxy, image, _):
        with proxy.blob(image, DIGEST, len(data)) as stream:
            assert fcntl.fcntl(stream._descriptor, fcntl.F_GETPIPE_SZ) == 1024 * 1024
