import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.manifest import (
    MAX_DOCUMENT_BYTES,
    MAX_LAYERS,
    Descriptor,
    History,
    ImageConfig,
    Manifest,
    image_timestamp,
)
from bootc_orch.model.timestamp import parse_rfc3339
from orch_frame.errors import InvalidImageError, LimitError

LAYER = {
    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
    "digest": str(Digest.of(b"layer")),
    "size": 5,
}
CONFIG_POINTER = {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": str(Digest.of(b"config")),
    "size": 6,
}
MANIFEST = {"schemaVersion": 2, "config": CONFIG_POINTER, "layers": [LAYER]}
CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(b"tar"))]},
}


def manifest(**changes):
    return Manifest.parse(json.dumps({**MANIFEST, **changes}).encode())


def config(**changes):
    return ImageConfig.parse(json.dumps({**CONFIG, **changes}).encode())


def layer(**changes):
    return [{**LAYER, **changes}]


def test_a_manifest_points_to_its_config_and_layers():
    parsed = manifest(annotations={"a": "b"}, layers=layer(annotations={"c": "d"}, urls=["e"]))
    assert parsed.config == Descriptor(CONFIG_POINTER["mediaType"], Digest.of(b"config"), 6)
    assert parsed.layers == (
        Descriptor(LAYER["mediaType"], Digest.of(b"layer"), 5, {"c": "d"}, ("e",)),
    )
    assert parsed.annotations == {"a": "b"}


def test_the_canonical_manifest_has_the_known_fields_sorted():
    parsed = manifest(
        unknown=1,
        mediaType="application/vnd.oci.image.manifest.v1+json",
        annotations={"ü": '"', "a": ""},
        subject=None,
        layers=layer(platform={"os": "linux", "architecture": "arm64", "os.version": "x"}, extra=1),
    )
    assert parsed.canonical() == (
        '{"annotations":{"a":"","ü":"\\""},'
        f'"config":{{"digest":"{CONFIG_POINTER["digest"]}",'
        '"mediaType":"application/vnd.oci.image.config.v1+json","size":6},'
        f'"layers":[{{"digest":"{LAYER["digest"]}",'
        '"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip",'
        '"platform":{"architecture":"arm64","os":"linux"},"size":5}],'
        '"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}'
    )


def test_a_canonical_document_is_its_own_canonical_form():
    parsed = manifest(annotations={}, artifactType="x", subject=LAYER)
    assert Manifest.parse(parsed.canonical().encode()).canonical() == parsed.canonical()
    described = config(config={"Labels": {"a": "b"}, "Volumes": {"/v": {}}}, history=[])
    assert ImageConfig.parse(described.canonical().encode()).canonical() == described.canonical()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"layers": layer(digest="sha512:00")}, "not a digest", id="M05-sha512"),
        pytest.param({"layers": layer(digest="sha256:../../x")}, "not a digest", id="M08-path"),
        pytest.param({"layers": layer(size=-1)}, "natural number", id="M10-negative"),
        pytest.param({"layers": layer(size=1.5)}, "natural number", id="M11-fraction"),
        pytest.param({"layers": layer(size="10")}, "natural number", id="M11b-text"),
        pytest.param({"layers": layer(size=2**63)}, "too large", id="M11c-2-to-the-63"),
        pytest.param({"layers": layer(size=True)}, "natural number", id="boolean"),
        pytest.param({"schemaVersion": 1}, "schemaVersion 1", id="M12-schema-1"),
        pytest.param({"manifests": []}, "both a manifest and an index", id="M13-both"),
        pytest.param(
            {"mediaType": "application/vnd.oci.image.index.v1+json"}, "calls itself", id="M14"
        ),
        pytest.param({"Layers": []}, "'Layers' where the format has 'layers'", id="M16-case"),
        pytest.param({"layers": layer(Size=1)}, "'Size' where", id="M16-case-in-a-layer"),
        pytest.param(
            {"config": {**CONFIG_POINTER, "mediaType": "application/vnd.cncf.helm.config.v1+json"}},
            "not an image",
            id="M27-config-type",
        ),
        pytest.param({"layers": None}, "lacks layers", id="null-layers"),
        pytest.param({"layers": {}}, "is not an array", id="layers-no-array"),
        pytest.param({"layers": [1]}, r"layers\[0\] is not a JSON object", id="layer-no-object"),
        pytest.param({"config": []}, "config is not a JSON object", id="config-no-object"),
        pytest.param({"annotations": {"a": 1}}, "'a' is not a string", id="annotation-no-text"),
        pytest.param({"annotations": {"a": None}}, "'a' is not a string", id="annotation-null"),
        pytest.param({"layers": [{"size": 1}]}, "lacks digest and mediaType", id="fields-missing"),
    ],
)
def test_a_manifest_that_is_none_is_refused(changes, complaint):
    with pytest.raises(InvalidImageError, match=complaint):
        manifest(**changes)


def test_an_index_is_no_manifest():
    with pytest.raises(InvalidImageError, match="an index, not a manifest"):
        Manifest.parse(b'{"schemaVersion": 2, "manifests": []}')


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b'"x"'])
def test_a_document_that_is_no_object_is_refused(data):
    for parse in (Manifest.parse, ImageConfig.parse):
        with pytest.raises(InvalidImageError, match="is not a JSON object"):
            parse(data)


def test_m03_layers_up_to_the_limit_are_accepted():
    assert len(manifest(layers=[LAYER] * MAX_LAYERS).layers) == MAX_LAYERS
    with pytest.raises(LimitError, match="513 elements"):
        manifest(layers=[LAYER] * (MAX_LAYERS + 1))


def test_r17_a_document_up_to_the_limit_is_accepted():
    def padded(document, length):
        data = json.dumps(document).encode()
        return data + b" " * (length - len(data))

    for parse, document in ((Manifest.parse, MANIFEST), (ImageConfig.parse, CONFIG)):
        parse(padded(document, MAX_DOCUMENT_BYTES))
        with pytest.raises(LimitError):
            parse(padded(document, MAX_DOCUMENT_BYTES + 1))


def test_r18_a_hundred_thousand_annotations_are_too_many():
    with pytest.raises(LimitError, match="100000 entries"):
        manifest(annotations={str(number): "" for number in range(100_000)})


def test_m28_an_artifact_type_and_a_subject_are_accepted():
    assert manifest(artifactType="application/x", subject=LAYER).layers


def test_a_config_describes_the_image():
    parsed = config(
        created="2025-01-01T00:00:00Z",
        config={"Labels": {"version": "1", "org.opencontainers.image.version": "2"}},
        history=[
            {"created_by": "make", "comment": "c", "created": "then"},
            {"empty_layer": True},
        ],
    )
    assert (parsed.created, parsed.architecture, parsed.os) == (
        "2025-01-01T00:00:00Z",
        "amd64",
        "linux",
    )
    assert parsed.diff_ids == (Digest.of(b"tar"),)
    assert parsed.history == (
        History(created="then", created_by="make", comment="c"),
        History(empty_layer=True),
    )
    assert parsed.version == "2"


@pytest.mark.parametrize(
    ("labels", "version"),
    [({"version": "1"}, "1"), ({"org.opencontainers.image.version": ""}, ""), ({}, None)],
)
def test_the_version_comes_from_labels(labels, version):
    assert config(config={"Labels": labels}).version == version


def test_m22_labels_may_hold_anything():
    labels = {"a": "x\nrootflags=evil", "big": "x" * 2**20, "run": "1", "RUN": "2"}
    assert config(config={"Labels": labels}).labels == labels


def test_the_canonical_config_keeps_what_bootc_keeps():
    parsed = config(
        **{"os.version": "1", "os.features": ["f"], "variant": "v8", "author": "", "moby": 1},
        config={
            "User": "u",
            "ExposedPorts": {"80/tcp": {}},
            "Env": ["A=b"],
            "Healthcheck": {"Test": []},
            "ArgsEscaped": True,
            "Shell": ["sh"],
            "Cmd": None,
        },
    )
    assert json.loads(parsed.canonical()) == {
        **CONFIG,
        "os.version": "1",
        "os.features": ["f"],
        "variant": "v8",
        "author": "",
        "config": {"User": "u", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=b"]},
    }


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        pytest.param(b"{}", "lacks architecture and os and rootfs", id="M19-empty"),
        pytest.param(b"nonsense", "not valid JSON", id="M19-no-json"),
        pytest.param(
            b'{"architecture": "a", "os": "b"}', "The config lacks rootfs", id="M19-no-rootfs"
        ),
        pytest.param(
            b'{"architecture": "a", "os": "b", "rootfs": {"type": "layers", "diff_ids": null}}',
            "rootfs lacks diff_ids",
            id="M19-null-diff-ids",
        ),
        pytest.param(
            b'{"architecture": "a", "os": "b", "rootfs": {"type": "layers", "diff_ids": ["x"]}}',
            "not a digest",
            id="M19-diff-id",
        ),
    ],
)
def test_a_config_that_is_none_is_refused(data, complaint):
    with pytest.raises(InvalidImageError, match=complaint):
        ImageConfig.parse(data)


def test_an_image_stored_without_config_has_an_empty_one():
    empty = ImageConfig.empty()
    assert (empty.labels, empty.diff_ids, empty.history, empty.version) == ({}, (), (), None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("1970-01-01T00:00:00Z", 0, id="epoch"),
        pytest.param("2024-01-02T03:04:05Z", 1704164645, id="plain"),
        pytest.param("2024-01-02T03:04:05.999999999Z", 1704164645, id="fraction-floored"),
        pytest.param("2024-01-02t03:04:05z", 1704164645, id="lower-case"),
        pytest.param("2024-01-02 03:04:05Z", 1704164645, id="blank"),
        pytest.param("2024-01-02T05:04:05+02:00", 1704164645, id="east"),
        pytest.param("2024-01-01T21:34:05-05:30", 1704164645, id="west"),
        pytest.param("2016-12-31T23:59:60Z", 1483228799, id="leap-second"),
        pytest.param("9999-12-31T23:59:59Z", 253402300799, id="M23-year-9999"),
        pytest.param("2024-02-30T00:00:00Z", None, id="no-such-day"),
        pytest.param("2024-01-02", None, id="date-alone"),
        pytest.param("2024-01-02T24:00:00Z", None, id="hour-24"),
        pytest.param("2024-01-02T03:04:05", None, id="no-zone"),
        pytest.param("2024-01-02T03:04:05Z\n", None, id="newline"),
        pytest.param("yesterday", None, id="M23-garbage"),
        pytest.param("", None, id="empty"),
    ],
)
def test_dates_are_those_of_rfc_3339(text, seconds):
    assert parse_rfc3339(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("1901-01-01T00:00:00Z", id="M23-1901"),
        pytest.param("1970-01-01T00:00:00+01:00", id="before-1970-by-its-zone"),
        pytest.param("9999-12-31T23:59:59-01:00", id="after-9999-by-its-zone"),
        pytest.param("0000-01-01T00:00:00Z", id="year-0"),
    ],
)
def test_m23_dates_out_of_range_are_refused(text):
    with pytest.raises(InvalidImageError, match="out of range"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    ("annotation", "created", "seconds"),
    [
        pytest.param("2024-01-02T03:04:05Z", "1970-01-01T00:00:00Z", 1704164645, id="annotation"),
        pytest.param(None, "1970-01-01T00:00:00Z", 0, id="config"),
        pytest.param("garbage", "1970-01-01T00:00:00Z", None, id="no-fall-back-from-garbage"),
        pytest.param(None, None, None, id="neither"),
    ],
)
def test_the_date_is_that_of_the_annotation_or_else_of_the_config(annotation, created, seconds):
    annotations = {"org.opencontainers.image.created": annotation} if annotation else {}
    assert image_timestamp(manifest(annotations=annotations), config(created=created)) == seconds


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_document_is_refused_or_read_but_never_crashes(data):
    parse, document = data.draw(
        st.sampled_from([(Manifest.parse, MANIFEST), (ImageConfig.parse, CONFIG)])
    )
    text = bytearray(json.dumps(document).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 8))
        pieces = [b"", b"{", b"]", b'"', b"null", b"1e400", b"-0", b"\\u0000", b"\xff", b"\\ud800"]
        text[start : start + length] = data.draw(st.sampled_from(pieces))
    with suppress(InvalidImageError, LimitError):
        parsed = parse(bytes(text))
        assert parse(parsed.canonical().encode()) == parsed
