"""The programs that are compared, as command lines, and the repositories that they work on."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# The least that any importer must do: unpack every layer, in order, and put it on the disk.
UNPACK = 'for layer; do zcat "$layer" | tar -x -C "$0" || exit 1; done; sync -f "$0"'


@dataclass(frozen=True, slots=True)
class Image:
    """An image in an OCI layout.

    Attributes:
        layout: The directory of the layout.
        tag: Its name there.
    """

    layout: Path
    tag: str

    @property
    def reference(self) -> str:
        """The reference as both programs read it."""
        return f"ostree-unverified-image:oci:{self.layout}:{self.tag}"

    def layers(self) -> list[Path]:
        """Return the layer blobs, lowest first."""
        index = json.loads((self.layout / "index.json").read_text())
        name = {"org.opencontainers.image.ref.name": self.tag}
        [entry] = [e for e in index["manifests"] if name.items() <= e["annotations"].items()]
        manifest = json.loads(self._blob(entry["digest"]).read_text())
        return [self._blob(layer["digest"]) for layer in manifest["layers"]]

    def _blob(self, digest: str) -> Path:
        return self.layout / "blobs" / digest.replace(":", "/")


class Puller(Protocol):
    """A program that can pull an image into a repository."""

    name: str

    def pull(self, repo: Path, image: Image) -> list[str | Path]:
        """Return the command line."""


@dataclass(frozen=True, slots=True)
class BootcOrch:
    """This project's command."""

    program: Path
    name: str = "bootc-orch"

    def pull(self, repo: Path, image: Image) -> list[str | Path]:
        """Return the command line that pulls *image*."""
        return [self.program, "image", "pull", "--repo", repo, image.reference]

    def list(self, repo: Path) -> list[str | Path]:
        """Return the command line that lists the images."""
        return [self.program, "image", "list", "--repo", repo]

    def version(self) -> list[str | Path]:
        """Return the command line that prints the version."""
        return [self.program, "--version"]


@dataclass(frozen=True, slots=True)
class Bootc:
    """bootc, by way of the ``ostree container`` commands that it carries."""

    program: Path
    name: str = "bootc"

    def pull(self, repo: Path, image: Image) -> list[str | Path]:
        """Return the command line that pulls *image*."""
        command = ("internals", "ostree-container", "image", "pull")
        return [self.program, *command, repo, image.reference]


def unpack(directory: Path, layers: Sequence[Path]) -> list[str | Path]:
    """Return the command line of the floor: *layers* unpacked into the empty *directory*."""
    return ["sh", "-c", UNPACK, directory, *layers]


def create_repository(path: Path) -> None:
    """Make an empty ``bare`` repository."""
    _ostree("init", path, "--mode=bare")


def refs(repo: Path) -> frozenset[str]:
    """Return the names of all refs."""
    return frozenset(_ostree("refs", repo).split())


def delete_refs(repo: Path, names: frozenset[str]) -> None:
    """Delete *names*, and what only they kept."""
    for name in names:
        _ostree("refs", repo, "--delete", name)
    _ostree("prune", repo, "--refs-only", "--depth=0")


def delete_image_refs(repo: Path, names: frozenset[str]) -> None:
    """Delete those of *names* that are images; their layers stay."""
    for name in names:
        if name.startswith("ostree/container/image/"):
            _ostree("refs", repo, "--delete", name)


def remove(path: Path) -> None:
    """Delete a directory and flush its file system, so that the next run does not pay for it."""
    shutil.rmtree(path, ignore_errors=True)
    subprocess.run(["sync", "-f", path.parent], check=True)


def _ostree(verb: str, repo: Path, *arguments: str) -> str:
    argv = ["ostree", verb, f"--repo={repo}", *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
