"""How images are fetched, as every command that fetches any lets its user say, in both programs."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import typer

from orch_frame.errors import UsageError
from orch_frame.transfer import TransferOptions


def path(text: str) -> Path:
    """Read a path; an empty one, such as that of an unset variable, would mean this directory.

    Raises:
        typer.BadParameter: *text* is empty.
    """
    if not text:
        raise typer.BadParameter("The path is empty.")
    return Path(text)


Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        max=64,
        metavar="N",
        help="How many layers, or app images, to fetch at once.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        min=1,
        metavar="SECONDS",
        help="How long a transfer may bring no byte before it is given up.",
    ),
]
LockTimeout = Annotated[
    float | None,
    typer.Option(
        "--lock-timeout", min=0, metavar="SECONDS", help="How long to wait for another process."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaching:
    """How registries are reached; None leaves it to the configuration or the default."""

    jobs: Jobs = None
    retries: Annotated[
        int | None,
        typer.Option(
            "--retries",
            min=0,
            max=100,
            metavar="N",
            help="How often to try again what may pass later.",
        ),
    ] = None
    retry_delay: Annotated[
        float | None,
        typer.Option(
            "--retry-delay",
            min=0,
            metavar="SECONDS",
            help="The pause before the first of these; it doubles each time.",
        ),
    ] = None
    timeout: Timeout = None
    authfile: Annotated[
        Path | None,
        typer.Option("--authfile", parser=path, metavar="FILE", help="Credentials for registries."),
    ] = None
    anonymous: Annotated[
        bool, typer.Option("--auth-anonymous", help="Send no credentials, whatever is configured.")
    ] = False
    cert_dir: Annotated[
        Path | None,
        typer.Option(
            "--cert-dir", parser=path, metavar="DIR", help="Certificates (.crt, .cert, .key)."
        ),
    ] = None
    tls_verify: Annotated[
        bool | None,
        typer.Option(
            "--tls-verify/--no-tls-verify",
            help="Demand a valid certificate, or accept any, and plain HTTP.",
            show_default=False,
        ),
    ] = None
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure-skip-tls-verification",
            hidden=True,
            help="The name that ostree-ext has for --no-tls-verify.",
        ),
    ] = False

    def __post_init__(self) -> None:
        """Refuse a contradiction.

        Raises:
            UsageError: credentials and none are asked for at once, or certificates and none.
        """
        if self.authfile and self.anonymous:
            raise UsageError("--authfile and --auth-anonymous exclude each other.")
        if self.insecure and self.tls_verify:
            raise UsageError(
                "--tls-verify and --insecure-skip-tls-verification exclude each other."
            )

    def transfer_options(self, configured: TransferOptions) -> TransferOptions:
        """Return *configured* with what the command line says instead."""
        names = {field.name for field in fields(self)} - {"insecure"}
        given = {name: getattr(self, name) for name in names}
        said = {name: value for name, value in given.items() if value is not None}
        if self.insecure:
            said["tls_verify"] = False
        if self.anonymous:
            said["authfile"] = None
        return replace(configured, **said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching(Reaching):
    """How images are brought to where they are kept."""

    offline: Annotated[
        bool, typer.Option("--offline", help="Fetch nothing: only what is stored will do.")
    ] = False
    lock_timeout: LockTimeout = None
