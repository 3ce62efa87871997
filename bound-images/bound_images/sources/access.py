"""How to reach the source of an image: authentication files, certificates, TLS.

Passwords never stand on a command line: ``Creds=`` becomes an authentication file that only root
can read, on a tmpfs, and lives as long as the command.
Source: containers-auth.json(5).
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

logger = logging.getLogger(__name__)

# Where an ostree host keeps the credentials for its own image; those of the root come first.
OSTREE_AUTH_FILES = ("/run/ostree/auth.json", "/etc/ostree/auth.json", "/usr/lib/ostree/auth.json")
MAX_AUTH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Access:
    """What podman and skopeo are told alike.

    Attributes:
        auth_file: The authentication file, None to leave the search to the program.
        cert_dir: The directory with certificates, None for the system's.
        tls_verify: Whether to demand valid certificates, None to go by the configuration.
    """

    auth_file: Path | None = None
    cert_dir: Path | None = None
    tls_verify: bool | None = None

    @property
    def arguments(self) -> list[str]:
        """The options for ``podman image pull`` and ``skopeo inspect``."""
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
    def copy_arguments(self) -> list[str]:
        """The same for the source of ``skopeo copy``."""
        return [option.replace("--", "--src-", 1) for option in self.arguments]


class AccessBroker:
    """Makes the `Access` for each image of a root.

    Args:
        work: A private directory for authentication files.
        root: The root whose files the definitions name; None where there is none.
        auth_file: The file for images whose definition names none.
        tls_verify: The setting for images whose definition has none.
    """

    def __init__(
        self,
        work: Path,
        root: Root | None,
        *,
        auth_file: Path | None = None,
        tls_verify: bool | None = None,
    ) -> None:
        self._work = work
        self._root = root
        self._tls_verify = tls_verify
        self._number = itertools.count()
        if auth_file is not None:
            _warn_if_readable(auth_file)
        self._default = auth_file or self._ostree_auth_file()

    def access(self, reference: str, options: PullOptions) -> Access:
        """Return how to reach *reference*.

        Raises:
            NotFoundError: a file that the definition names is in neither root.
            ConfigError: an authentication file cannot be read.
        """
        return Access(
            auth_file=self._auth_file(reference, options),
            cert_dir=self._directory(options.cert_dir) if options.cert_dir else None,
            tls_verify=self._tls_verify if options.tls_verify is None else options.tls_verify,
        )

    def _auth_file(self, reference: str, options: PullOptions) -> Path | None:
        if options.creds:
            return self._from_credentials(reference, options.creds)
        return self._copied(options.auth_file) if options.auth_file else self._default

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

    def _copied(self, name: str) -> Path:
        """Return a private copy of the file *name* of the root, else of this machine."""
        if self._root is not None and self._root.exists(name):
            return self._written(self._root.read_bytes(name, limit=MAX_AUTH_BYTES))
        return self._on_this_machine(name)

    def _directory(self, name: str) -> Path:
        if self._root is not None and self._root.is_dir(name):
            return self._root.host_path(name)
        return self._on_this_machine(name)

    def _on_this_machine(self, name: str) -> Path:
        # A unit runs in /, so that is where a relative path starts.
        path = Path("/") / name
        if not path.exists():
            raise NotFoundError(f"{path} is neither in the root nor on this machine.", path=name)
        return path

    def _ostree_auth_file(self) -> Path | None:
        if self._root is None:
            return None
        found = [path for path in OSTREE_AUTH_FILES if self._root.exists(path)]
        return self._copied(found[0]) if found else None

    def _written(self, content: bytes) -> Path:
        path = self._work / f"auth-{next(self._number)}.json"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
        return path


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
