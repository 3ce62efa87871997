import pytest

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.docker_reference import DockerReference
from bootc_orch.model.image.reference import (
    CONTAINER_POLICY,
    INSECURE,
    ImageReference,
    OstreeImageReference,
    SignatureSource,
    Transport,
)
from orch_frame.errors import UsageError

DIGEST = Digest.parse("sha256:" + "0123456789abcdef" * 4)


@pytest.mark.parametrize(
    ("text", "transport", "name", "shown"),
    [
        pytest.param(
            "registry:quay.io/a/b:tag", Transport.REGISTRY, "quay.io/a/b:tag",
            "docker://quay.io/a/b:tag", id="registry",
        ),
        pytest.param(
            "docker://quay.io/a/b", Transport.REGISTRY, "quay.io/a/b", "docker://quay.io/a/b",
            id="docker",
        ),
        pytest.param("oci:/x:tag", Transport.OCI, "/x:tag", "oci:/x:tag", id="oci"),
        pytest.param(
            "oci-archive:/x.tar", Transport.OCI_ARCHIVE, "/x.tar", "oci-archive:/x.tar",
            id="oci-archive",
        ),
        pytest.param(
            "docker-archive:/x.tar:n:t", Transport.DOCKER_ARCHIVE, "/x.tar:n:t",
            "docker-archive:/x.tar:n:t", id="docker-archive",
        ),
        pytest.param(
            "docker-daemon:n:t", Transport.DOCKER_DAEMON, "n:t", "docker-daemon:n:t",
            id="docker-daemon",
        ),
        pytest.param(
            "containers-storage:[vfs@/r+/run:o=1]localhost/n", Transport.CONTAINERS_STORAGE,
            "[vfs@/r+/run:o=1]localhost/n", "containers-storage:[vfs@/r+/run:o=1]localhost/n",
            id="containers-storage",
        ),
        pytest.param("dir:x", Transport.DIR, "x", "dir:x", id="dir"),
    ],
)  # fmt: skip
def test_a_reference_is_a_transport_and_a_name(text, transport, name, shown):
    reference = ImageReference.parse(text)
    assert reference == ImageReference(transport, name)
    assert str(reference) == shown
    assert ImageReference.parse(shown) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "foo://",
        "docker:blah",
        "registry:",
        "docker://",
        "foo:bar",
        "oci:",
        "docker:/x",
        "Oci:x",
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(UsageError):
        ImageReference.parse(text)


@pytest.mark.parametrize("character", ["\n", "\0", "\x1b", "\x7f", "\x85", "\ud800"])
def test_a_name_cannot_break_out_of_an_origin_file_or_steer_a_terminal(character):
    with pytest.raises(UsageError, match="control character"):
        ImageReference.parse(f"oci:/x{character}y")
    with pytest.raises(UsageError, match="control character"):
        OstreeImageReference.parse(f"ostree-remote-registry:r{character}:x")


@pytest.mark.parametrize(
    ("text", "signature", "image", "shown"),
    [
        pytest.param(
            "ostree-image-signed:docker://q.io/x", CONTAINER_POLICY, "docker://q.io/x",
            "ostree-image-signed:docker://q.io/x", id="signed",
        ),
        pytest.param(
            "ostree-image-signed:registry:q.io/x", CONTAINER_POLICY, "docker://q.io/x",
            "ostree-image-signed:docker://q.io/x", id="signed-registry",
        ),
        pytest.param(
            "ostree-unverified-image:docker://q.io/x", INSECURE, "docker://q.io/x",
            "ostree-unverified-registry:q.io/x", id="unverified-docker",
        ),
        pytest.param(
            "ostree-unverified-registry:q.io/x", INSECURE, "docker://q.io/x",
            "ostree-unverified-registry:q.io/x", id="unverified-registry",
        ),
        pytest.param(
            "ostree-unverified-image:oci:/x:t", INSECURE, "oci:/x:t",
            "ostree-unverified-image:oci:/x:t", id="unverified-oci",
        ),
        pytest.param(
            "ostree-remote-image:r:docker://q.io/x:t", SignatureSource.ostree_remote("r"),
            "docker://q.io/x:t", "ostree-remote-image:r:docker://q.io/x:t", id="remote",
        ),
        pytest.param(
            "ostree-remote-registry:r:q.io/x:t", SignatureSource.ostree_remote("r"),
            "docker://q.io/x:t", "ostree-remote-image:r:docker://q.io/x:t", id="remote-registry",
        ),
    ],
)  # fmt: skip
def test_an_ostree_reference_says_who_vouches(text, signature, image, shown):
    reference = OstreeImageReference.parse(text)
    assert reference == OstreeImageReference(signature, ImageReference.parse(image))
    assert str(reference) == shown
    assert OstreeImageReference.parse(shown) == reference


@pytest.mark.parametrize(
    "text",
    [
        "", "docker://q.io/x", "q.io/x", "ostree-image-signed:", "ostree-image-signed:q.io/x",
        "ostree-unverified-registry:", "ostree-remote-registry:r", "ostree-remote-image:r:x",
        "ostree-remote-image::docker://x", "ostree-remote-registry:a/b:x", "ostree-nonsense:oci:x",
    ],
)  # fmt: skip
def test_what_is_no_ostree_reference_is_refused(text):
    with pytest.raises(UsageError):
        OstreeImageReference.parse(text)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        pytest.param(
            "ostree-unverified-registry:q.io/x", {"image": "q.io/x", "transport": "registry"},
            id="unverified",
        ),
        pytest.param(
            "ostree-image-signed:oci-archive:/x",
            {"image": "/x", "transport": "oci-archive", "signature": "containerPolicy"},
            id="signed",
        ),
        pytest.param(
            "ostree-remote-image:r:docker://x",
            {"image": "x", "transport": "registry", "signature": {"ostreeRemote": "r"}},
            id="remote",
        ),
    ],
)  # fmt: skip
def test_a_host_specification_round_trips(text, spec):
    reference = OstreeImageReference.parse(text)
    assert reference.to_host_spec() == spec
    assert OstreeImageReference.from_host_spec(spec) == reference


@pytest.mark.parametrize("signature", [None, "insecure"])
def test_an_insecure_host_specification_is_unverified(signature):
    spec = {"image": "x", "transport": "registry", "signature": signature}
    assert str(OstreeImageReference.from_host_spec(spec)) == "ostree-unverified-registry:x"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="empty"),
        pytest.param({"image": "x"}, id="no-transport"),
        pytest.param({"image": "x", "transport": "docker"}, id="bare-docker"),
        pytest.param({"image": "", "transport": "registry"}, id="no-name"),
        pytest.param(
            {"image": "x", "transport": "oci", "signature": "whatever"}, id="unknown-signature"
        ),
        pytest.param(
            {"image": "x", "transport": "oci", "signature": {"ostreeRemote": "r", "x": 1}},
            id="more-than-a-remote",
        ),
    ],
)
def test_a_wrong_host_specification_is_refused(spec):
    with pytest.raises(UsageError):
        OstreeImageReference.from_host_spec(spec)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        (f"quay.io/a/b:latest@{DIGEST}", f"quay.io/a/b@{DIGEST}"),
        (f"b:t@{DIGEST}", f"docker.io/library/b@{DIGEST}"),
        (f"quay.io/a/b@{DIGEST}", f"quay.io/a/b@{DIGEST}"),
        ("quay.io/a/b:latest", "quay.io/a/b:latest"),
        ("b", "b"),
    ],
)
def test_canonicalising_drops_a_tag_beside_a_digest(name, canonical):
    reference = ImageReference(Transport.REGISTRY, name)
    assert reference.canonicalise().name == canonical


def test_canonicalising_leaves_other_transports_alone():
    reference = ImageReference.parse(f"oci:/x:t@{DIGEST}")
    assert reference.canonicalise() == reference


def test_canonicalising_refuses_what_no_registry_can_have():
    with pytest.raises(UsageError, match="not the name of an image"):
        ImageReference.parse("docker://Quay.io/A").canonicalise()


@pytest.mark.parametrize(
    ("text", "tagged"),
    [
        ("docker://quay.io/a/b", "docker://quay.io/a/b:new"),
        ("docker://quay.io/a/b:old", "docker://quay.io/a/b:new"),
        (f"docker://quay.io/a/b:old@{DIGEST}", "docker://quay.io/a/b:new"),
        ("docker://localhost:5000/b", "docker://localhost:5000/b:new"),
        ("docker://b", "docker://docker.io/library/b:new"),
        ("containers-storage:localhost/b:old", "containers-storage:localhost/b:new"),
        ("oci:/x:old", "oci:/x:new"),
        ("oci:/x", "oci:/x:new"),
        ("oci:x:old", "oci:x:new"),
        (
            f"containers-storage:[o@/r+/s:x=1]localhost/b:old@{DIGEST}",
            "containers-storage:[o@/r+/s:x=1]localhost/b:new",
        ),
        ("oci-archive:/x:y/z", "oci-archive:/x:y/z:new"),
    ],
)
def test_a_new_tag_replaces_tag_and_digest(text, tagged):
    assert str(ImageReference.parse(text).with_tag("new")) == tagged


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("docker://quay.io/a/b", f"docker://quay.io/a/b@{DIGEST}"),
        ("docker://quay.io/a/b:t", f"docker://quay.io/a/b:t@{DIGEST}"),
        ("docker://quay.io/a/b:t@sha256:00", f"docker://quay.io/a/b:t@{DIGEST}"),
        ("containers-storage:[o@/r]b", f"containers-storage:[o@/r]b@{DIGEST}"),
    ],
)
def test_a_digest_is_appended_and_the_tag_stays(text, pinned):
    assert str(ImageReference.parse(text).with_digest(DIGEST)) == pinned


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (f"docker://q.io/x@{DIGEST}", DIGEST),
        (f"docker://q.io/x:t@{DIGEST}", DIGEST),
        (f"containers-storage:[o@/r]b@{DIGEST}", DIGEST),
        ("docker://q.io/x:t", None),
        (f"docker://q.io/x@sha512:{DIGEST.hex * 2}", None),
        (f"docker://q.io/x@{DIGEST}0", None),
    ],
)
def test_the_digest_of_a_name_is_found(text, digest):
    assert ImageReference.parse(text).digest == digest


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("x", DockerReference("docker.io", "library/x", "latest", None)),
        ("x:1", DockerReference("docker.io", "library/x", "1", None)),
        ("a/x", DockerReference("docker.io", "a/x", "latest", None)),
        ("index.docker.io/x", DockerReference("docker.io", "library/x", "latest", None)),
        ("localhost/x", DockerReference("localhost", "x", "latest", None)),
        ("127.0.0.1:5000/a/x:t", DockerReference("127.0.0.1:5000", "a/x", "t", None)),
        ("[::1]:5000/x", DockerReference("[::1]:5000", "x", "latest", None)),
        (f"q.io/x@{DIGEST}", DockerReference("q.io", "x", None, str(DIGEST))),
        (f"q.io/x:t@{DIGEST}", DockerReference("q.io", "x", "t", str(DIGEST))),
    ],
)
def test_a_familiar_name_is_completed(text, parsed):
    assert DockerReference.parse(text) == parsed


@pytest.mark.parametrize(
    "text",
    ["", "X", "q.io/", "/x", "q.io/x:", "q.io/x@", "q.io/x@sha256:00", "q.io/a..b", "q.io/x:-t",
     "-q.io/x", "q.io/x y", "q.io:port/x", "q.io/x\n", "q.io/" + "a" * 256],
)  # fmt: skip
def test_what_is_no_name_of_a_registry_is_none(text):
    assert DockerReference.parse(text) is None
