"""Small images that deploy as systems, and sysroots that have them deployed."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.cli import Result, bootc_orch
from support.ociwriter import ImageWriter, stored

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
            member.type, member.linkname = tarfile.SYMTYPE, target
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


def _version(entry: str) -> int:
    return int(dict(line.split(" ", 1) for line in entry.splitlines())["version"])
