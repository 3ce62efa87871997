"""The options that several commands share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bound_images.namespace import make_writable
from bound_images.rootfs import Root
from bound_images.where import default_lock, default_store, root_id
from orch_frame.options.fetching import Reaching, path
from orch_frame.transfer import TransferOptions


def _name(text: str) -> str:
    if text in ("", ".", "..") or "/" in text:
        raise typer.BadParameter(f"{text!r} is no name for a file.")
    return text


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a command works; what is not said follows from the root."""

    root: RootPath = DEFAULT_ROOT
    store: StorePath = None
    lock: Annotated[
        Path | None,
        typer.Option(
            "--lock",
            parser=path,
            metavar="FILE",
            help="The lock file.  [default: STORE/../bound-images/ROOT-ID.json]",
        ),
    ] = None
    root_id: Annotated[
        str | None,
        typer.Option(
            "--root-id",
            metavar="NAME",
            parser=_name,
            help="What the root is called; on a host CHECKSUM.SERIAL.",
        ),
    ] = None

    def find(self, *, needs_store: bool = True) -> FoundPlaces:
        """Find the places; a lock file that was named needs no store to be beside."""
        root = Root(self.root)
        store = find_store(root, self.store) if needs_store else Path("storage").absolute()
        named = self.lock or default_lock(store, self.root_id or root_id(root))
        return FoundPlaces(root, store, named.absolute())


@dataclass(frozen=True, slots=True)
class FoundPlaces:
    """Where a command works: the root, its store, its lock file."""

    root: Root
    store: Path
    lock: Path


def find_store(root: Root, named: Path | None) -> Path:
    """Return the store that was *named*, else that of *root*; make it writable for us."""
    store = (named or default_store(root)).absolute()
    make_writable(store)
    return store


def transfer_options(reaching: Reaching) -> TransferOptions:
    """Return how images are fetched by what the command line and the environment say."""
    named = os.environ.get("REGISTRY_AUTH_FILE")
    return reaching.transfer_options(TransferOptions(authfile=Path(named) if named else None))


def lock_seconds(given: float | None) -> float:
    """Return how many seconds to wait for another process."""
    return TransferOptions().lock_timeout if given is None else given
