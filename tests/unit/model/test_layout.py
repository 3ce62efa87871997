import json

import pytest

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import Compression, LayerKind, classify, stored_compression
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.reference import Transport
from orch_frame.errors import InvalidImageError, MismatchError

OCI = "application/vnd.oci.image.layer.v1.tar"
DOCKER = "application/vnd.docker.image.rootfs.diff.tar"
COMMIT, CHUNK, DERIVED = LayerKind


def diff_id(name):
    return str(Digest.of(f"tar {name}".encode()))


def image(names, *, final=None, diff_ids=None, **first_layer):
    """Make an image whose layers are called *names*; *final* is the last ostree layer."""
    layers = [
        {"mediaType": f"{OCI}+gzip", "digest": str(Digest.of(name.encode())), "size": 1}
        for name in names
    ]
    if layers:
        layers[0] |= first_layer
    pointer = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": str(Digest.of(b"config")),
        "size": 1,
    }
    ids = [diff_id(name) for name in names] if diff_ids is None else diff_ids
    labels = {"ostree.final-diffid": diff_id(final)} if final else {}
    return (
        Manifest.parse(
            json.dumps({"schemaVersion": 2, "config": pointer, "layers": layers}).encode()
        ),
        ImageConfig.parse(
            json.dumps(
                {
                    "architecture": "amd64",
                    "os": "linux",
                    "rootfs": {"type": "layers", "diff_ids": ids},
                    "config": {"Labels": labels},
                }
            ).encode()
        ),
    )


@pytest.mark.parametrize(
    ("names", "final", "kinds"),
    [
        pytest.param("ab", None, [DERIVED, DERIVED], id="no-ostree"),
        pytest.param("a", "a", [COMMIT], id="one-layer"),
        pytest.param("abc", "c", [COMMIT, CHUNK, CHUNK], id="chunks"),
        pytest.param("abcd", "b", [COMMIT, CHUNK, DERIVED, DERIVED], id="derived"),
        pytest.param("abcb", "b", [COMMIT, CHUNK, DERIVED, CHUNK], id="M04-last-ostree-repeated"),
        pytest.param("abbc", "b", [COMMIT, CHUNK, CHUNK, DERIVED], id="M04-repeated-at-once"),
        pytest.param("abcc", "b", [COMMIT, CHUNK, DERIVED, DERIVED], id="M04-derived-repeated"),
    ],
)
def test_layers_are_told_apart_by_the_last_ostree_layer(names, final, kinds):
    layers = classify(*image(names, final=final))
    assert [layer.kind for layer in layers] == kinds
    assert [layer.index for layer in layers] == list(range(len(names)))
    assert [str(layer.diff_id) for layer in layers] == [diff_id(name) for name in names]
    assert [layer.repeats for layer in layers] == [
        None if names.index(name) == index else names.index(name)
        for index, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        (OCI, Compression.NONE),
        (f"{OCI}+gzip", Compression.GZIP),
        (f"{OCI}+zstd", Compression.ZSTD),
        (DOCKER, Compression.NONE),
        (f"{DOCKER}.gzip", Compression.GZIP),
    ],
)
def test_m24_the_media_type_tells_the_compression(media_type, compression):
    assert classify(*image("a", mediaType=media_type))[0].compression == compression


@pytest.mark.parametrize(
    "media_type",
    [
        pytest.param("application/vnd.cncf.helm.chart.content.v1.tar+gzip", id="M24-helm"),
        pytest.param(f"{OCI}+xz", id="M24-xz"),
        pytest.param("application/vnd.oci.image.layer.nondistributable.v1.tar", id="M25-foreign"),
        pytest.param(f"{OCI}+gzip+encrypted", id="M26-encrypted"),
        pytest.param(f"{OCI}+GZIP", id="upper-case"),
        pytest.param("", id="empty"),
    ],
)
def test_an_unknown_media_type_is_refused_by_name(media_type):
    with pytest.raises(InvalidImageError, match="is not handled") as caught:
        classify(*image("a", mediaType=media_type))
    assert repr(media_type) in caught.value.summary
    assert caught.value.layer == str(Digest.of(b"a"))


def test_m25_a_layer_with_foreign_addresses_is_refused():
    with pytest.raises(InvalidImageError, match="foreign addresses"):
        classify(*image("a", urls=["http://127.0.0.1/x"]))


def test_m30_an_image_without_layers_is_refused():
    with pytest.raises(InvalidImageError, match="no layers"):
        classify(*image(""))


@pytest.mark.parametrize("count", [pytest.param(1, id="M20-few"), pytest.param(3, id="M21-many")])
def test_each_layer_has_one_diff_id(count):
    with pytest.raises(MismatchError, match=f"2 layers, but the config has {count} diff_ids"):
        classify(*image("ab", diff_ids=[diff_id("x")] * count))


def test_m21_one_blob_cannot_have_two_diff_ids():
    with pytest.raises(MismatchError, match="there twice"):
        classify(*image("aa", diff_ids=[diff_id("a"), diff_id("b")]))


def test_m22_a_last_ostree_layer_that_is_not_there_is_refused():
    with pytest.raises(InvalidImageError, match="no layer has this diff_id"):
        classify(*image("ab", final="z"))


def test_m22_a_last_ostree_layer_that_is_no_digest_is_refused():
    manifest, config = image("ab", final="a")
    config.labels["ostree.final-diffid"] = "x\ny"
    with pytest.raises(InvalidImageError, match="not a digest"):
        classify(manifest, config)


@pytest.mark.parametrize("transport", [Transport.DOCKER_DAEMON, Transport.DOCKER_ARCHIVE])
def test_docker_calls_its_plain_tars_compressed(transport):
    layer = Digest.of(b"")
    media_type = f"{DOCKER}.gzip"
    assert stored_compression(media_type, layer=layer, transport=transport) is Compression.NONE
    storage = Transport.CONTAINERS_STORAGE
    assert stored_compression(OCI, layer=layer, transport=storage) is Compression.NONE
    assert stored_compression(media_type, layer=layer, transport=storage) is Compression.GZIP
