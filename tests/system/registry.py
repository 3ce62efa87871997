"""A read-only registry over OCI layouts, for the loopback interface.

Run as ``registry.py PORT NAME=LAYOUT…``: each layout is served as one repository, its tags are
those of its index.  Needs nothing but Python, because it also runs inside the machine under test.
"""

import http.server
import json
import re
import sys
from pathlib import Path
from typing import ClassVar

_PATH = re.compile(r"/v2/(?P<name>[^/]+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)")
_BLOCK = 1 << 20


class Handler(http.server.BaseHTTPRequestHandler):
    layouts: ClassVar[dict[str, Path]] = {}
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path in ("/v2", "/v2/"):
            self._answer(200, b"{}", "application/json")
            return
        match = _PATH.fullmatch(self.path)
        layout = self.layouts.get(match["name"]) if match else None
        if match is None or layout is None:
            self._answer(404, b"{}", "application/json")
            return
        digest = match["reference"]
        if match["kind"] == "manifests" and not digest.startswith("sha256:"):
            digest = _tags(layout).get(digest, "")
        blob = layout / "blobs/sha256" / digest.removeprefix("sha256:")
        if not digest or not blob.is_file():
            self._answer(404, b"{}", "application/json")
        elif match["kind"] == "manifests":
            data = blob.read_bytes()
            self._answer(200, data, json.loads(data)["mediaType"], digest)
        else:
            self._stream(blob)

    do_HEAD = do_GET  # noqa: N815 - the server looks it up by this name

    def _answer(self, status: int, data: bytes, media_type: str, digest: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(data)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _stream(self, blob: Path) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(blob.stat().st_size))
        self.end_headers()
        if self.command != "HEAD":
            with blob.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    self.wfile.write(block)

    def log_message(self, form: str, *args: object) -> None:
        """Say nothing."""


def _tags(layout: Path) -> dict[str, str]:
    index = json.loads((layout / "index.json").read_text())
    key = "org.opencontainers.image.ref.name"
    return {entry["annotations"][key]: entry["digest"] for entry in index["manifests"]}


def server(port: int, layouts: dict[str, Path]) -> http.server.ThreadingHTTPServer:
    handler = type("Bound", (Handler,), {"layouts": layouts})
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)


if __name__ == "__main__":
    named = (argument.split("=", 1) for argument in sys.argv[2:])
    server(int(sys.argv[1]), {name: Path(path) for name, path in named}).serve_forever()
