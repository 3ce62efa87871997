"""How to reach the source of an image: authentication files, certificates, TLS.

Passwords never stand on a command line: ``Creds=`` becomes an authentication file that only root
can read, on a tmpfs, and lives as long as the command.  Files that a definition names are copied
there as well, out of the root; of this machine only where its administrator allows it.
Source: containers-auth.json(5), containers-certs.d(5).
"""

from __future__ import annotations

import base64
import itertools
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from bound_images.errors import DefinitionError
from bound_images.reference import ImageName, transport_of
from bound_images.rootfs import Root
from bound_images.units.options import PullOptions
from orch_frame.errors import AuthError, ConfigError, NotFoundError
from orch_frame.transfer import TransferOptions

logger = logging.getLogger(__name__)

# Where an ostree host keeps the credentials for its own image; those of the root come first.
OSTREE_AUTH_FILES = ("/run/ostree/auth.json", "/etc/ostree/auth.json", "/usr/lib/ostree/auth.json")
MAX_AUTH_BYTES = 1024 * 1024
# What podman reads in a directory of certificates.
CERTIFICATES = (".crt", ".cert", ".key")


@dataclass(frozen=True, slots=True)
class Access:
    """What podman and skopeo are told alike.

    Attributes:
        auth_file: The authentication file, None to leave the search to the program.
        cert_dir: The directory with certificates, None for the system's.
        tls_verify: Whether to demand valid certificates, None to go by the configuration.
        decryption_key: The key for podman, with where its passphrase is; empty for none.
    """

    auth_file: Path | None = None
    cert_dir: Path | None = None
    tls_verify: bool | None = None
    decryption_key: str = ""

    @property
    def arguments(self) -> list[str]:
        """The options for ``skopeo inspect``, and for podman."""
        return [
            *([f"--authfile={self.auth_file}"] if self.auth_file else []),
            *([f"--cert-dir={self.cert_dir}"] if self.cert_dir else []),
            *(
                [f"--tls-verify={str(self.tls_verify).lower()}"]
                if self.tls_verify is not None
                else []
            ),
        ]

    @property
    def pull_arguments(self) -> list[str]:
        """The options for ``podman image pull``, the only one that needs a key."""
        key = [f"--decryption-key={self.decryption_key}"] if self.decryption_key else []
        return [*self.arguments, *key]

    @property
    def copy_arguments(self) -> list[str]:
        """The same for the source of ``skopeo copy``."""
        return [option.replace("--", "--src-", 1) for option in self.arguments]


class AccessBroker:
    """Makes the `Access` for each image of a root.

    Args:
        work: A private directory for authentication files.
        root: The root whose files the definitions name; None where there is none.
        transfer: The settings for images whose definition has none.
        host_files: Whether definitions may name files of this machine.
    """

    def __init__(
        self,
        work: Path,
        root: Root | None,
        transfer: TransferOptions,
        *,
        host_files: bool = False,
    ) -> None:
        self._work = work
        self._root = root
        self._host_files = host_files
        self._transfer = transfer
        self._number = itertools.count()
        if transfer.authfile is not None:
            _warn_if_readable(transfer.authfile)
        self._default = self._default_auth_file()

    def access(self, reference: str, options: PullOptions) -> Access:
        """Return how to reach *reference*.

        Raises:
            NotFoundError: a file that the definition names is not where it may be.
            ConfigError: an authentication file cannot be read, or is none.
        """
        return Access(
            auth_file=self._auth_file(reference, options),
            cert_dir=(
                self._certificates(options.cert_dir)
                if options.cert_dir
                else self._transfer.cert_dir
            ),
            tls_verify=(
                self._transfer.tls_verify if options.tls_verify is None else options.tls_verify
            ),
            decryption_key=self._key(options.decryption_key) if options.decryption_key else "",
        )

    def _auth_file(self, reference: str, options: PullOptions) -> Path | None:
        if self._transfer.anonymous:
            return self._default
        if options.creds:
            return self._from_credentials(reference, options.creds)
        if not options.auth_file:
            return self._default
        content = self._content(options.auth_file)
        return self._written(credentials_alone(content, source=options.auth_file))

    def _from_credentials(self, reference: str, creds: str) -> Path:
        if ":" not in creds:
            raise AuthError(
                "Creds= has no password, and nobody can be asked for one.", image=reference
            )
        if transport_of(reference) != "docker":
            raise DefinitionError("Creds= is for registries only.", image=reference)
        registry = ImageName.parse(reference).registry
        key = "https://index.docker.io/v1/" if registry == "docker.io" else registry
        token = base64.b64encode(creds.encode()).decode()
        return self._written(json.dumps({"auths": {key: {"auth": token}}}).encode())

    def _content(self, name: str) -> bytes:
        """Read the file *name* of the root, or of this machine where that is allowed."""
        if self._root is not None and self._root.exists(name):
            return self._root.read_bytes(name, limit=MAX_AUTH_BYTES)
        return self._host_root(name).read_bytes(name, limit=MAX_AUTH_BYTES)

    def _certificates(self, name: str) -> Path:
        """Return a copy of a directory of certificates, whose links do not leave the root."""
        root = self._root
        if root is None or not root.is_dir(name):
            root = self._host_root(name)
        copy = self._work / f"certificates-{next(self._number)}"
        copy.mkdir(mode=0o700)
        for entry in root.names(name):
            if entry.endswith(CERTIFICATES):
                _write(copy / entry, root.read_bytes(f"{name}/{entry}", limit=MAX_AUTH_BYTES))
        return copy

    def _key(self, written: str) -> str:
        """Return ``KEY[:file=PASSPHRASE]`` with copies of the files."""
        name, colon, passphrase = written.partition(":")
        key = self._written(self._content(name), kind="key")
        if not colon:
            return str(key)
        words = self._content(passphrase.removeprefix("file="))
        return f"{key}:file={self._written(words, kind='passphrase')}"

    def _host_root(self, name: str) -> Root:
        """Return this machine as a root, where the file *name* is; units run in ``/`` there.

        Whether the file is there is not told where units may not name it.
        """
        if not self._host_files:
            raise NotFoundError(
                f"{name} is not in the root, and units may not name files of this machine.",
                hint="Ship it in the image, or allow it with --allow-host-files.",
                path=name,
            )
        host = Root(Path("/"))
        if not host.exists(name):
            raise NotFoundError(f"{name} is neither in the root nor on this machine.", path=name)
        return host

    def _default_auth_file(self) -> Path | None:
        if self._transfer.anonymous:
            # Neither program has a word for it that the other knows.
            return self._written(b'{"auths": {}}')
        return self._transfer.authfile or self._ostree_auth_file()

    def _ostree_auth_file(self) -> Path | None:
        if self._root is None:
            return None
        found = [path for path in OSTREE_AUTH_FILES if self._root.exists(path)]
        return self._written(self._content(found[0])) if found else None

    def _written(self, content: bytes, *, kind: str = "auth") -> Path:
        path = self._work / f"{kind}-{next(self._number)}.json"
        _write(path, content)
        return path


def credentials_alone(content: bytes, *, source: str) -> bytes:
    """Return what an authentication file says of registries, without the helpers that it names.

    Nothing of a file that is none gets into the message, nor to a program that would quote it: it
    may be any file that a definition names.

    Raises:
        ConfigError: *content* is no authentication file.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"auths": dict(auths)} if all(isinstance(one, dict) for one in auths.values()):
            return json.dumps({"auths": auths}).encode()
    raise ConfigError(f"{source} is no authentication file.", path=source)


def _write(path: Path, content: bytes) -> None:
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb") as stream:
            stream.write(content)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error


def _warn_if_readable(path: Path) -> None:
    """Warn of a file with passwords that others may read; one in an image has no secrets left."""
    if path.is_relative_to("/usr"):
        return
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}.", path=str(path)) from error
    if mode & 0o077:
        logger.warning("%s holds passwords, and others than its owner may read it.", path)
