"""Small images that deploy as systems, and sysroots that have them deployed."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.cli import Result, bootc_orch
from support.ociwriter import ImageWriter, stored

HOST_SCHEMA = json.loads((Path(__file__).parents[1] / "schemas/host-v1.json").read_text())
MakeOs = Callable[..., str]
VERSION_LABEL = "org.opencontainers.image.version"
KERNEL = "6.1.0-test"


def os_files(number: int) -> dict[str, bytes]:
    """The files of a system, in its version *number*; the kernel is the same in all."""
    return {
        f"usr/lib/modules/{KERNEL}/vmlinuz": b"kernel" * 100,
        f"usr/lib/modules/{KERNEL}/initramfs.img": b"initramfs" * 100,
        "usr/lib/os-release": b'ID=test\nPRETTY_NAME="Test System"\n',
        "usr/share/version": b"%d\n" % number,
        "etc/untouched.conf": b"from image %d\n" % number,
        "etc/edited.conf": b"from image %d\n" % number,
    }


def make_os(
    layout: Path,
    number: int = 1,
    *,
    files: Mapping[str, bytes | None] | None = None,
    links: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    more_layers: Sequence[Mapping[str, bytes]] = (),
) -> str:
    """Write a bootable image to *layout*; return its reference, ``oci:…``.

    Args:
        layout: A directory that does not exist.
        number: Its version.
        files: Further files, or other content for those that all have; None leaves one out.
        links: Symbolic links.
        labels: Labels besides those that say it is bootable.
        more_layers: The files of each further layer.
    """
    chosen = {**os_files(number), **(files or {})}
    present = {name: data for name, data in chosen.items() if data is not None}
    layers = [_tar(present, links or {}), *(_tar(more, {}) for more in more_layers)]
    image = ImageWriter(layout, [stored(layer) for layer in layers])
    image.config["config"]["Labels"] = {
        "containers.bootc": "1",
        VERSION_LABEL: str(number),
        **(labels or {}),
    }
    image.write()
    return image.reference


def _tar(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        directories = {parent for name in (*files, *links) for parent in Path(name).parents}
        for directory in sorted({*map(str, directories), "boot", "sysroot", "var"} - {"."}):
            member = tarfile.TarInfo(directory)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, target
            tar.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class System:
    """A sysroot in a directory.

    Attributes:
        path: The directory.
    """

    path: Path

    @classmethod
    def installed(cls, path: Path, image: str, *argv: str | Path) -> System:
        """Install *image* into *path*."""
        path.mkdir(exist_ok=True)
        bootc_orch(
            "install", "to-filesystem", path, "--source-imgref", image,
            "--root-mount-spec", "LABEL=root", "--bound-images", "skip", *argv,
        )  # fmt: skip
        return cls(path)

    @property
    def repo(self) -> Path:
        return self.path / "ostree/repo"

    def run(self, command: str, *argv: str | Path, status: int | None = 0, **env: str) -> Result:
        """Run a host command on this sysroot."""
        return bootc_orch(command, *argv, "--sysroot", self.path, status=status, env=env)

    def switch(self, image: str, *argv: str | Path, status: int | None = 0) -> Result:
        transport, _, name = image.partition(":")
        return self.run("switch", "--transport", transport, name, *argv, status=status)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = self.run("status", "--json").json
        return document

    def entries(self) -> list[dict[str, Any]]:
        """The deployments, in boot order."""
        found: list[dict[str, Any]] = self.status()["status"].get("otherDeployments", [])
        return found

    def versions(self) -> list[str]:
        """The version of each deployment, in boot order."""
        return [entry["image"]["version"] for entry in self.entries()]

    def root(self, index: int = 0) -> Path:
        """The root of the deployment at *index*."""
        ostree = self.entries()[index]["ostree"]
        name = f"{ostree['checksum']}.{ostree['deploySerial']}"
        return self.path / "ostree/deploy" / ostree["stateroot"] / "deploy" / name

    def boot_entries(self) -> list[str]:
        """The texts of the boot entries, the default one first."""
        paths = (self.path / "boot/loader/entries").glob("*.conf")
        texts = [path.read_text() for path in paths]
        return sorted(texts, key=_version, reverse=True)

    def kargs(self) -> str:
        return self.run("kargs").lines[-1]

    def snapshot(self) -> dict[str, str]:
        """Everything that decides what boots: entries, links, origins, and the status."""
        found = {"status": json.dumps(self.status(), sort_keys=True)}
        for path in sorted((self.path / "boot").rglob("*.conf")):
            found[str(path)] = path.read_text()
        for path in sorted((self.path / "ostree").glob("boot.*/**/*")):
            found[str(path)] = str(path.readlink()) if path.is_symlink() else ""
        for path in sorted((self.path / "ostree/deploy").glob("*/deploy/*.origin")):
            found[str(path)] = path.read_text()
        return found

    def check(self) -> None:
        """Make sure that all that boots is whole, by ostree's own word and by the files."""
        subprocess.run(["ostree", f"--repo={self.repo}", "fsck", "--quiet"], check=True)
        subprocess.run(
            ["ostree", "admin", "status", f"--sysroot={self.path}"], check=True, capture_output=True
        )
        for text in self.boot_entries():
            keys = dict(line.split(" ", 1) for line in text.splitlines())
            for key in ("linux", "initrd"):
                name = keys[key].removeprefix("/boot").lstrip("/")
                assert (self.path / "boot" / name).stat().st_size > 0
            [link] = [word for word in keys["options"].split() if word.startswith("ostree=")]
            root = self.path / link.removeprefix("ostree=/")
            assert (root / "usr").is_dir()
            assert (root / "etc").is_dir()

    def release(self) -> None:
        """Let the directory be deleted: deployments are immutable."""
        subprocess.run(
            ["find", self.path, "-type", "d", "-exec", "chattr", "-f", "-i", "{}", "+"], check=False
        )


# What a machine has of its own; everything else below the root is the test machine's.
_OWN = ("boot", "etc", "ostree", "proc", "run", "sysroot", "var")
_ENTER = """
set -e
root=$1 deployment=$2 sysroot=$3 run=$4; shift 4
mount --bind "$deployment" "$root"
mount --bind "$sysroot" "$root/sysroot"
mount --bind "$sysroot/boot" "$root/boot"
mount --bind "$run" "$root/run"
mount --bind "$(realpath "$deployment/../../var")" "$root/var"
mount --rbind /proc "$root/proc"
for directory in $SHARED; do mount --rbind "/$directory" "$root/$directory"; done
for directory in $SEEN; do
    mkdir -p "$root$directory"
    mount --rbind "$directory" "$root$directory"
done
exec chroot "$root" "$@"
"""


@dataclass(slots=True)
class Machine:
    """A machine that runs from a sysroot, as far as programs can tell.

    Commands run in namespaces where the deployment is the root, and with the test machine's
    programs; what is staged is written out by `reboot`.

    Attributes:
        system: The sysroot.
        place: An empty directory.
        booted: The root of the deployment that is running.
    """

    system: System
    place: Path
    booted: Path = field(init=False)

    def __post_init__(self) -> None:
        (self.place / "root").mkdir(parents=True)
        systemctl = self.place / "bin/systemctl"
        systemctl.parent.mkdir()
        systemctl.write_text(f'#!/bin/sh\necho "$*" >>{self.place}/systemctl\n')
        systemctl.chmod(0o755)
        self._boot()

    @property
    def run_directory(self) -> Path:
        """Its ``/run``."""
        return self.place / "run"

    def run(
        self, *argv: str | Path, status: int | None = 0, prefix: Sequence[str | Path] = ()
    ) -> Result:
        """Run bootc-orch on it; *prefix* is put before its command line."""
        return bootc_orch(*argv, status=status, prefix=(*self.enter, *prefix))

    def systemctl(self) -> list[str]:
        """How ``systemctl``, which does nothing there, was called."""
        calls = self.place / "systemctl"
        return calls.read_text().splitlines() if calls.exists() else []

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = self.run("status", "--json").json
        return document

    def parts(self) -> dict[str, str]:
        """The version of what is staged, booted, rollback, and of all others."""
        status = self.status()["status"]
        found = {name: status[name] for name in ("staged", "booted", "rollback") if status[name]}
        for number, entry in enumerate(status.get("otherDeployments", [])):
            found[f"other{number}"] = entry
        return {name: entry["image"]["version"] for name, entry in found.items()}

    def switch(self, image: str, *argv: str | Path, status: int | None = 0) -> Result:
        transport, _, name = image.partition(":")
        return self.run("switch", "--transport", transport, name, *argv, status=status)

    def reboot(self) -> None:
        """Write out what is staged, as at shutdown, and run from what is first then."""
        if (self.run_directory / "ostree/staged-deployment").exists():
            subprocess.run(
                [*self.enter, "ostree", "admin", "finalize-staged"],
                check=True,
                capture_output=True,
            )
        self._boot()

    def _boot(self) -> None:
        shutil.rmtree(self.run_directory, ignore_errors=True)
        self.run_directory.mkdir()
        (self.run_directory / "ostree-booted").touch()
        [link] = [
            word for word in self.system.boot_entries()[0].split() if word.startswith("ostree=")
        ]
        self.booted = (self.system.path / link.removeprefix("ostree=/")).resolve()
        subprocess.run(["chattr", "-f", "-i", self.booted], check=False)
        for name in _top_level():
            here, there = Path("/", name), self.booted / name
            if there.is_symlink():
                continue
            if here.is_symlink():
                there.symlink_to(here.readlink())
            else:
                there.mkdir(exist_ok=True)
        for name in _OWN:
            if name != "ostree":
                (self.booted / name).mkdir(exist_ok=True)
        (self.booted.parent.parent / "var").mkdir(exist_ok=True)
        if not (self.booted / "ostree").is_symlink():
            (self.booted / "ostree").symlink_to("sysroot/ostree")
        policy = Path("etc/containers/policy.json")
        if ("/" / policy).exists() and not (self.booted / policy).exists():
            (self.booted / policy).parent.mkdir(exist_ok=True)
            shutil.copy("/" / policy, self.booted / policy)

    @property
    def enter(self) -> tuple[str | Path, ...]:
        """What to put before a command line for it to run there."""
        shared = (name for name in _top_level() if not Path("/", name).is_symlink())
        return (
            "env", f"SHARED={' '.join(shared)}", f"SEEN={' '.join(_seen())}",
            f"PATH={self.place}/bin:{os.environ['PATH']}",
            "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private",
            "sh", "-c", _ENTER, "sh",
            self.place / "root", self.booted, self.system.path, self.run_directory,
        )  # fmt: skip


def _top_level() -> list[str]:
    """The directories of the test machine's root, and links to some, that machines share."""
    return [path.name for path in Path("/").iterdir() if path.is_dir() and path.name not in _OWN]


def _seen() -> list[str]:
    """Where temporary files are and, if in what machines have of their own, the program."""
    program = (str(Path(__file__).parents[2]), sys.prefix)
    return [
        tempfile.gettempdir(),
        *(path for path in program if Path(path).parts[1] in _OWN),
    ]


def _version(entry: str) -> int:
    return int(dict(line.split(" ", 1) for line in entry.splitlines())["version"])
