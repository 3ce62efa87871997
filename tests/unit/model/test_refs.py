import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, escape, image_ref, unescape
from orch_frame.errors import StoreDamagedError, UsageError

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("docker://quay.io/a/b:tag", "docker_3A__2F__2F_quay_2E_io/a/b_3A_tag"),
        ("registry:quay.io/a/b:tag", "registry_3A_quay_2E_io/a/b_3A_tag"),
        (
            "docker://quay.io/a/b@sha256:0123",
            "docker_3A__2F__2F_quay_2E_io/a/b_40_sha256_3A_0123",
        ),
        (
            "docker://localhost:5000/foo:latest",
            "docker_3A__2F__2F_localhost_3A_5000/foo_3A_latest",
        ),
        ("sha256:2c26", "sha256_3A_2c26"),
        ("oci:/tmp/x:d1", "oci_3A__2F_tmp/x_3A_d1"),
        ("containers-storage:localhost/img", "containers-storage_3A_localhost/img"),
        ("a//b", "a/_2F_b"),
        ("/", "_2F_"),
        ("blah/", "blah_2F_"),
        ("/foo/", "_2F_foo_2F_"),
        ("foo.", "foo_2E_"),
        ("foo_bar", "foo__bar"),
        ("a_/b", "a___2F_b"),
        ("a-/b", "a-_2F_b"),
        ("café", "caf_E9_"),
        ("☃", "_2603_"),
        ("🐳", "_1F433_"),
        ("\n", "_0A_"),
        ("٣/x", "_663__2F_x"),
    ],
)
def test_escaping_is_that_of_bootc_and_can_be_undone(text, escaped):
    assert escape(text) == escaped
    assert unescape(escaped) == text


@given(NAMES)
def test_every_text_round_trips(text):
    assert unescape(escape(text)) == text


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_what_cannot_be_in_a_ref_is_refused(text):
    with pytest.raises(UsageError):
        escape(text)


@pytest.mark.parametrize("text", ["a.b", "a_", "_", "_2F", "a_zz_", "_110000_", "_D800_", "é"])
def test_what_no_escaping_yields_is_refused(text):
    with pytest.raises(StoreDamagedError):
        unescape(text)


def test_refs_of_layers_and_images():
    digest = Digest.of(b"")
    assert blob_ref(digest) == f"ostree/container/blob/sha256_3A_{digest.hex}"
    assert (
        image_ref(ImageReference.parse("registry:quay.io/a"))
        == "ostree/container/image/docker_3A__2F__2F_quay_2E_io/a"
    )


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        pytest.param("docker://q.io/a/-b", "component '-b'", id="leading-hyphen"),
        pytest.param("oci:x" + "a" * 300, "too long", id="too-long-for-a-file"),
    ],
)
def test_a_name_that_makes_no_ref_is_refused(image, complaint):
    with pytest.raises(UsageError, match=complaint):
        image_ref(ImageReference.parse(image))
