"""Where things are by default: the store of a root, its records, and what a root is called."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import W_OK, access
from pathlib import Path, PurePosixPath

from bound_images.rootfs import Root
from orch_frame.errors import NotFoundError, StoreDamagedError

# The link in the image, and what it leads to on an ostree host.
STORE_LINK = PurePosixPath("/usr/lib/bootc/storage")
# What podman and containers/storage make in a store, some of it behind the name of the driver; one
# that was cut off while it was made has only the first of these.
STORE_SUFFIXES = (
    "-images", "-layers", "-containers", "storage.lock", "userns.lock", "libpod", "mounts",
    "overlay", "db.sql", "defaultNetworkBackend",
)  # fmt: skip
_DEPLOYMENT = re.compile(r"[0-9a-f]{64}\.[0-9]+")


def default_store(root: Root) -> Path:
    """Return where the store of *root* is, by its link ``/usr/lib/bootc/storage``.

    Raises:
        NotFoundError: *root* has no such link.
    """
    if not root.resolve(STORE_LINK).exists and len(root.resolve(STORE_LINK).chain) == 1:
        raise NotFoundError(
            f"{root.path} has no {STORE_LINK}.",
            hint="Make it a link to ../../../sysroot/ostree/bootc/storage, or give --store.",
            path=str(root.path),
        )
    return root.host_path(STORE_LINK)


def check_store(store: Path) -> None:
    """Refuse a directory that is something else; podman would make itself at home in it.

    Raises:
        NotFoundError: *store* is there, and is neither a store nor empty.
    """
    try:
        names = {path.name for path in store.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise NotFoundError(f"{store} is no store: {error.strerror}.", path=str(store)) from error
    if names and not any(name.endswith(STORE_SUFFIXES) for name in names):
        raise NotFoundError(
            f"{store} is no store, and is not empty.",
            hint="Name a store, or a directory that is still to be made.",
            path=str(store),
        )


def state_directory(store: Path) -> Path:
    """Return the directory beside *store* for records, the lock, and blobs in flight.

    Raises:
        StoreDamagedError: something else has its name, such as a link, which might lead anywhere.
    """
    state = store.parent / "bound-images"
    if state.is_symlink() or (state.exists() and not state.is_dir()):
        raise StoreDamagedError(
            f"{state} is no directory.", hint="Remove it: a new one is made.", path=str(state)
        )
    return state


def default_lock(store: Path, root_id: str) -> Path:
    """Return the lock file for the root called *root_id*.

    Raises:
        StoreDamagedError: a link has its name, or that of its directory.
    """
    lock = state_directory(store) / f"{root_id}.json"
    if lock.is_symlink():
        raise StoreDamagedError(
            f"{lock} is a link, and no lock file.", hint="Remove it, then run sync.", path=str(lock)
        )
    return lock


def root_id(root: Root) -> str:
    """Return what *root* is called: ``CHECKSUM.SERIAL`` for a deployment, else by its path.

    The running system is called after the deployment that its kernel was told to boot.
    """
    path = root.path.resolve()
    if path == Path("/"):
        path = _booted(Path("/proc/cmdline")) or path
    if _DEPLOYMENT.fullmatch(path.name):
        return path.name
    return f"root-{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"


def _booted(command_line: Path) -> Path | None:
    """Return the deployment that ``ostree=`` on the kernel's command line leads to."""
    try:
        words = command_line.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return None
    links = [word.removeprefix("ostree=") for word in words if word.startswith("ostree=")]
    return Path(f"/sysroot{links[-1]}").resolve() if links else None


@contextmanager
def private_directory() -> Iterator[Path]:
    """Yield a directory that only this user can read, on a tmpfs where there is one."""
    parent = "/run" if access("/run", W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bound-images-", dir=parent) as directory:
        yield Path(directory)
