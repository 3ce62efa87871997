"""The other end of a proxy connection, played by a thread on a real socket."""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import contextmanager, suppress

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.tools.proxy.client import Proxy
from bootc_orch.tools.proxy.timers import Timers

IMAGE = ImageReference.parse("docker://127.0.0.1:5000/os")
DIGEST = Digest.of(b"blob")
OLD, NEW = "0.2.3", "0.2.8"
QUICK = Timers(answer=0.3, local_answer=0.3, first_byte=0.3, stall=0.2)
OK = {"success": True, "value": None, "pipeid": 0, "error": ""}


class Peer:
    """The other end: answers each method as *script* says, and notes what was asked.

    A script maps a method to a function of the peer and the arguments.  Pipes are written by
    threads; FinishPipe waits for the writer, closes its end, and then answers, as skopeo's does.
    """

    def __init__(self, connection, version, script):
        self.connection = connection
        self.script = {
            "Initialize": lambda peer: peer.answer(value=version),
            "OpenImage": lambda peer, name: peer.answer(value=1),
            "FinishPipe": Peer.finish,
            **script,
        }
        self.asked = []
        self.verdict = {}
        self._pipes = {}
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with self.connection, suppress(OSError):
            while packet := self.connection.recv(32 * 1024):
                request = json.loads(packet)
                self.asked.append((request["method"], *request["args"]))
                self.script[request["method"]](self, *request["args"])

    def answer(self, descriptors=(), **fields):
        self.send(json.dumps({**OK, **fields}).encode(), descriptors)

    def refuse(self, text, **fields):
        self.answer(success=False, error=text, **fields)

    def send(self, packet, descriptors=()):
        socket.send_fds(self.connection, [packet], list(descriptors))
        for descriptor in descriptors:
            os.close(descriptor)

    def hang_up(self):
        self.connection.shutdown(socket.SHUT_RDWR)

    def pipe(self, data, value=None):
        """Answer with a pipe, and write *data* to it; skopeo's end stays open until FinishPipe."""
        read_end, write_end = os.pipe()
        writer = threading.Thread(target=write, args=(write_end, data))
        writer.start()
        self._pipes[7] = (write_end, writer)
        self.answer([read_end], value=value, pipeid=7)

    def finish(self, number):
        write_end, writer = self._pipes.pop(number)
        writer.join()
        os.close(write_end)
        self.answer(**self.verdict)

    def raw(self, data, verdict=b"", value=-1):
        ends = [os.pipe(), os.pipe()]
        for (_, write_end), text in zip(ends, (data, verdict), strict=True):
            threading.Thread(target=write, args=(write_end, text), kwargs={"last": True}).start()
        self.answer([read_end for read_end, _ in ends], value=value)

    def join(self):
        self._thread.join(5)
        assert not self._thread.is_alive()


def write(descriptor, data, *, last=False):
    with suppress(BrokenPipeError):
        while data:
            data = data[os.write(descriptor, data) :]
    if last:
        os.close(descriptor)


@contextmanager
def playing(version=OLD, timers=QUICK, **script):
    """Play the proxy; yield the client, its open image and the peer."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer = Peer(theirs, version, script)
    with ours:
        proxy = Proxy.connect(ours, timers)
        yield proxy, proxy.open_image(IMAGE), peer
        ours.close()
        peer.join()


def serving(data, value=-1):
    return lambda peer, *_: peer.pipe(data, value=value)


def read_all(stream):
    return b"".join(iter(stream.read, b""))


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208
