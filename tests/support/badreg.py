"""A registry on loopback that misbehaves on demand, and keeps a record of what it was asked.

It serves one image out of an OCI layout.  A test gives it a `Fault`: which requests are answered
wrongly, how, and how often.
Source: the OCI distribution specification (the part that a pull needs).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MANIFEST_PATH = re.compile(r"/v2/[^/]+/manifests/(.+)")
BLOB_PATH = re.compile(r"/v2/[^/]+/blobs/(.+)")
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What the registry would answer: a fault may replace any part.

    Attributes:
        status: The HTTP status.
        headers: The headers, without those that every answer has.
        body: The body; of a HEAD request it is what a GET would give.
    """

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it was recorded.

    Attributes:
        method: ``GET`` or ``HEAD``.
        path: With its query.
        authorization: The header, or an empty text.
        served: The number of body bytes sent in answer.
    """

    method: str
    path: str
    authorization: str
    served: int


Sender = Callable[["Handler", Answer], int]


@dataclass(slots=True)
class Fault:
    """Which requests go wrong, and how.

    Attributes:
        path: What the path of such a request must match.
        send: Sends the answer, given the right one; returns how many body bytes were sent.
        times: How often; for ever if None.
        methods: The methods that are hit.
    """

    path: re.Pattern[str]
    send: Sender
    times: int | None = None
    methods: tuple[str, ...] = ("GET",)

    def hits(self, method: str, path: str) -> bool:
        """Say whether this request goes wrong; count it if so."""
        if method not in self.methods or not self.path.search(path) or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(slots=True)
class BadRegistry:
    """The state of a running registry.

    Attributes:
        layout: What it serves; the manifest is the first of its index.
        port: Where on 127.0.0.1.
        faults: Tried in order; the first that hits is used.
        requests: What was asked, in order of completion.
        busiest: The greatest number of blobs that were being sent at once.
    """

    layout: Path
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    busiest: int = 0
    _sending: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def reference(self) -> str:
        """The reference of the image it serves."""
        return f"ostree-unverified-registry:127.0.0.1:{self.port}/image:latest"

    def blobs_fetched(self) -> list[str]:
        """Return the digests of the blobs that were asked for, each as often as it was."""
        found = (BLOB_PATH.fullmatch(request.path) for request in self.requests)
        return [match[1] for match in found if match]

    def bytes_served(self) -> int:
        """Return the number of body bytes that were sent."""
        return sum(request.served for request in self.requests)

    def answer(self, path: str) -> Answer:
        """Return the right answer to a request for *path*."""
        if path.startswith("/v2/") and (match := MANIFEST_PATH.fullmatch(path)):
            return self._manifest(match[1])
        if match := BLOB_PATH.fullmatch(path):
            return self._blob(match[1], "application/octet-stream")
        return Answer(200 if path == "/v2/" else 404, {}, b"{}")

    def _manifest(self, name: str) -> Answer:
        index = json.loads((self.layout / "index.json").read_text())
        descriptor = index["manifests"][0]
        digest = name if name.startswith("sha256:") else descriptor["digest"]
        return self._blob(digest, descriptor["mediaType"])

    def _blob(self, digest: str, media_type: str) -> Answer:
        path = self.layout / "blobs" / digest.replace(":", "/", 1)
        if not path.is_file():
            return Answer(404, {}, b"{}")
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest}
        return Answer(200, headers, path.read_bytes())

    @contextmanager
    def sending(self, path: str) -> Iterator[None]:
        """Count a blob among those that are being sent."""
        if not BLOB_PATH.fullmatch(path):
            yield
            return
        with self.lock:
            self._sending += 1
            self.busiest = max(self.busiest, self._sending)
        try:
            yield
        finally:
            with self.lock:
                self._sending -= 1

    def next_fault(self, method: str, path: str) -> Fault | None:
        """Return the fault that this request runs into, if any."""
        with self.lock:
            return next((fault for fault in self.faults if fault.hits(method, path)), None)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    registry: BadRegistry

    def do_GET(self) -> None:
        """Answer, rightly or wrongly, and record it."""
        answer = self.registry.answer(self.path)
        fault = self.registry.next_fault(self.command, self.path)
        served = 0
        try:
            with self.registry.sending(self.path):
                served = (fault.send if fault else send)(self, answer)
        except OSError:
            self.close_connection = True
        finally:
            authorization = self.headers.get("Authorization", "")
            request = Request(self.command, self.path, authorization, served)
            with self.registry.lock:
                self.registry.requests.append(request)

    do_HEAD = do_GET  # noqa: N815 - likewise

    def start(self, answer: Answer, *, length: int | None = None) -> None:
        """Send the status and the headers; the body's length is stated as *length* if given."""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body) if length is None else length))
        self.end_headers()

    def body(self, data: bytes) -> int:
        """Send (a part of) the body, unless the request was HEAD; return the bytes sent."""
        if self.command == "HEAD":
            return 0
        for start in range(0, len(data), PIECE_BYTES):
            self.wfile.write(data[start : start + PIECE_BYTES])
        self.wfile.flush()
        return len(data)

    def hang_up(self) -> None:
        """Close the connection after this answer."""
        self.close_connection = True

    def wait(self, seconds: float) -> None:
        """Do nothing for *seconds*, or until the registry stops."""
        self.registry.stopped.wait(seconds)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: the record is in `BadRegistry.requests`."""


def send(handler: Handler, answer: Answer) -> int:
    """Send the right answer."""
    handler.start(answer)
    return handler.body(answer.body)


@contextmanager
def bad_registry(layout: Path, *faults: Fault) -> Iterator[BadRegistry]:
    """Serve the image in *layout* with *faults* until the block ends."""
    registry = BadRegistry(layout, faults=list(faults))
    handler = type("BoundHandler", (Handler,), {"registry": registry})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        registry.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield registry
        finally:
            registry.stopped.set()
            server.shutdown()
            thread.join()


def answered(status: int, body: bytes = b"{}", **headers: str) -> Sender:
    """Answer with *status* and *body* instead; an underscore in a header's name is a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def sender(handler: Handler, answer: Answer) -> int:
        return send(handler, Answer(status, named, body))

    return sender


def changed(change: Callable[[bytes], bytes]) -> Sender:
    """Send the right headers of another body."""

    def sender(handler: Handler, answer: Answer) -> int:
        return send(handler, Answer(answer.status, answer.headers, change(answer.body)))

    return sender


def cut(part: float) -> Sender:
    """Promise the whole body, send a *part* of it (0 to 1), and close the connection."""

    def sender(handler: Handler, answer: Answer) -> int:
        handler.start(answer)
        sent = handler.body(answer.body[: int(len(answer.body) * part)])
        handler.hang_up()
        return sent

    return sender


def cut_resumable(count: int) -> Sender:
    """Send *count* bytes from where the request's Range begins, and close the connection."""

    def sender(handler: Handler, answer: Answer) -> int:
        match = re.fullmatch(r"bytes=(\d+)-.*", handler.headers.get("Range", ""))
        first, total = int(match[1]) if match else 0, len(answer.body)
        headers = {**answer.headers, "Accept-Ranges": "bytes"}
        if match:
            headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
        rest = answer.body[first:]
        handler.start(Answer(206 if match else 200, headers, rest))
        handler.hang_up()
        return handler.body(rest[:count])

    return sender


def silent(seconds: float, part: float = 0.0) -> Sender:
    """Send a *part* of the answer, then nothing for *seconds*."""

    def sender(handler: Handler, answer: Answer) -> int:
        sent = 0
        if part:
            handler.start(answer)
            sent = handler.body(answer.body[: int(len(answer.body) * part)])
        handler.wait(seconds)
        handler.hang_up()
        return sent

    return sender


def trickled(pause: float) -> Sender:
    """Send one byte, pause, send the next."""

    def sender(handler: Handler, answer: Answer) -> int:
        handler.start(answer)
        for sent in range(len(answer.body)):
            handler.body(answer.body[sent : sent + 1])
            handler.wait(pause)
            if handler.registry.stopped.is_set():
                return sent
        return len(answer.body)

    return sender


def endless(handler: Handler, answer: Answer) -> int:
    """Send the body, and zeros without end after it; the length is not stated."""
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.hang_up()
    sent = handler.body(answer.body)
    while not handler.registry.stopped.is_set():
        sent += handler.body(bytes(PIECE_BYTES))
        time.sleep(0.0001)
    return sent
