"""A real registry on loopback: package ``docker-registry``, one process, storage of its own."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "docker-registry"
USER = "tester"
PASSWORD = "correct-horse-battery"
# bcrypt of PASSWORD, the only hash that the registry takes.
PASSWORD_HASH = "$2b$05$abcdefghijklmnopqrstuuSnF5tLPqPFqc0z9CY0HcSLFbSRlL67u"
START_SECONDS = 20
# Below those that the kernel gives to whoever asks for any.
_FIRST_PORT = 20000 + 500 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = itertools.cycle(range(_FIRST_PORT, _FIRST_PORT + 500))


@dataclass(frozen=True, slots=True)
class Registry:
    """A running registry.

    Attributes:
        address: ``127.0.0.1:PORT``.
        directory: Its configuration, storage, log and keys.
        cert_dir: For ``--cert-dir``, with the ``ca.crt`` of its own authority, if it speaks TLS.
        authfile: Credentials for it, if it wants a password.
    """

    address: str
    directory: Path
    cert_dir: Path | None
    authfile: Path | None

    def name(self, repository: str, tag: str = "latest") -> str:
        """Return the full name of an image here."""
        return f"{self.address}/{repository}:{tag}"

    def push(self, source: str, repository: str, tag: str = "latest") -> str:
        """Copy the image *source*, such as ``oci:/some/layout``, here; return its full name.

        Blobs and manifest stay byte for byte the same.
        """
        name = self.name(repository, tag)
        trust = (
            ("--dest-cert-dir", self.cert_dir) if self.cert_dir else ("--dest-tls-verify=false",)
        )
        subprocess.run(
            [
                "skopeo", "copy", "--quiet", "--insecure-policy", "--preserve-digests",
                *(("--dest-authfile", self.authfile) if self.authfile else ()),
                *trust,
                source, f"docker://{name}",
            ],
            check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return name

    def blob_path(self, digest: str) -> Path:
        """Return the file in which the registry keeps a blob, for a test to damage or remove."""
        hexadecimal = digest.removeprefix("sha256:")
        blobs = self.directory / "storage/docker/registry/v2/blobs/sha256"
        return blobs / hexadecimal[:2] / hexadecimal / "data"

    def requests(self) -> list[str]:
        """Return the request lines answered so far, such as ``GET /v2/os/manifests/latest``."""
        lines = (self.directory / "log").read_text(errors="replace").splitlines()
        return [
            line.split('"')[1].rsplit(" ", 1)[0]
            for line in lines
            if '"' in line and "HTTP/" in line
        ]


@contextmanager
def running_registry(
    directory: Path, *, password: bool = False, tls: bool = False
) -> Iterator[Registry]:
    """Run a registry that keeps its files in *directory* until the block ends."""
    if shutil.which(PROGRAM) is None:
        raise RuntimeError(f"{PROGRAM} is not installed; contrib/test installs it as root.")
    directory.mkdir(parents=True)
    cert_dir = _make_certificates(directory) if tls else None
    port = _free_port()
    registry = Registry(
        f"127.0.0.1:{port}",
        directory,
        cert_dir,
        _write_authfile(directory, port) if password else None,
    )
    (directory / "config.json").write_text(json.dumps(_configuration(registry)))
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(
            [PROGRAM, "serve", str(directory / "config.json")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            _wait_for(port, process, directory / "log")
            yield registry
        finally:
            process.kill()


def _configuration(registry: Registry) -> dict[str, object]:
    directory = registry.directory
    http: dict[str, object] = {"addr": registry.address, "secret": "of no account"}
    if registry.cert_dir:
        http["tls"] = {
            "certificate": str(directory / "server.crt"),
            "key": str(directory / "server.key"),
        }
    configuration: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "storage")},
            "delete": {"enabled": True},
        },
        "http": http,
    }
    if registry.authfile:
        (directory / "htpasswd").write_text(f"{USER}:{PASSWORD_HASH}\n")
        configuration["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
    return configuration


def _write_authfile(directory: Path, port: int) -> Path:
    path = directory / "auth.json"
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    path.write_text(json.dumps({"auths": {f"127.0.0.1:{port}": {"auth": secret}}}))
    path.chmod(0o600)
    return path


def _make_certificates(directory: Path) -> Path:
    """Make an authority of our own, and a server key that it vouches for."""
    certs = directory / "certs"
    certs.mkdir()
    _make_certificate("/CN=test authority", certs / "ca.crt", directory / "ca.key")
    _make_certificate(
        "/CN=127.0.0.1",
        directory / "server.crt",
        directory / "server.key",
        "-addext=subjectAltName=IP:127.0.0.1",
        "-addext=basicConstraints=critical,CA:FALSE",
        f"-CA={certs / 'ca.crt'}",
        f"-CAkey={directory / 'ca.key'}",
    )
    return certs


def _make_certificate(subject: str, certificate: Path, key: Path, *options: str) -> None:
    words = [word for option in options for word in option.split("=", 1)]
    subprocess.run(
        [
            "openssl", "req", "-x509", "-nodes", "-days", "2",
            "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-subj", subject, "-out", certificate, "-keyout", key,
            *words,
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )  # fmt: skip


def _free_port() -> int:
    """Return a port that nobody has, nor gets by chance: each worker has a range of its own."""
    return next(port for port in _PORTS if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{PROGRAM} did not start:\n{log.read_text(errors='replace')}")
