"""Requests and replies of the proxy, one JSON document a packet, descriptors beside it.

Source: skopeo-experimental-image-proxy(1).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bootc_orch.tools.proxy.errors import ProxyError, classify
from orch_frame.errors import StallError, TransientError, UsageError

logger = logging.getLogger(__name__)

MAX_REQUEST = 32 * 1024  # the proxy cuts a longer one off
MAX_REPLY = 1024 * 1024
MAX_DESCRIPTORS = 8
_INT = struct.Struct("i")
# A dying process closes its descriptors one after the other.
_END_MILLISECONDS = 100


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer.

    Attributes:
        value: What was returned.
        pipe_id: What FinishPipe takes; 0 if there is nothing to finish.
        descriptors: Read ends of pipes; who gets the reply owns them.
    """

    value: Any
    pipe_id: int
    descriptors: tuple[int, ...]


class Channel:
    """One end of a connection to a proxy; for one request at a time.

    Args:
        connection: A connected ``SOCK_SEQPACKET`` socket, owned by the caller.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._owed: list[str] = []
        self._lost = False

    @property
    def idle(self) -> bool:
        """Whether the proxy has answered all it was asked, and can be asked again."""
        return not self._lost and not self._owed

    def shut_down(self) -> None:
        """Make both ends see the end of the connection, for good."""
        self._lost = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def call(
        self, method: str, *args: object, subject: str, timeout: float, descriptors: int = 0
    ) -> Reply:
        """Ask and wait for the answer.

        Args:
            method: The method's name.
            args: Its arguments.
            subject: The image or layer concerned, for errors.
            timeout: Seconds to wait.
            descriptors: How many must come with the answer.

        Raises:
            OrchError: of the class that `classify` finds in the proxy's words.
            StallError: there was no answer in time; the channel is closed.
            TransientError: the proxy has ended.
            ProxyError: the answer is not one of this protocol; the channel is closed.
        """
        for owed in self._owed:  # replies to what was abandoned come first, and say only that
            for descriptor in self._receive(owed, timeout)[1]:
                os.close(descriptor)
        self._owed.clear()
        self.request(method, *args)
        return self.reply(method, subject=subject, timeout=timeout, descriptors=descriptors)

    def request(self, method: str, *args: object) -> None:
        """Ask without waiting; each request must be followed by `reply` or `disown`."""
        logger.debug("proxy: %s%s", method, args)
        packet = json.dumps({"method": method, "args": args}).encode()
        if len(packet) >= MAX_REQUEST:
            raise UsageError(f"A name of {len(packet)} bytes is too long for skopeo.")
        try:
            self._socket.send(packet)
        except OSError as error:
            raise self._ended(method) from error

    def disown(self, method: str) -> None:
        """Note that nobody will ask for the reply to *method* any more."""
        self._owed.append(method)

    def reply(self, method: str, *, subject: str, timeout: float, descriptors: int = 0) -> Reply:
        """Wait for the answer to a `request`; arguments and errors are those of `call`."""
        data, received = self._receive(method, timeout)
        try:
            reply = _parse(data, method, subject, received)
            if len(received) != descriptors:
                raise ProxyError(
                    f"skopeo answered {method} with {len(received)} descriptors "
                    f"where {descriptors} were due."
                )
            if descriptors == 1 and reply.pipe_id == 0:
                raise ProxyError(f"skopeo answered {method} with a pipe that has no number.")
        except ProxyError:
            self.shut_down()
            _close(received)
            raise
        except BaseException:
            _close(received)
            raise
        return reply

    def has_ended(self) -> bool:
        """Say whether the proxy is gone; while no answer is due, that is all that can arrive."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(_END_MILLISECONDS))

    def _receive(self, method: str, timeout: float) -> tuple[bytes, tuple[int, ...]]:
        try:
            self._socket.settimeout(timeout)
            # Not socket.recv_fds: it drops the flag, and children would inherit what arrives.
            data, ancillary, flags, _ = self._socket.recvmsg(
                MAX_REPLY, socket.CMSG_LEN(MAX_DESCRIPTORS * _INT.size), socket.MSG_CMSG_CLOEXEC
            )
        except TimeoutError as error:
            self.shut_down()
            raise StallError(f"skopeo did not answer {method} within {timeout:g} s.") from error
        except OSError as error:
            raise self._ended(method) from error
        received = _descriptors(ancillary)
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            _close(received)
            self.shut_down()
            raise ProxyError(f"skopeo's answer to {method} is too large.")
        if not data:
            raise self._ended(method)
        return data, received

    def _ended(self, method: str) -> TransientError:
        self.shut_down()
        return TransientError(f"skopeo ended before it answered {method}.")


def _descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> tuple[int, ...]:
    return tuple(
        descriptor
        for level, kind, data in ancillary
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        for (descriptor,) in _INT.iter_unpack(data[: len(data) - len(data) % _INT.size])
    )


def _parse(data: bytes, method: str, subject: str, descriptors: tuple[int, ...]) -> Reply:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProxyError(f"skopeo answered {method} with something that is no JSON.") from error
    match value:
        case {"success": True} if _is_number(number := value.get("pipeid", 0)):
            return Reply(value.get("value"), number, descriptors)
        case {"success": False, "error": str(text)}:
            code = value.get("error_code")
            raise classify(text, subject=subject, code=code if isinstance(code, str) else "")
        case _:
            raise ProxyError(f"skopeo answered {method} with something that is no answer.")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
