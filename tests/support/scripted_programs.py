"""ostree and skopeo as scripts that do what a pull asks of them, and nothing else.

With them on PATH an image can be pulled without root and without the real ones, which other tests
run.  Each call of ostree is noted with the descriptors that it inherited.  Nothing but the standard
library is imported, so that a call takes milliseconds.

Sources: ostree-pull-local(1), ostree-refs(1); skopeo-experimental-image-proxy(1), protocol 0.2.3.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCRIPT = """\
#!{python} -IS
import sys
sys.path.insert(0, {tests!r})
from support.scripted_programs import {name}
{name}(sys.argv[1:], {notes!r})
"""
TRANSIENT = "reading blob: read tcp 127.0.0.1:5000: connection reset by peer"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of ostree.

    Attributes:
        argv: Its arguments.
        descriptors: What it inherited, by number.
    """

    argv: tuple[str, ...]
    descriptors: dict[int, str]


class ScriptedPrograms:
    """The scripts in *directory*; put its `bin` on PATH."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self._notes = directory / "notes"
        self.bin.mkdir(parents=True)
        self._notes.mkdir()
        tests = Path(__file__).resolve().parents[1]
        for name in ("ostree", "skopeo"):
            script = self.bin / name
            script.write_text(
                _SCRIPT.format(
                    python=sys.executable, tests=str(tests), name=name, notes=str(self._notes)
                )
            )
            script.chmod(0o755)

    @property
    def calls(self) -> list[Call]:
        """The calls of ostree, in order."""
        notes = self._notes / "calls"
        lines = notes.read_text().splitlines() if notes.exists() else []
        found = map(json.loads, lines)
        return [
            Call(tuple(one["argv"]), {int(n): text for n, text in one["descriptors"].items()})
            for one in found
        ]

    def fail_blob(self, digest: str, times: int) -> None:
        """Have skopeo fail the next *times* it is asked for a blob, as a bad network would."""
        (self._notes / digest.replace(":", "-")).write_text("x" * times)


def ostree(argv: Sequence[str], notes: str) -> None:
    """Play ostree."""
    opened = Path("/proc/self/fd")
    descriptors = {
        name: os.readlink(opened / name)  # noqa: PTH115 - one of them is the listing itself
        for name in os.listdir(opened)  # noqa: PTH208
        if (opened / name).is_symlink()
    }
    with (Path(notes) / "calls").open("a") as file:
        file.write(json.dumps({"argv": list(argv), "descriptors": descriptors}) + "\n")
    options = dict(word.split("=", 1) for word in argv if word.startswith("--") and "=" in word)
    words = [word for word in argv[1:] if not word.startswith("--")]
    repo = Path(options.get("--repo", ""))
    match argv[0]:
        case "--version":
            print("libostree:\n Version: '2024.9'")
        case "pull-local":
            _pull_local(repo, Path(words[0]), words[1:])
        case "refs" if "--create" in options:
            _set_ref(repo, options["--create"], words[0])
        case "refs" if "--delete" in argv:
            for ref in words:
                (repo / "refs/heads" / ref).unlink()
        case _:
            sys.exit(f"error: this script does not know {argv}")


def _pull_local(repo: Path, source: Path, revisions: Sequence[str]) -> None:
    """Copy what *repo* lacks, the commits last, and set the refs among *revisions*."""
    objects = [path.relative_to(source) for path in (source / "objects").glob("*/*")]
    for path in sorted(objects, key=lambda path: path.suffix == ".commit"):
        if not (repo / path).exists():
            (repo / path).parent.mkdir(exist_ok=True)
            shutil.copy2(source / path, repo / path, follow_symlinks=False)
    for revision in revisions:
        ref = source / "refs/heads" / revision
        commit = ref.read_text().strip() if ref.is_file() else revision
        if not (repo / f"objects/{commit[:2]}/{commit[2:]}.commit").exists():
            sys.exit(f"error: No such metadata object {commit}.commit")
        if ref.is_file():
            _set_ref(repo, revision, commit)


def _set_ref(repo: Path, ref: str, commit: str) -> None:
    path = repo / "refs/heads" / ref
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{commit}\n")


def skopeo(argv: Sequence[str], notes: str) -> None:
    """Play the image proxy of skopeo on standard input, for images in OCI layouts."""
    if "experimental-image-proxy" not in argv:
        sys.exit(f"error: this script does not know {argv}")
    server = _Proxy(socket.socket(fileno=0), Path(notes))
    while packet := server.connection.recv(32 * 1024):
        request = json.loads(packet)
        getattr(server, request["method"])(*request["args"])


class _Proxy:
    """The proxy with one open image; its methods are named as the protocol names them."""

    def __init__(self, connection: socket.socket, notes: Path) -> None:
        self.connection = connection
        self._notes = notes
        self._layout = Path()
        self._manifest = b""
        self._writing: tuple[int, threading.Thread] | None = None

    def Initialize(self) -> None:  # noqa: N802
        self._answer("0.2.3")

    def OpenImage(self, name: str) -> None:  # noqa: N802
        self._layout = Path(name.removeprefix("oci:"))
        index = self._layout / "index.json"
        if not index.exists():
            self._answer(error=f"open {index}: no such file or directory")
            return
        self._manifest = self._blob(json.loads(index.read_bytes())["manifests"][0]["digest"])
        self._answer(1)

    def CloseImage(self, _image: int) -> None:  # noqa: N802
        self._answer()

    def GetManifest(self, _image: int) -> None:  # noqa: N802
        index = json.loads((self._layout / "index.json").read_bytes())
        self._pipe(self._manifest, index["manifests"][0]["digest"])

    def GetFullConfig(self, _image: int) -> None:  # noqa: N802
        self._pipe(self._blob(json.loads(self._manifest)["config"]["digest"]))

    def GetBlob(self, _image: int, digest: str, _size: int) -> None:  # noqa: N802
        failures = self._notes / digest.replace(":", "-")
        if failures.exists() and (left := failures.read_text()):
            failures.write_text(left[1:])
            self._answer(error=TRANSIENT)
            return
        data = self._blob(digest)
        self._pipe(data, len(data))

    def FinishPipe(self, _pipe: int) -> None:  # noqa: N802
        assert self._writing is not None
        descriptor, writer = self._writing
        writer.join()
        os.close(descriptor)
        self._answer()

    def _blob(self, digest: str) -> bytes:
        return (self._layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()

    def _pipe(self, data: bytes, value: object = None) -> None:
        read_end, write_end = os.pipe()
        writer = threading.Thread(target=_write, args=(write_end, data))
        writer.start()
        self._writing = (write_end, writer)
        self._answer(value, read_end, pipe=7)

    def _answer(
        self, value: object = None, *descriptors: int, pipe: int = 0, error: str = ""
    ) -> None:
        reply: dict[str, Any] = {"success": not error, "value": value, "pipeid": pipe}
        packet = json.dumps({**reply, "error": error}).encode()
        socket.send_fds(self.connection, [packet], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except BrokenPipeError:
        return
