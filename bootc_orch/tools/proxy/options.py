"""How a proxy is to be started, and the command line that says so.

Source: skopeo(1), skopeo-experimental-image-proxy(1), setpriv(1).
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bootc_orch import __version__
from bootc_orch.tools import skopeo
from bootc_orch.tools.credentials import descriptor_holding, find_authfile, read_authfile
from bootc_orch.tools.proxy.timers import Timers
from orch_frame.errors import UsageError
from orch_frame.transfer import TransferOptions

_UNPRIVILEGED_USER = "nobody"
# With these set, skopeo looks into the home of root and fails.
_UNSET = ("HOME", "XDG_DATA_DIR", "USER")


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """How to reach images.

    Without *authfile* and *anonymous* the host's own credentials are used if there are any, never
    those of podman.

    Attributes:
        authfile: A file with credentials.
        anonymous: Send no credentials.
        cert_dir: A directory with the certificates of the registry.
        tls_verify: Demand valid certificates, or trust whoever answers, also without TLS; None to
            go by the configuration of registries.
        unprivileged: Run skopeo as ``nobody``; ignored where we are not root.
        policy: A signature policy instead of the system's.
        architecture: Choose the image for this one from a list, in Go's words.
        temporary: Where skopeo unpacks archives.
        user_agent: What to call ourselves, where skopeo can pass it on; None to say nothing.
        timers: How long to wait.
    """

    authfile: Path | None = None
    anonymous: bool = False
    cert_dir: Path | None = None
    tls_verify: bool | None = None
    unprivileged: bool = False
    policy: Path | None = None
    architecture: str | None = None
    temporary: Path | None = None
    user_agent: str | None = f"bootc-orch/{__version__}"
    timers: Timers = field(default_factory=Timers)

    @classmethod
    def for_transfer(
        cls, transfer: TransferOptions, *, unprivileged: bool = False, policy: Path | None = None
    ) -> Self:
        """Return how to reach images as *transfer* says; what else it says is for others."""
        return cls(
            authfile=transfer.authfile,
            anonymous=transfer.anonymous,
            cert_dir=transfer.cert_dir,
            tls_verify=transfer.tls_verify,
            unprivileged=unprivileged,
            policy=policy,
            timers=Timers.of(transfer.timeout),
        )

    def __post_init__(self) -> None:
        """Refuse a contradiction.

        Raises:
            UsageError: credentials and none are asked for at once.
        """
        if self.authfile and self.anonymous:
            raise UsageError("An authfile and anonymous access exclude each other.")


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line, and the descriptors that it must inherit."""

    argv: tuple[str, ...]
    descriptors: tuple[int, ...]


@contextmanager
def launch(options: ProxyOptions) -> Iterator[Launch]:
    """Work out how to start the proxy; credentials are at hand until the block ends.

    Raises:
        ConfigError: the credentials cannot be read.
        ToolMissingError: there is no skopeo.
    """
    authfile = None if options.anonymous else options.authfile or find_authfile()
    if authfile is None:
        yield Launch(_argv(options, ("--no-creds",)), ())
        return
    with descriptor_holding(read_authfile(authfile)) as descriptor:
        credentials = ("--authfile", f"/proc/self/fd/{descriptor}")
        yield Launch(_argv(options, credentials), (descriptor,))


def _argv(options: ProxyOptions, credentials: tuple[str, ...]) -> tuple[str, ...]:
    return (
        *(_drop_privileges() if options.unprivileged and os.geteuid() == 0 else ()),
        "skopeo",
        *_user_agent(options.user_agent),
        *(("--policy", str(options.policy)) if options.policy else ()),
        *(("--override-arch", options.architecture) if options.architecture else ()),
        *(("--tmpdir", str(options.temporary)) if options.temporary else ()),
        "experimental-image-proxy",
        *credentials,
        *(("--cert-dir", str(options.cert_dir)) if options.cert_dir else ()),
        *_tls_verify(options.tls_verify),
    )  # fmt: skip


def _tls_verify(wanted: bool | None) -> tuple[str, ...]:  # noqa: FBT001 - the option itself
    return () if wanted is None else (f"--tls-verify={str(wanted).lower()}",)


def _user_agent(prefix: str | None) -> tuple[str, ...]:
    if prefix is None or skopeo.version() < skopeo.USER_AGENT_VERSION:
        return ()
    return ("--user-agent-prefix", prefix)


def _drop_privileges() -> tuple[str, ...]:
    # The death signal is lost when the user changes, so it is asked for again.
    return (
        "setpriv",
        "--no-new-privs",
        "--init-groups",
        "--reuid", _UNPRIVILEGED_USER,
        "--regid", str(pwd.getpwnam(_UNPRIVILEGED_USER).pw_gid),
        "--bounding-set", "-all",
        "--pdeathsig", "KILL",
        "--",
        "env", *(f"--unset={name}" for name in _UNSET),
    )  # fmt: skip
