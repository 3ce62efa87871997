"""The world that integration tests live in: images, a registry, roots, and consumers of a store."""

import base64
import gzip
import hashlib
import io
import itertools
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path

# The one account of registries with a password; the hash is bcrypt, the only kind they take.
USER = "somebody"
PASSWORD = "canary-Pa55:word"
PASSWORD_HASH = "$2y$05$X49QWvmXVZFo3THIg.otEebCgzhv8tmHV20IzrX9bjE01gG.21n9W"
# Below those that the kernel gives to whoever asks for any.
FIRST_PORT = 20000 + 500 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = itertools.cycle(range(FIRST_PORT, FIRST_PORT + 500))
PACKAGE_PARENT = Path(__file__).resolve().parent.parent
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_TYPES = {
    MANIFEST: "application/vnd.docker.distribution.manifest.v2+json",
    INDEX: "application/vnd.docker.distribution.manifest.list.v2+json",
    CONFIG: "application/vnd.docker.container.image.v1+json",
    LAYER: "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


def program(message):
    """Return a static x86-64 program that prints *message* and a newline."""
    text = message.encode() + b"\n"
    code = (
        b"\xb8\x01\x00\x00\x00\xbf\x01\x00\x00\x00\x48\x8d\x35\x10\x00\x00\x00\xba"
        + struct.pack("<I", len(text))
        + b"\x0f\x05\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05"
    )
    size = 64 + 56 + len(code) + len(text)
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 0x1000)
    return header + segment + code + text


def layer(files):
    """Return the tar of a layer with *files*, ``{name: bytes}``."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


class Layout:
    """An OCI layout on disk that images are pushed from."""

    def __init__(self, path):
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data, media_type, **more):
        digest = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data), **more}

    def image(
        self,
        *layers,
        message="hello",
        architecture="amd64",
        created=None,
        docker=False,
        compressed=True,
    ):
        """Add an image whose program prints *message*; return its descriptor."""
        types = DOCKER_TYPES if docker else {}
        tars = [layer({"hello": program(message)}), *layers]
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/hello"], "Labels": {"message": message}},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars],
            },
            **({"created": created} if created else {}),
        }
        kind = types.get(MANIFEST, MANIFEST)
        manifest = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": self.blob(json.dumps(config).encode(), types.get(CONFIG, CONFIG)),
            "layers": [
                self.blob(gzip.compress(tar, 1, mtime=0), types.get(LAYER, LAYER))
                if compressed
                else self.blob(
                    tar, types.get(LAYER, LAYER).removesuffix("+gzip").removesuffix(".gzip")
                )
                for tar in tars
            ],
        }
        return self.blob(json.dumps(manifest).encode(), kind)

    def index(self, *images, architectures=("amd64", "arm64")):
        """Add an index of *images*; return its descriptor."""
        entries = [
            {**image, "platform": {"os": "linux", "architecture": architecture}}
            for image, architecture in zip(images, architectures, strict=True)
        ]
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        return self.blob(json.dumps(document).encode(), INDEX)

    def publish(self, *named):
        """Write the index of the layout: ``(name, descriptor)`` pairs."""
        entries = [
            {**image, "annotations": {"org.opencontainers.image.ref.name": name}}
            for name, image in named
        ]
        (self.path / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": entries})
        )
        return self

    def data(self, descriptor):
        return (self.path / "blobs/sha256" / descriptor["digest"][7:]).read_bytes()


def image_id(layout, descriptor):
    """Return the id under which podman stores the image of a manifest."""
    return json.loads(layout.data(descriptor))["config"]["digest"][7:]


class Registry:
    """A registry on loopback; ``with Registry(path) as registry:``."""

    def __init__(self, path, *, password=False, certificate=None):
        self.path = path
        self.password = password
        self.certificate = certificate
        self.port = free_port()

    def __enter__(self):
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "config.yml").write_text(json.dumps(self._configuration()))
        self.process = subprocess.Popen(
            ["docker-registry", "serve", self.path / "config.yml"],
            stdout=(self.path / "access").open("wb"),
            stderr=(self.path / "log").open("wb"),
        )
        wait_for_port(self.port)
        return self

    def fetched(self, digest):
        """Return how often the blob *digest* was sent."""
        return (self.path / "access").read_text().count(f'/blobs/{digest} HTTP/1.1" 200 ')

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait()

    def _configuration(self):
        http = {"addr": f"127.0.0.1:{self.port}"}
        if self.certificate:
            http["tls"] = {
                "certificate": str(self.certificate / "server.crt"),
                "key": str(self.certificate / "server.key"),
            }
        configuration = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.path / "data")},
                "delete": {"enabled": True},
            },
            "http": http,
        }
        if self.password:
            htpasswd = self.path / "htpasswd"
            htpasswd.write_text(f"{USER}:{PASSWORD_HASH}\n")
            configuration["auth"] = {"htpasswd": {"realm": "test", "path": str(htpasswd)}}
        return configuration

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def push(self, layout, descriptor, name, *, tag="1"):
        """Put an image, with all that belongs to it, under *name*:*tag*; return its reference."""
        self._push_parts(layout, descriptor, name)
        self._put_manifest(layout, descriptor, name, tag)
        return f"{self.host}/{name}:{tag}"

    def _push_parts(self, layout, descriptor, name):
        document = json.loads(layout.data(descriptor))
        for entry in document.get("manifests", ()):
            self._push_parts(layout, entry, name)
            self._put_manifest(layout, entry, name, entry["digest"])
        for blob in [document.get("config"), *document.get("layers", ())]:
            if blob:
                self._put_blob(layout, blob, name)

    def _put_blob(self, layout, blob, name):
        location = self._request("POST", f"/v2/{name}/blobs/uploads/").headers["Location"]
        joiner = "&" if "?" in location else "?"
        self._request(
            "PUT",
            f"{location}{joiner}digest={blob['digest']}",
            data=layout.data(blob),
            headers={"Content-Type": "application/octet-stream"},
        )

    def _put_manifest(self, layout, descriptor, name, tag):
        self._request(
            "PUT",
            f"/v2/{name}/manifests/{tag}",
            data=layout.data(descriptor),
            headers={"Content-Type": descriptor["mediaType"]},
        )

    def _request(self, method, url, *, data=None, headers=None):
        scheme = "https" if self.certificate else "http"
        full = url if url.startswith("http") else f"{scheme}://{self.host}{url}"
        request = urllib.request.Request(full, data=data, method=method, headers=headers or {})
        if self.password:
            token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        context = ssl._create_unverified_context() if self.certificate else None
        return urllib.request.urlopen(request, context=context)


class World:
    """A root with a bound directory, its store, and the command to keep them."""

    def __init__(self, path):
        self.path = path
        self.root = self.new_root("root")

    def new_root(self, name):
        root = self.path / name
        (root / "usr/lib/bootc/bound-images.d").mkdir(parents=True)
        (root / "usr/share/containers/systemd").mkdir(parents=True)
        (root / "sysroot").mkdir()
        (root / "usr/lib/bootc/storage").symlink_to("../../../sysroot/ostree/bootc/storage")
        return root

    @property
    def store(self):
        return self.root / "sysroot/ostree/bootc/storage"

    @property
    def state(self):
        return self.store.parent / "bound-images"

    def bind(self, name, text, *, root=None):
        """Write the quadlet *name* into the root, and bind it."""
        root = root or self.root
        (root / "usr/share/containers/systemd" / name).write_text(text)
        link = root / "usr/lib/bootc/bound-images.d" / name
        if not link.is_symlink():
            link.symlink_to(f"/usr/share/containers/systemd/{name}")

    def bind_image(self, name, reference, *lines, root=None):
        text = "\n".join(["[Image]", f"Image={reference}", "TLSVerify=false", *lines, ""])
        self.bind(f"{name}.image", text, root=root)

    def run(self, command, *arguments, status=0, root=True, **more):
        """Run `bound-images COMMAND`, check its exit status, and return what it printed."""
        where = ["--root", str(self.root)] if root and "--root" not in arguments else []
        done = bound_images(command, *where, *map(str, arguments), **more)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    def json(self, command, *arguments, status=0, **more):
        done = self.run(command, *arguments, "--json", status=status, **more)
        return json.loads(done.stdout)

    def names(self):
        """Return {name: id} of the store, read as a user of an additional store sees it."""
        images = json.loads((self.store / "overlay-images/images.json").read_text())
        return {name: image["id"] for image in images for name in image.get("names") or ()}

    def ids(self):
        images = json.loads((self.store / "overlay-images/images.json").read_text())
        return {image["id"] for image in images}

    def lock(self):
        """Return the one lock file beside the store."""
        (path,) = self.state.glob("*.json")
        return json.loads(path.read_text())


def command_line():
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from bound_images.cli import main; main()"
    )
    return [sys.executable, "-c", script, str(PACKAGE_PARENT)]


def bound_images(*arguments, env=None, timeout=120, prefix=(), **more):
    """Run the command in a process of its own."""
    return subprocess.run(
        [*prefix, *command_line(), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        **more,
    )


def run_container(store, image, *, work):
    """Start a container from *store*, as an additional store, without a network.

    The kernel of a test machine may lack what podman wants of cgroups, so it gets a hierarchy of
    its own.  Podman refuses long paths for its run root, hence *work*.
    """
    script = (
        "mount -t cgroup2 none /sys/fs/cgroup && exec podman"
        ' --root "$1/root" --runroot "$1/run" --events-backend=file --cgroup-manager=cgroupfs'
        ' --storage-opt=additionalimagestore="$2" run --rm --pull=never --network=none'
        ' --cgroups=disabled --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024 "$3"'
    )
    return subprocess.run(
        ["unshare", "-m", "-C", "sh", "-c", script, "sh", str(work), str(store), image],
        capture_output=True,
        text=True,
        timeout=120,
    )


def short_directory():
    """Make a directory whose path podman accepts as a run root."""
    return Path(tempfile.mkdtemp(prefix="bi-", dir="/tmp"))


def remove_tree(path):
    """Remove a tree in which podman may have left a mount."""
    subprocess.run(["umount", "-l", path / "root/overlay"], stderr=subprocess.DEVNULL)
    shutil.rmtree(path, ignore_errors=True)


def make_certificates(path):
    """Make an authority, and a certificate of it for 127.0.0.1, in *path*."""
    path.mkdir(parents=True)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=path, check=True, capture_output=True)

    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        "-days",
        "3650",
        "-subj",
        "/CN=test authority",
    )
    openssl(
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
        "-subj",
        "/CN=127.0.0.1",
    )
    (path / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-out",
        "server.crt",
        "-days",
        "3650",
        "-extfile",
        "ext",
    )


def free_port():
    """Return a port that nobody has, nor gets by chance: each worker has a range of its own."""
    return next(port for port in PORTS if is_free(port))


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for_port(port):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")
