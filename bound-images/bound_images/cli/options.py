"""The options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from bound_images.cli.session import SESSION
from bound_images.namespace import make_writable
from bound_images.rootfs import Root
from bound_images.settings import DEFAULT_JOBS, PULL_SECONDS
from bound_images.where import default_lock, default_store, root_id
from orch_frame.lock import DEFAULT_TIMEOUT


def _set_json(value: Any) -> Any:  # noqa: ANN401 - as typer demands
    SESSION.output.as_json = SESSION.output.as_json or bool(value)
    return value


def _set_quiet(value: Any) -> Any:  # noqa: ANN401 - as typer demands
    SESSION.output.quiet = SESSION.output.quiet or bool(value)
    return value


def _set_verbose(value: Any) -> Any:  # noqa: ANN401 - as typer demands
    SESSION.output.set_up_logging(verbose=int(value or 0))
    return value


def path(text: str) -> Path:
    """Read a path; an empty one, such as that of an unset variable, would mean this directory.

    Raises:
        typer.BadParameter: *text* is empty.
    """
    if not text:
        raise typer.BadParameter("The path is empty.")
    return Path(text)


def _name(text: str) -> str:
    if text in ("", ".", "..") or "/" in text:
        raise typer.BadParameter(f"{text!r} is no name for a file.")
    return text


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document.", callback=_set_json, is_eager=True)
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print errors only.", callback=_set_quiet, is_eager=True),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        help="Say what is done; twice: also which commands are run.",
        callback=_set_verbose,
        is_eager=True,
    ),
]
RootPath = Annotated[
    Path,
    typer.Option(
        "--root", "--sysroot", parser=path, metavar="DIR", help="The operating-system root."
    ),
]
StorePath = Annotated[
    Path | None,
    typer.Option(
        "--store",
        parser=path,
        metavar="DIR",
        help="The store.  [default: ROOT/usr/lib/bootc/storage]",
    ),
]
LockPath = Annotated[
    Path | None,
    typer.Option(
        "--lock",
        parser=path,
        metavar="FILE",
        help="The lock file.  [default: STORE/../bound-images/ROOT-ID.json]",
    ),
]
RootId = Annotated[
    str | None,
    typer.Option(
        "--root-id",
        metavar="NAME",
        parser=_name,
        help="What the root is called; on a host CHECKSUM.SERIAL.",
    ),
]
Jobs = Annotated[
    int, typer.Option("--jobs", metavar="N", min=1, max=64, help="Images fetched at a time.")
]
AuthFile = Annotated[
    Path | None,
    typer.Option(
        "--authfile",
        parser=path,
        metavar="FILE",
        help="Credentials for images whose unit names none.",
    ),
]
TlsVerify = Annotated[
    bool | None,
    typer.Option(
        "--tls-verify/--no-tls-verify",
        help="Whether certificates must be valid.",
        show_default=False,
    ),
]
Retries = Annotated[
    int | None,
    typer.Option(
        "--retries",
        metavar="N",
        min=0,
        help="Further attempts after a transient failure.  [default: 3]",
    ),
]
RetryDelay = Annotated[
    float | None,
    typer.Option(
        "--retry-delay",
        metavar="SECONDS",
        min=0,
        help="Seconds before the second attempt.  [default: 1]",
    ),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=1, help="Seconds that one attempt may take."),
]
LockTimeout = Annotated[
    float,
    typer.Option(
        "--lock-timeout", metavar="SECONDS", min=0, help="Seconds to wait for another process."
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="SOURCE",
        help="Take all images from containers-storage:, oci:DIR or oci-archive:FILE.",
    ),
]
AllowTransport = Annotated[
    bool,
    typer.Option("--allow-transport", help="Let units name archives and directories."),
]
AllowHostFiles = Annotated[
    bool,
    typer.Option(
        "--allow-host-files", help="Let units name credentials and certificates of this machine."
    ),
]
PlanOnly = Annotated[
    bool, typer.Option("--plan", "--dry-run", help="Print what would be done, and do nothing.")
]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", "-k", help="Let a failure stop only its own image.")
]

ProgressFd = Annotated[
    int | None,
    typer.Option("--progress-fd", metavar="FD", help="Write JSON lines about progress there."),
]

DEFAULT_ROOT = Path("/")
JOBS = DEFAULT_JOBS
TIMEOUT = PULL_SECONDS
LOCK_TIMEOUT = DEFAULT_TIMEOUT


class Places:
    """Where a command works: the root, its store, its lock file.

    Args:
        root: The root.
        store: The store that was named.
        lock: The lock file that was named.
        name: What the root is called, if that was said.
    """

    def __init__(
        self,
        root: Path,
        store: Path | None,
        lock: Path | None,
        name: str | None,
        *,
        needs_store: bool = True,
    ) -> None:
        self.root = Root(root)
        # A lock file that was named needs no store to be beside.
        place = store or (default_store(self.root) if needs_store else Path("storage"))
        self.store = place.absolute()
        if needs_store:
            make_writable(self.store)
        self.lock = (lock or default_lock(self.store, name or root_id(self.root))).absolute()


def environment_auth_file(given: Path | None) -> Path | None:
    """Return the authentication file to use: the option, else what the environment names."""
    named = os.environ.get("REGISTRY_AUTH_FILE")
    return given or (Path(named) if named else None)
