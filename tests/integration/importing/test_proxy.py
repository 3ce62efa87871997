"""The proxy client against real skopeo, on every transport it can reach here."""

# ruff: noqa: SIM117, PT012 - each block is one step of a conversation

import os
import re
import signal
import time
from pathlib import Path

import pytest
from support.badreg import (
    BLOB_PATH,
    MANIFEST_PATH,
    Fault,
    answered,
    bad_registry,
    changed,
    cut,
    endless,
    send,
    silent,
    trickled,
)
from support.images import manifest_digest_of, small_images
from support.ociwriter import CONFIG, INDEX, MANIFEST, ImageWriter, encode, stored
from support.registry import PASSWORD

from bootc_orch.errors import CommandError
from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import Compression, classify, stored_compression
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.reference import ImageReference, Transport
from bootc_orch.process import run
from bootc_orch.stream.decompress import decompress
from bootc_orch.tools import skopeo
from bootc_orch.tools.proxy import client as proxy_module
from bootc_orch.tools.proxy.client import open_proxy
from bootc_orch.tools.proxy.errors import ProxyError
from bootc_orch.tools.proxy.options import ProxyOptions
from bootc_orch.tools.proxy.replies import LAYER_INFO, POLICY_ENFORCED
from bootc_orch.tools.proxy.timers import Timers
from orch_frame.errors import (
    AuthError,
    ConfigError,
    InvalidImageError,
    LimitError,
    MismatchError,
    NotFoundError,
    PolicyError,
    StallError,
    ToolError,
    TransientError,
)

LARGE = 8 * 1024 * 1024
UNPACKED = (Transport.CONTAINERS_STORAGE, Transport.DOCKER_ARCHIVE)
QUICK = Timers(answer=1, local_answer=5, first_byte=1, stall=1)


def skopeo_copy(source, target):
    run(["skopeo", "copy", "--quiet", "--insecure-policy", source, target])


@pytest.fixture(autouse=True)
def no_processes_left():
    """No test may leave a child behind."""
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def plain(oci_layout_of):
    """A layout of an image with nothing of ostree in it."""
    return oci_layout_of("plain")


@pytest.fixture
def large_layout(tmp_path):
    """A layout with one uncompressed layer, larger than every buffer on the way."""
    image = ImageWriter(tmp_path / "large", [stored(os.urandom(1024) * (LARGE // 1024))])
    image.write()
    return image.path


def children():
    """Return the processes that this one has, by id."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/status"):
        try:
            status = dict(line.split(":\t", 1) for line in entry.read_text().splitlines())
        except (OSError, ValueError):
            continue
        if status["PPid"].strip() == str(os.getpid()):
            found[int(entry.parent.name)] = status
    return found


def skopeo_child():
    (pid,) = (pid for pid, status in children().items() if status["Name"].strip() == "skopeo")
    return pid


def check_digest(received, wanted):
    """Do what protocol 0.2.8 leaves to whoever fetches."""
    if received != wanted:
        raise MismatchError("The digest is wrong.", layer=str(wanted))


def fetch(reference, **options):
    """Fetch all of an image; return its digest, and what its layers are once decompressed."""
    image = ImageReference.parse(reference)
    with open_proxy(ProxyOptions(**options)) as proxy:
        number = proxy.open_image(image)
        digest, data = proxy.manifest(number)
        manifest, config = Manifest.parse(data), ImageConfig.parse(proxy.config(number))
        info = proxy.layer_info(number)
        assert (info is None) == (proxy.version < LAYER_INFO)
        found = []
        for layer in classify(manifest, config):
            named, compression = layer.descriptor.digest, layer.compression
            blob, size = named, layer.descriptor.size
            if image.transport in UNPACKED:
                compression, blob, size = Compression.NONE, layer.diff_id, None
                if info:
                    blob, size = info[layer.index].digest, info[layer.index].size
                    compression = stored_compression(
                        info[layer.index].media_type, layer=named, transport=image.transport
                    )
            with proxy.blob(number, blob, size, layer=named) as stream:
                received = b"".join(iter(stream.read, b""))
            assert Digest.of(received) == blob
            found.append(Digest.of(b"".join(decompress([received], compression))))
        proxy.close_image(number)
    return digest, found, list(config.diff_ids)


def place(transport, layout, tmp_path):
    """Copy the image in *layout* to a place of *transport*; return its reference."""
    match transport:
        case Transport.OCI:
            return f"oci:{layout}"
        case Transport.CONTAINERS_STORAGE:
            root = tmp_path / "storage"
            target = f"containers-storage:[vfs@{root}+{tmp_path}/run]localhost/os:1"
        case Transport.DOCKER_ARCHIVE:
            target = f"docker-archive:{tmp_path}/archive.tar:localhost/os:1"
        case _:
            target = f"{transport}:{tmp_path}/{transport}"
    skopeo_copy(f"oci:{layout}", target)
    return target


# --- transports


@pytest.mark.parametrize("name", small_images())
def test_every_fixture_image_is_read_from_a_layout(name, oci_layout_of):
    digest, found, promised = fetch(f"oci:{oci_layout_of(name)}")
    assert str(digest) == manifest_digest_of(name)
    assert found == promised


@pytest.mark.parametrize(
    "transport",
    [
        Transport.OCI_ARCHIVE,
        Transport.DIR,
        Transport.DOCKER_ARCHIVE,
        pytest.param(Transport.CONTAINERS_STORAGE, marks=pytest.mark.root),
    ],
)
@pytest.mark.parametrize("name", ["derived", "plain"])
def test_every_transport_gives_the_same_layers(transport, name, oci_layout_of, tmp_path):
    layout = oci_layout_of(name)
    _, found, promised = fetch(place(transport, layout, tmp_path))
    assert found == promised == fetch(f"oci:{layout}")[1]


@pytest.mark.parametrize("name", ["derived", "derived-docker", "derived-multi"])
def test_a_registry_gives_the_same_layers(name, registry, oci_layout_of):
    reference = f"docker://{registry.push(f'oci:{oci_layout_of(name)}', 'os')}"
    digest, found, promised = fetch(reference, tls_verify=False)
    assert str(digest) == manifest_digest_of(name)
    assert found == promised


def test_an_image_can_be_pinned_by_digest(oci_layout_of, registry):
    name = registry.push(f"oci:{oci_layout_of('plain')}", "os")
    pinned = f"docker://{name.rpartition(':')[0]}@{manifest_digest_of('plain')}"
    assert str(fetch(pinned, tls_verify=False)[0]) == manifest_digest_of("plain")


@pytest.mark.parametrize(
    "reference",
    [
        "oci:{0}/nope",
        "oci-archive:{0}/nope",
        "docker-archive:{0}/nope",
        "containers-storage:[vfs@{0}/storage+{0}/run]localhost/nope",
    ],
)
def test_what_is_not_there_is_not_found(reference, tmp_path):
    with pytest.raises(NotFoundError) as caught:
        fetch(reference.format(tmp_path))
    assert caught.value.exit_code == 66


def test_an_unknown_tag_is_not_found(plain, registry):
    registry.push(f"oci:{plain}", "os")
    for name in ("os:nope", "nope:latest"):
        with pytest.raises(NotFoundError, match="was not found"):
            fetch(f"docker://{registry.address}/{name}", tls_verify=False)
    with pytest.raises(NotFoundError):
        fetch(f"oci:{plain}:nope")


# --- trust


def test_a_registry_of_ones_own_authority_needs_its_certificates(make_registry, plain):
    registry = make_registry(tls=True)
    reference = f"docker://{registry.push(f'oci:{plain}', 'os')}"
    with pytest.raises(PolicyError, match="is not trusted") as caught:
        fetch(reference)
    assert caught.value.exit_code == 76
    assert fetch(reference, cert_dir=registry.cert_dir)[1]
    assert fetch(reference, tls_verify=False)[1]


def test_s24_a_registry_without_tls_is_said_to_be_one(registry, plain):
    reference = f"docker://{registry.push(f'oci:{plain}', 'os')}"
    with pytest.raises(ConfigError, match="speaks plain HTTP"):
        fetch(reference)


def test_a_password_comes_from_the_authfile_only(make_registry, plain, tmp_path):
    registry = make_registry(password=True)
    reference = f"docker://{registry.push(f'oci:{plain}', 'os')}"
    assert fetch(reference, tls_verify=False, authfile=registry.authfile)[1]
    for options in ({}, {"anonymous": True}):
        with pytest.raises(AuthError) as caught:
            fetch(reference, tls_verify=False, **options)
        assert caught.value.exit_code == 76
    empty = tmp_path / "empty.json"
    empty.write_text("{}")
    with pytest.raises(AuthError):
        fetch(reference, tls_verify=False, authfile=empty)


def test_podmans_credentials_are_not_used(make_registry, plain, monkeypatch):
    registry = make_registry(password=True)
    reference = f"docker://{registry.push(f'oci:{plain}', 'os')}"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(registry.authfile))
    with pytest.raises(AuthError):
        fetch(reference, tls_verify=False)


def test_s20_no_secret_is_in_sight_of_other_processes(make_registry, plain):
    registry = make_registry(password=True)
    reference = f"docker://{registry.push(f'oci:{plain}', 'os')}"
    encoded = registry.authfile.read_text().split('"')[-2]
    with open_proxy(ProxyOptions(authfile=registry.authfile, tls_verify=False)) as proxy:
        proxy.open_image(ImageReference.parse(reference))
        process = Path(f"/proc/{skopeo_child()}")
        seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        descriptors = sorted(int(entry.name) for entry in (process / "fd").iterdir())
    for secret in (PASSWORD, encoded, str(registry.authfile)):
        assert secret.encode() not in seen
    inherited = [number for number in descriptors if number >= 100]
    assert len(inherited) == 1


@pytest.mark.root
def test_skopeo_can_run_as_nobody(make_registry, plain):
    registry = make_registry(password=True)
    reference = f"docker://{registry.push(f'oci:{plain}', 'os')}"
    options = ProxyOptions(authfile=registry.authfile, tls_verify=False, unprivileged=True)
    with open_proxy(options) as proxy:
        number = proxy.open_image(ImageReference.parse(reference))
        assert Manifest.parse(proxy.manifest(number)[1]).layers
        status = children()[skopeo_child()]
    nobody = set(status["Uid"].split()) | set(status["Gid"].split())
    assert nobody == {"65534"}
    assert status["NoNewPrivs"].strip() == "1"
    assert int(status["CapBnd"], 16) == 0


def test_a_signature_policy_is_refused_or_applied(oci_layout_of, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "reject"}]}')
    with open_proxy(ProxyOptions(policy=policy)) as proxy:
        image = ImageReference.parse(f"oci:{oci_layout_of('plain')}")
        if proxy.version < POLICY_ENFORCED:
            with pytest.raises(ToolError):
                proxy_module.require_policy_enforcement(proxy.version)
            return
        with pytest.raises(PolicyError, match="forbids"):
            proxy.open_image(image)


def test_skopeo_says_its_version():
    skopeo.version.cache_clear()
    major, minor = skopeo.version()
    assert (major, minor) >= (1, 6)


def test_the_registry_is_told_who_asks_where_skopeo_can(oci_layout_of):
    agents = set()

    def record(handler, answer):
        agents.add(handler.headers["User-Agent"])
        return send(handler, answer)

    with bad_registry(oci_layout_of("plain"), Fault(MANIFEST_PATH, record)) as registry:
        fetch(str(reference_of(registry)), tls_verify=False)
    (agent,) = agents
    assert agent.startswith("bootc-orch/") == (skopeo.version() >= skopeo.USER_AGENT_VERSION)


def test_of_a_list_the_architecture_asked_for_is_chosen(tmp_path):
    image = ImageWriter(tmp_path / "list", [stored(b"tar")])
    entries = []
    for architecture in ("arm64", "s390x"):
        image.config["architecture"] = architecture
        config = image.store(encode(image.config), CONFIG)
        manifest = image.store(encode({**image.manifest, "config": config}), MANIFEST)
        entries.append({**manifest, "platform": {"architecture": architecture, "os": "linux"}})
    index = image.store(
        encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}), INDEX
    )
    image.write_index([index])
    for entry in entries:
        architecture = entry["platform"]["architecture"]
        digest, _, _ = fetch(image.reference, architecture=architecture)
        assert str(digest) == entry["digest"]
    with pytest.raises(InvalidImageError, match="is not an image"):
        fetch(image.reference, architecture="riscv64")


# --- damaged images


def blob_files(layout):
    return sorted((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), MismatchError, id="R08-bytes"),
        pytest.param(lambda data: data + b"x", MismatchError, id="M09-longer"),
        pytest.param(lambda data: data[:-5], MismatchError, id="M09-shorter"),
        pytest.param(lambda data: b"", MismatchError, id="empty"),
    ],
)
def test_a_damaged_blob_is_a_mismatch_that_names_the_layer(damage, error, oci_layout_of):
    layout = oci_layout_of("plain", private=True)
    file = blob_files(layout)[-1]
    file.write_bytes(damage(file.read_bytes()))
    image = ImageReference.parse(f"oci:{layout}")
    with open_proxy(ProxyOptions()) as proxy:
        number = proxy.open_image(image)
        manifest = Manifest.parse(proxy.manifest(number)[1])
        damaged = next(layer for layer in manifest.layers if layer.digest.hex == file.name)
        with pytest.raises(error) as caught:
            with proxy.blob(number, damaged.digest, damaged.size) as stream:
                received = Digest.of(b"".join(iter(stream.read, b"")))
            check_digest(received, damaged.digest)
        assert caught.value.layer == str(damaged.digest)
        whole = next(layer for layer in manifest.layers if layer.digest.hex != file.name)
        with proxy.blob(number, whole.digest, whole.size) as stream:
            assert Digest.of(b"".join(iter(stream.read, b""))) == whole.digest


def test_a_layout_of_nonsense_is_no_image(oci_layout_of):
    layout = oci_layout_of("plain", private=True)
    (layout / "index.json").write_text("nonsense")
    with pytest.raises(InvalidImageError, match="is not an image"):
        fetch(f"oci:{layout}")


# --- a proxy that dies, and one that is abandoned


def test_p06_a_proxy_killed_within_a_blob_may_be_tried_again(large_layout):
    for _ in range(5):
        with pytest.raises(TransientError):
            with open_proxy(ProxyOptions()) as proxy:
                number = proxy.open_image(ImageReference.parse(f"oci:{large_layout}"))
                (layer,) = Manifest.parse(proxy.manifest(number)[1]).layers
                with proxy.blob(number, layer.digest, layer.size) as stream:
                    stream.read()
                    os.kill(skopeo_child(), signal.SIGKILL)
                    stream.drain()


def test_p06_a_survived_death_is_not_reported_again(large_layout):
    with open_proxy(ProxyOptions()) as proxy:
        number = proxy.open_image(ImageReference.parse(f"oci:{large_layout}"))
        os.kill(skopeo_child(), signal.SIGKILL)
        with pytest.raises(TransientError):
            proxy.manifest(number)


def test_an_abandoned_blob_does_not_hold_up_the_end(large_layout):
    with open_proxy(ProxyOptions()) as proxy:
        number = proxy.open_image(ImageReference.parse(f"oci:{large_layout}"))
        (layer,) = Manifest.parse(proxy.manifest(number)[1]).layers
        with pytest.raises(KeyError):
            with proxy.blob(number, layer.digest, layer.size) as stream:
                stream.read()
                raise KeyError
        start = time.monotonic()
    assert time.monotonic() - start < 1


def test_the_proxy_is_killed_when_another_thread_gives_up(large_layout):
    layer = Manifest.parse(first_manifest(large_layout)).layers[0]
    with bad_registry(large_layout, Fault(BLOB_PATH, silent(60, 0.5))) as registry:
        with open_proxy(ProxyOptions(tls_verify=False)) as proxy:
            number = proxy.open_image(reference_of(registry))
            start = time.monotonic()
            with pytest.raises((TransientError, MismatchError)):
                with proxy.blob(number, layer.digest, layer.size) as stream:
                    stream.read()
                    proxy.abort()
                    stream.drain()
    assert time.monotonic() - start < 3


def first_manifest(layout):
    with open_proxy(ProxyOptions()) as proxy:
        return proxy.manifest(proxy.open_image(ImageReference.parse(f"oci:{layout}")))[1]


def reference_of(registry):
    return ImageReference.parse(f"docker://127.0.0.1:{registry.port}/image")


@pytest.fixture
def fake_skopeo(tmp_path, monkeypatch):
    """Put a Python script called skopeo first on PATH; ``s`` is the socket in it."""

    def install(body):
        folder = tmp_path / "bin"
        folder.mkdir()
        script = folder / "skopeo"
        script.write_text(
            "#!/usr/bin/python3\n"
            "import json, os, signal, socket, sys, time\n"
            "if '--version' in sys.argv: sys.exit(print('skopeo version 1.9.3'))\n"
            "s = socket.socket(fileno=0)\n"
            "def answer(value):\n"
            "    s.recv(32768)\n"
            "    s.send(json.dumps(\n"
            "        {'success': True, 'value': value, 'pipeid': 0, 'error': ''}).encode())\n"
            f"{body}\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return install


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param("sys.exit(0)", ToolError, id="P07-exits-0-at-once"),
        pytest.param("print('no such command', file=sys.stderr); sys.exit(1)", ToolError, id="P07"),
        pytest.param("s.recv(9); s.send(b'nonsense'); time.sleep(60)", ProxyError, id="P07-json"),
        pytest.param("time.sleep(60)", StallError, id="P07-never-answers"),
        pytest.param("answer('0.2.2'); time.sleep(60)", ToolError, id="P08-too-old"),
        pytest.param("answer('0.2.3'); s.recv(9); sys.exit(3)", CommandError, id="P07-exits-3"),
        pytest.param(
            "signal.signal(15, signal.SIG_IGN); answer('0.2.3'); time.sleep(60)",
            StallError,
            id="P07-does-not-end",
        ),
    ],
)
def test_a_proxy_that_is_none_is_an_error_and_leaves_no_process(
    body, error, fake_skopeo, monkeypatch
):
    fake_skopeo(body)
    monkeypatch.setattr(proxy_module, "EXIT_SECONDS", 0.5)
    with pytest.raises(error):
        with open_proxy(ProxyOptions(timers=QUICK)):
            pass


def test_p07_what_skopeo_said_last_is_kept(fake_skopeo):
    fake_skopeo("print('no such command', file=sys.stderr); sys.exit(1)")
    with pytest.raises(ToolError) as caught:
        with open_proxy(ProxyOptions()):
            pass
    assert caught.value.__notes__ == ["skopeo wrote: no such command"]


# --- misbehaving registries: that skopeo's words are the ones that are known here


@pytest.mark.parametrize(
    ("path", "sender", "error"),
    [
        pytest.param(MANIFEST_PATH, answered(500), TransientError, id="R02-500"),
        pytest.param(MANIFEST_PATH, answered(502), TransientError, id="R02-502"),
        pytest.param(MANIFEST_PATH, answered(503), TransientError, id="R02-503"),
        pytest.param(MANIFEST_PATH, answered(504), TransientError, id="R02-504"),
        pytest.param(MANIFEST_PATH, answered(401), AuthError, id="R04-401"),
        pytest.param(MANIFEST_PATH, answered(403), AuthError, id="R04-403"),
        pytest.param(MANIFEST_PATH, answered(404), NotFoundError, id="404"),
        pytest.param(MANIFEST_PATH, silent(60), StallError, id="R12-manifest"),
        pytest.param(
            MANIFEST_PATH, changed(lambda data: b" " * (4 * 2**20 + 1)), LimitError, id="R17"
        ),
        pytest.param(MANIFEST_PATH, changed(lambda data: b"x"), InvalidImageError, id="R16-json"),
        pytest.param(BLOB_PATH, answered(503), TransientError, id="R02-blob-503"),
        pytest.param(BLOB_PATH, answered(403), AuthError, id="R04-blob-403"),
        pytest.param(BLOB_PATH, answered(404), NotFoundError, id="blob-404"),
        pytest.param(BLOB_PATH, cut(0.5), TransientError, id="R05"),
        pytest.param(
            BLOB_PATH, changed(lambda data: bytes(len(data))), MismatchError, id="R08-blob"
        ),
        pytest.param(BLOB_PATH, changed(lambda data: data[:-9]), MismatchError, id="R09-shorter"),
        pytest.param(BLOB_PATH, changed(lambda data: data + b"x"), MismatchError, id="R09-longer"),
        pytest.param(BLOB_PATH, endless, (LimitError, MismatchError), id="R10"),
        pytest.param(BLOB_PATH, trickled(0.2), StallError, id="R11"),
        pytest.param(BLOB_PATH, silent(60), StallError, id="R12-blob"),
        pytest.param(BLOB_PATH, silent(60, 0.5), StallError, id="R12-half-a-blob"),
    ],
)
def test_a_misbehaving_registry_is_an_error_of_its_class(path, sender, error, large_layout):
    manifest = Manifest.parse(first_manifest(large_layout))
    wanted = manifest.layers[0]
    fault = Fault(re.compile(str(wanted.digest)) if path is BLOB_PATH else path, sender)
    with bad_registry(large_layout, fault) as registry:
        start = time.monotonic()
        with pytest.raises(error) as caught:
            with open_proxy(ProxyOptions(tls_verify=False, timers=QUICK)) as proxy:
                number = proxy.open_image(reference_of(registry))
                assert Manifest.parse(proxy.manifest(number)[1]) == manifest
                with proxy.blob(number, wanted.digest, wanted.size) as stream:
                    received = Digest.of(b"".join(iter(stream.read, b"")))
                check_digest(received, wanted.digest)
        assert time.monotonic() - start < 5
    if path is BLOB_PATH:
        assert caught.value.layer == str(wanted.digest)
    assert caught.value.summary


def test_r20_a_registry_that_is_not_there_may_be_tried_again():
    with pytest.raises(TransientError, match="cannot be reached"):
        fetch("docker://127.0.0.1:1/os", tls_verify=False)


def test_r20_a_name_that_cannot_be_resolved_may_be_tried_again():
    with pytest.raises(TransientError):
        fetch("docker://no-such-host.invalid/os", timers=Timers(answer=10))


def test_the_given_temporary_directory_is_used(oci_layout_of, tmp_path):
    archive = place(Transport.OCI_ARCHIVE, oci_layout_of("plain"), tmp_path)
    folder = tmp_path / "temporary"
    folder.mkdir()
    with open_proxy(ProxyOptions(temporary=folder)) as proxy:
        proxy.open_image(ImageReference.parse(archive))
        assert list(folder.iterdir()) != []
