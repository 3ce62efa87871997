"""The proxy client against a scripted peer at the other end of a real socket: all but blobs."""

# ruff: noqa: SIM117, RUF043 - each block is one step of a conversation

import json
import os
import socket
import threading

import pytest
from support.proxy_peer import DIGEST, NEW, OLD, Peer, open_descriptors, playing, serving

from bootc_orch.model.image.manifest import MAX_DOCUMENT_BYTES, Descriptor
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.tools.proxy.client import Proxy, require_policy_enforcement
from bootc_orch.tools.proxy.errors import ProxyError
from bootc_orch.tools.proxy.replies import LayerInfo
from bootc_orch.tools.proxy.timers import Timers
from orch_frame.errors import (
    InvalidImageError,
    LimitError,
    MismatchError,
    NotFoundError,
    StallError,
    ToolError,
    TransientError,
    UsageError,
)


@pytest.mark.parametrize("version", [OLD, "0.2.5", NEW, "0.2.99", "0.2.8-dev"])
def test_versions_from_0_2_3_on_are_spoken(version):
    with playing(version) as (proxy, _, _):
        assert proxy.version[:2] == (0, 2)


@pytest.mark.parametrize(
    "version",
    [
        pytest.param("0.2.2", id="P08-too-old"),
        pytest.param("0.3.0", id="too-new"),
        pytest.param("1.0.0", id="next"),
        pytest.param("", id="empty"),
        pytest.param("x", id="garbage"),
        pytest.param(None, id="null"),
        pytest.param(3, id="number"),
    ],
)
def test_other_versions_are_refused_with_status_69(version):
    with pytest.raises(ToolError, match="protocol") as caught, playing(version):
        pass
    assert caught.value.exit_code == 69


def test_p08_the_error_names_the_version_found_and_the_one_needed():
    with pytest.raises(ToolError, match=r"protocol 0\.2\.2; 0\.2\.3 or a later"), playing("0.2.2"):
        pass


def test_p07_a_proxy_that_ends_at_once_is_a_tool_error():
    with pytest.raises(ToolError, match="ended at once"), playing(Initialize=Peer.hang_up):
        pass


def test_p07_a_proxy_that_never_answers_is_not_waited_for():
    with pytest.raises(StallError, match="did not answer Initialize within 0.3 s"):
        with playing(Initialize=lambda peer: None):
            pass


# --- opening


def test_an_image_is_opened_under_its_displayed_name():
    with playing() as (_, image, peer):
        assert image == 1
    assert peer.asked == [("Initialize",), ("OpenImage", "docker://127.0.0.1:5000/os")]


def test_the_proxys_words_become_an_error_with_a_class():
    refusal = {"OpenImage": lambda peer, name: peer.refuse("reading manifest: manifest unknown")}
    with pytest.raises(NotFoundError, match="docker://127.0.0.1:5000/os was not found") as caught:
        with playing(**refusal):
            pass
    assert caught.value.details == "reading manifest: manifest unknown"


@pytest.mark.parametrize("value", [0, -1, None, "1", 1.5])
def test_p07_an_image_needs_a_number(value):
    with pytest.raises(ProxyError, match="without a number"):
        with playing(OpenImage=lambda peer, name: peer.answer(value=value)):
            pass


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"garbage", id="no-json"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b"\xff", id="no-text"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b'{"success": "yes"}', id="success-no-boolean"),
        pytest.param(b'{"success": true, "pipeid": "x"}', id="pipe-no-number"),
        pytest.param(b'{"success": false}', id="no-error"),
        pytest.param(b'{"success": false, "error": 1}', id="error-no-text"),
    ],
)
def test_p07_an_answer_that_is_none_is_refused(packet):
    with pytest.raises(ProxyError), playing(OpenImage=lambda peer, name: peer.send(packet)):
        pass


def test_p07_after_a_broken_answer_the_proxy_is_not_asked_again():
    with playing(GetFullConfig=lambda peer, image: peer.send(b"x")) as (proxy, image, peer):
        with pytest.raises(ProxyError):
            proxy.config(image)
        assert not proxy.idle
        with pytest.raises(TransientError, match="ended before"):
            proxy.manifest(image)
    assert peer.asked[-1][0] == "GetFullConfig"


def test_a_name_that_the_proxy_would_cut_off_is_refused():
    with playing() as (proxy, _, _), pytest.raises(UsageError, match="too long"):
        proxy.open_image(ImageReference.parse("oci:/" + "x" * 32 * 1024))


def test_p06_a_proxy_that_dies_may_be_tried_again():
    with playing(GetFullConfig=lambda peer, image: peer.hang_up()) as (proxy, image, _):
        with pytest.raises(TransientError, match="ended before it answered GetFullConfig"):
            proxy.config(image)


def test_a_closed_image_is_forgotten():
    with playing(CloseImage=lambda peer, image: peer.answer()) as (proxy, image, peer):
        proxy.close_image(image)
    assert peer.asked[-1] == ("CloseImage", 1)


# --- descriptors


@pytest.mark.parametrize("count", [0, 2, 3, 9])
def test_p07_a_wrong_number_of_descriptors_is_refused_and_leaks_none(count):
    def answer(peer, image):
        ends = [os.pipe() for _ in range(count)]
        for _, write_end in ends:
            os.close(write_end)
        peer.answer([read_end for read_end, _ in ends], pipeid=7)

    before = open_descriptors()
    with playing(GetFullConfig=answer) as (proxy, image, _), pytest.raises(ProxyError):
        proxy.config(image)
    assert open_descriptors() == before


def test_p07_a_pipe_without_a_number_is_refused_and_leaks_nothing():
    def answer(peer, image):
        read_end, write_end = os.pipe()
        os.close(write_end)
        peer.answer([read_end], pipeid=0)

    before = open_descriptors()
    with playing(GetFullConfig=answer) as (proxy, image, _):
        with pytest.raises(ProxyError, match="pipe that has no number"):
            proxy.config(image)
    assert open_descriptors() == before


def test_descriptors_beside_a_refusal_are_closed():
    def answer(peer, image):
        read_end, write_end = os.pipe()
        os.close(write_end)
        peer.answer([read_end], success=False, error="invalid character")

    before = open_descriptors()
    with playing(GetFullConfig=answer) as (proxy, image, _), pytest.raises(InvalidImageError):
        proxy.config(image)
    assert open_descriptors() == before


def test_p07_an_oversized_answer_is_refused():
    def answer(peer, image):
        peer.connection.setsockopt(socket.SOL_SOCKET, 32, 8 * 2**20)  # SO_SNDBUFFORCE: root only
        peer.send(b" " * (2**20 + 1))

    if os.geteuid() != 0:
        pytest.skip("only root can send a packet of this size")
    with playing(GetFullConfig=answer) as (proxy, image, _):
        with pytest.raises(ProxyError, match="too large"):
            proxy.config(image)


def test_received_descriptors_are_not_inherited_by_children():
    with playing(GetBlob=serving(b"blob", value=4)) as (proxy, image, _):
        with proxy.blob(image, DIGEST, 4) as stream:
            assert not os.get_inheritable(stream._descriptor)


# --- manifest, config, layer info


def test_a_manifest_comes_with_the_digest_of_the_original():
    data = b"x" * 200_000  # more than a pipe holds
    with playing(GetManifest=serving(data, value=str(DIGEST))) as (proxy, image, peer):
        assert proxy.manifest(image) == (DIGEST, data)
        assert proxy.idle
    assert peer.asked[2:] == [("GetManifest", 1), ("FinishPipe", 7)]


@pytest.mark.parametrize("value", [None, 1, "sha256:00", "sha256:../x"])
def test_p07_a_manifest_without_a_digest_is_refused(value):
    with playing(GetManifest=serving(b"{}", value=value)) as (proxy, image, _):
        with pytest.raises((ProxyError, InvalidImageError)):
            proxy.manifest(image)


def test_the_config_is_the_full_one():
    with playing(GetFullConfig=serving(b"{}")) as (proxy, image, peer):
        assert proxy.config(image) == b"{}"
    assert ("GetFullConfig", 1) in peer.asked


UNREADABLE = 'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday"'


def test_m23_a_config_that_skopeo_cannot_convert_is_read_as_stored():
    script = {
        "GetFullConfig": lambda peer, image: peer.refuse(UNREADABLE),
        "GetBlob": serving(b"blob", value=4),
    }
    with playing(**script) as (proxy, image, peer):
        assert proxy.config(image, Descriptor("type", DIGEST, 4)) == b"blob"
        with pytest.raises(InvalidImageError):
            proxy.config(image)
    assert peer.asked[3] == ("GetBlob", 1, str(DIGEST), 4)


def test_a_config_as_stored_is_verified():
    script = {
        "GetFullConfig": lambda peer, image: peer.refuse(UNREADABLE),
        "GetRawBlob": lambda peer, *_: peer.raw(b"evil"),
    }
    with playing(NEW, **script) as (proxy, image, _):
        with pytest.raises(MismatchError, match="does not have the digest"):
            proxy.config(image, Descriptor("type", DIGEST, 4))


@pytest.mark.parametrize(
    ("method", "call"),
    [
        pytest.param("GetManifest", Proxy.manifest, id="R17-manifest"),
        pytest.param("GetFullConfig", Proxy.config, id="R17-config"),
    ],
)
def test_a_document_over_the_limit_is_refused(method, call):
    endless = serving(b"x" * (MAX_DOCUMENT_BYTES * 2), value=str(DIGEST))
    with playing(**{method: endless}) as (proxy, image, _):
        with pytest.raises(LimitError, match="has more than 4194304 bytes"):
            call(proxy, image)


INFO = [{"digest": str(DIGEST), "size": 4, "media_type": "application/x"}]


@pytest.mark.parametrize(
    ("version", "script", "info"),
    [
        pytest.param("0.2.4", {}, None, id="unknown"),
        pytest.param(
            "0.2.5", {"GetLayerInfo": lambda peer, image: peer.answer(value=INFO)},
            (LayerInfo(DIGEST, 4, "application/x"),), id="inline",
        ),
        pytest.param(
            "0.2.7", {"GetLayerInfoPiped": serving(json.dumps(INFO).encode())},
            (LayerInfo(DIGEST, 4, "application/x"),), id="piped",
        ),
    ],
)  # fmt: skip
def test_layer_info_is_asked_as_the_protocol_has_it(version, script, info):
    with playing(version, **script) as (proxy, image, _):
        assert proxy.layer_info(image) == info


@pytest.mark.parametrize("data", [b"{}", b"x", b"[1]", b'[{"digest": 1}]', b"[" * 100_000])
def test_p07_layer_info_that_is_none_is_refused(data):
    with playing("0.2.7", GetLayerInfoPiped=serving(data)) as (proxy, image, _):
        with pytest.raises(ProxyError):
            proxy.layer_info(image)


def test_another_thread_can_end_the_conversation():
    with playing(GetFullConfig=lambda peer, image: None, timers=Timers()) as (proxy, image, _):
        timer = threading.Timer(0.2, proxy.abort)
        timer.start()
        with pytest.raises(TransientError):
            proxy.config(image)
        timer.join()


# --- signatures


@pytest.mark.parametrize("version", [(0, 2, 3), (0, 2, 5)])
def test_old_proxies_do_not_check_signatures_and_are_refused(version):
    with pytest.raises(ToolError, match="does not check signatures") as caught:
        require_policy_enforcement(version)
    assert "1.13" in caught.value.hint
    assert caught.value.exit_code == 69


def test_new_proxies_check_signatures():
    require_policy_enforcement((0, 2, 6))
    require_policy_enforcement((0, 2, 8))
