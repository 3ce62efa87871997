"""A program in the place of skopeo: it notes how it is started, and then fails, hangs or serves.

`install` puts it into a directory for PATH.  As a program it imports nothing of this project.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

REFUSED = "dial tcp 192.0.2.1:443: connect: connection refused"
OK = {"success": True, "value": None, "pipeid": 0, "error": ""}


@dataclass(frozen=True)
class Skopeo:
    """The program in *folder*, and what it noted.

    Attributes:
        folder: What PATH must begin with.
    """

    folder: Path

    def behave(self, mode: str, **documents: str) -> None:
        """Let it ``refuse`` whatever it is asked, ``hang``, or ``serve`` *documents* first.

        A ``pause`` is half a second before it refuses.
        """
        self.folder.joinpath("calls").unlink(missing_ok=True)
        self.folder.joinpath("mode").write_text(json.dumps({"mode": mode, **documents}))

    @property
    def calls(self) -> list[dict]:
        """Each start by time: ``argv``, ``start``, ``auth``, and ``end`` if it came to one."""
        path = self.folder / "calls"
        found = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            note = json.loads(line)
            found.setdefault(note["pid"], {}).update(note)
        return sorted(found.values(), key=lambda call: call["start"])

    @property
    def most_at_once(self) -> int:
        """How many ran at the same time."""
        spans = [(call["start"], call.get("end", float("inf"))) for call in self.calls]
        return max(sum(start <= at < end for start, end in spans) for at, _ in spans)


def install(folder: Path) -> Skopeo:
    """Write the program into *folder*."""
    folder.mkdir()
    program = folder / "skopeo"
    program.write_text(f"#!{sys.executable} -I\n" + Path(__file__).read_text())
    program.chmod(0o755)
    return Skopeo(folder)


def note(**facts) -> None:
    line = json.dumps({"pid": os.getpid(), **facts}) + "\n"
    with Path(__file__).with_name("calls").open("a") as file:
        file.write(line)


def credentials(argv: list[str]) -> str | None:
    for index, word in enumerate(argv):
        if word.startswith("--authfile"):
            name = word.partition("=")[2] or argv[index + 1]
            return Path(name).read_text()
    return None


def answer(connection: socket.socket, descriptors=(), **fields) -> None:
    socket.send_fds(connection, [json.dumps({**OK, **fields}).encode()], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)


def play_proxy(connection: socket.socket, plan: dict) -> None:
    """Speak the protocol of experimental-image-proxy as far as the mode goes."""
    documents = {"GetManifest": plan.get("manifest"), "GetFullConfig": plan.get("config")}
    write_end = -1
    while packet := connection.recv(32 * 1024):
        method = json.loads(packet)["method"]
        if method == "Initialize":
            answer(connection, value="0.2.3")
        elif method == "Shutdown":
            return
        elif plan["mode"] == "hang":
            time.sleep(60)
        elif method == "OpenImage" and plan["mode"] == "serve":
            answer(connection, value=1)
        elif documents.get(method):
            read_end, write_end = os.pipe()
            os.write(write_end, documents[method].encode())
            answer(connection, [read_end], value=plan["digest"], pipeid=7)
        elif method == "FinishPipe":
            os.close(write_end)
            answer(connection)
        elif plan["mode"] == "serve":
            time.sleep(60)  # the blobs
        else:
            answer(connection, success=False, error=REFUSED)


def main() -> int:
    argv = sys.argv[1:]
    if argv == ["--version"]:
        print("skopeo version 1.9.3")
        return 0
    note(argv=argv, start=time.monotonic(), auth=credentials(argv))
    plan = json.loads(Path(__file__).with_name("mode").read_text())
    if "experimental-image-proxy" in argv:
        connection = socket.socket(fileno=int(next(
            (word.partition("=")[2] for word in argv if word.startswith("--sockfd=")), "0"
        )))  # fmt: skip
        play_proxy(connection, plan)
        return 0
    if plan["mode"] == "hang":
        time.sleep(60)
    if plan["mode"] == "pause":
        time.sleep(0.5)
    note(end=time.monotonic())
    print(f'time="x" level=fatal msg="{REFUSED}"', file=sys.stderr)
    return 1


if __name__ == "__main__" and Path(__file__).name == "skopeo":
    raise SystemExit(main())
