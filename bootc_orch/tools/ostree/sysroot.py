"""Read the deployments of a sysroot from its files: boot entries, link farms, origins.

No program is asked, so it works without privileges, on any sysroot, and alike for every version of
ostree (the first with machine-readable status is 2025.3).
Source: libostree's sysroot layout and its state in ``/run/ostree``.
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from bootc_orch.model.gvariant import Variant, decode_dict, decode_strings
from bootc_orch.model.host.bls import BootEntry, BootLink
from bootc_orch.model.host.deployment import Deployment, Deployments
from bootc_orch.model.host.origin import Origin
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.below import Below
from orch_frame.errors import (
    InvalidImageError,
    NotFoundError,
    OrchError,
    ReadOnlyError,
    StoreDamagedError,
)

ENTRIES = "boot/loader/entries"
RUN_OSTREE = Path("/run/ostree")
RUN_BOOTED = Path("/run/ostree-booted")
_NAME = re.compile(r"([0-9a-f]{64})\.([0-9]+)")
# Told of what cannot be understood, by who goes on without it.
Damaged = Callable[[OrchError], None]


class Sysroot:
    """The root filesystem at *path*, with ``ostree/`` and ``boot/`` in it.

    Attributes:
        path: Its root; ``/`` for the running system.

    Raises:
        NotFoundError: it holds no ostree repository.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir() or not self.below.is_dir("ostree/repo"):
            raise NotFoundError(
                f"{path} holds no ostree system: {self.repo_path} is missing.", path=str(path)
            )

    @property
    def repo_path(self) -> Path:
        """Where its repository is."""
        return self.path / "ostree/repo"

    @property
    def below(self) -> Below:
        """The way to its files, which does not lead out of it."""
        return Below(self.path)

    @property
    def store_path(self) -> Path:
        """Where its app images are kept.

        Raises:
            StoreDamagedError: a link on the way there leads out of the sysroot.
        """
        return self.below.locate("ostree/bootc/storage")

    def repo(self) -> Repo:
        """Open its repository."""
        return Repo(self.repo_path)

    def boot_entries(self, damaged: Damaged | None = None) -> tuple[BootEntry, ...]:
        """Read the boot entries of libostree, the default one first.

        Args:
            damaged: Told of each that cannot be understood, which is left out then; without it,
                the first of them is raised.

        Raises:
            StoreDamagedError: there is one.
        """
        tell = damaged or _refuse
        found = []
        for name in self.below.names(ENTRIES):
            if not (name.startswith("ostree-") and name.endswith(".conf")):
                continue
            try:
                found.append(BootEntry.parse(self._text(f"{ENTRIES}/{name}"), name=name))
            except StoreDamagedError as error:
                tell(_useless_entry(error.summary, self.path / ENTRIES / name))
        return tuple(sorted(found, key=lambda entry: entry.version, reverse=True))

    def deployments(self, damaged: Damaged | None = None) -> Deployments:
        """Read every deployment, in boot order.

        Args:
            damaged: Told of each entry, link and origin that contradicts the rest, which is left
                out then; without it, the first of them is raised.

        Raises:
            StoreDamagedError: there is one.
        """
        tell = damaged or _refuse
        written = list(self._read_all_written(tell))
        booted = [one for one in written if one.booted]
        staged = self._read_staged(tell) if booted else None
        found = [staged, *written] if staged else written
        return Deployments(tuple(replace(one, index=i) for i, one in enumerate(found)))

    def _read_all_written(self, damaged: Damaged) -> Iterator[Deployment]:
        for entry in self.boot_entries(damaged):
            try:
                yield self._read_written(entry, damaged)
            except StoreDamagedError as error:
                damaged(error)

    def resolve(self, link: BootLink) -> Path:
        """Return the deployment that a boot entry's *link* leads to.

        Raises:
            StoreDamagedError: it leads nowhere, or out of the sysroot.
        """
        resolved = self.below.resolve(str(link))
        if resolved is None or not resolved.is_dir() or not _NAME.fullmatch(resolved.name):
            path = self.path / str(link).lstrip("/")
            raise StoreDamagedError(f"The boot link {link} leads to no deployment.", path=str(path))
        return resolved

    def directories(self, path: str) -> Iterator[Path]:
        """Yield the directories in the directory *path* of the sysroot, links left out."""
        for name in self.below.names(path):
            status = self.below.status(f"{path}/{name}", follow=False)
            if status is not None and stat.S_ISDIR(status.st_mode):
                yield self.path / path / name

    def _text(self, path: str) -> str:
        data = self.below.read(path)
        if data is None:
            raise StoreDamagedError(f"{self.path / path} is gone.", path=str(self.path / path))
        return _decoded(data, self.path / path)

    def _read_written(self, entry: BootEntry, damaged: Damaged) -> Deployment:
        link = entry.link
        place = self.path / ENTRIES / entry.name
        if link is None:
            raise _useless_entry(f"The boot entry {entry.name} has no ostree= argument.", place)
        try:
            path = self.resolve(link)
        except StoreDamagedError as error:
            raise _useless_entry(error.summary, place) from error
        return replace(
            self._deployment(link.stateroot, path, damaged),
            options=entry.options,
            bootcsum=link.bootcsum,
            booted=_is_running_root(path),
        )

    def _deployment(self, stateroot: str, path: Path, damaged: Damaged) -> Deployment:
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise StoreDamagedError(f"{path} is not named for a deployment.", path=str(path))
        origin = _origin(path.with_name(f"{path.name}.origin"), damaged)
        return Deployment(
            index=0,
            stateroot=stateroot,
            checksum=match[1],
            serial=int(match[2]),
            path=path,
            origin=origin,
            unlocked=origin.unlocked or _unlocked(path.name),
        )

    def _read_staged(self, damaged: Damaged) -> Deployment | None:
        try:
            return self._staged_by(RUN_OSTREE / "staged-deployment", damaged)
        except (StoreDamagedError, InvalidImageError) as error:
            damaged(
                StoreDamagedError(
                    f"{RUN_OSTREE / 'staged-deployment'} cannot be understood: {error.summary}",
                    hint="Remove that file, then stage the update again.",
                    path=str(RUN_OSTREE / "staged-deployment"),
                )
            )
            return None

    def _staged_by(self, path: Path, damaged: Damaged) -> Deployment | None:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReadOnlyError(
                f"{path} cannot be read: {error.strerror}.", path=str(path)
            ) from error
        state = dict(decode_dict(data))
        target = dict(decode_dict(state["target"].data)) if "target" in state else {}
        stateroot = _text(target, "osname")
        root = self.path / "ostree/deploy" / stateroot / "deploy" / _text(target, "name")
        kargs = decode_strings(state["kargs"].data) if "kargs" in state else ()
        locked = state.get("locked")
        return replace(
            self._deployment(stateroot, root, damaged),
            staged=True,
            options=" ".join(kargs),
            bootcsum=_text(target, "bootcsum"),
            locked=(locked is not None and locked.as_boolean() is True)
            or (RUN_OSTREE / "staged-deployment-locked").exists(),
        )


def deployment_directories(sysroot: Sysroot) -> Iterator[Path]:
    """Yield every directory that is named for a deployment, whether anything boots it or not."""
    for stateroot in sysroot.directories("ostree/deploy"):
        for path in sysroot.directories(f"ostree/deploy/{stateroot.name}/deploy"):
            if _NAME.fullmatch(path.name):
                yield path


def origin_files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the origins of all deployments in *root*, a path and its text each, in their order.

    Raises:
        StoreDamagedError: one cannot be read, is no file, or not UTF-8.
    """
    below = Below(root)
    for stateroot in below.names("ostree/deploy"):
        folder = f"ostree/deploy/{stateroot}/deploy"
        for name in below.names(folder):
            path = root / folder / name
            try:
                data = below.read(f"{folder}/{name}") if name.endswith(".origin") else None
            except OSError as error:
                raise StoreDamagedError(
                    f"{path} cannot be read: {error}", path=str(path)
                ) from error
            if data is not None:
                yield path, _decoded(data, path)


def is_booted() -> bool:
    """Say whether this machine runs from an ostree deployment."""
    return RUN_BOOTED.exists()


def _is_running_root(path: Path) -> bool:
    """Say whether *path* is what ``/`` was made of; with composefs its directory is noted aside."""
    if not is_booted():
        return False
    own = path.stat()
    here = Path("/").stat()
    if (own.st_dev, own.st_ino) == (here.st_dev, here.st_ino):
        return True
    return (own.st_dev, own.st_ino) == _backing_root()


def _backing_root() -> tuple[int, int] | None:
    try:
        value = dict(decode_dict(RUN_BOOTED.read_bytes())).get("backing-root-device-inode")
    except (OSError, OrchError):
        return None
    if value is None or value.type != "(tt)" or len(value.data) != 16:
        return None
    device, inode = struct.unpack("<QQ", value.data)
    return device, inode


def _unlocked(name: str) -> str | None:
    state = RUN_OSTREE / "deployment-state" / name
    for kind in ("development", "transient"):
        if (state / f"unlocked-{kind}").exists():
            return kind
    return None


def _refuse(error: OrchError) -> None:
    raise error


def _useless_entry(summary: str, path: Path) -> StoreDamagedError:
    return StoreDamagedError(
        summary,
        hint="Move that boot entry somewhere else; all but what it boots then works again.",
        path=str(path),
    )


def _origin(path: Path, damaged: Damaged) -> Origin:
    """Read an origin; an absent one, and one that is damaged, say nothing."""
    try:
        data = Below(path.parent).read(path.name)
        return Origin() if data is None else Origin.parse(_decoded(data, path), source=str(path))
    except FileNotFoundError:  # the directory
        return Origin()
    except StoreDamagedError as error:
        damaged(
            StoreDamagedError(
                error.summary,
                hint="Correct the file, or remove it: then nothing says what is followed.",
                path=str(path),
            )
        )
        return Origin()


def _text(values: dict[str, Variant], key: str) -> str:
    text = values[key].as_string() if key in values else None
    if text is None:
        raise StoreDamagedError(f"The staged deployment has no {key}.")
    return text


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise StoreDamagedError(f"{path} is not UTF-8.", path=str(path)) from error
