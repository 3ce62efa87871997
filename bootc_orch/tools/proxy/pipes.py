"""The two ways in which the proxy hands over bytes, each with its verdict on the whole.

Source: skopeo-experimental-image-proxy(1).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bootc_orch.model.image.manifest import MAX_DOCUMENT_BYTES
from bootc_orch.tools.proxy.channel import Channel, Reply
from bootc_orch.tools.proxy.errors import MAX_SHOWN, ProxyError, classify, inner
from bootc_orch.tools.proxy.replies import check_size
from bootc_orch.tools.proxy.stream import BlobStream
from bootc_orch.tools.proxy.timers import Timers
from orch_frame.errors import LimitError, TransientError


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is about an open image.

    Attributes:
        method: The method's name.
        args: Its arguments, the image's number first.
        subject: The image or layer that it is about, to begin a sentence with.
        timeout: Seconds to wait for the answer.
    """

    method: str
    args: tuple[object, ...]
    subject: str
    timeout: float

    def ask(self, channel: Channel, *, descriptors: int = 0) -> Reply:
        """Ask it; errors are those of `Channel.call`."""
        return channel.call(
            self.method,
            *self.args,
            subject=self.subject,
            timeout=self.timeout,
            descriptors=descriptors,
        )


@contextmanager
def checked_pipe(
    channel: Channel, question: Question, timers: Timers, *, size: int | None = None
) -> Iterator[tuple[Any, BlobStream]]:
    """Ask for one pipe, whose content the proxy checks; yield the value beside it, and the pipe.

    The pipe ends only while FinishPipe is answered, so that is asked at once and its answer, which
    comes when all is written, is taken last.
    """
    reply = question.ask(channel, descriptors=1)

    def conclude() -> None:
        channel.reply("FinishPipe", subject=question.subject, timeout=timers.stall)

    stream = BlobStream(
        reply.descriptors[0],
        size=size,
        conclude=conclude,
        subject=question.subject,
        timers=timers,
    )
    try:
        channel.request("FinishPipe", reply.pipe_id)
        yield reply.value, stream
        stream.drain()
    finally:
        if not stream.ended:
            channel.disown("FinishPipe")
        stream.close()


@contextmanager
def raw_pipe(
    channel: Channel, question: Question, timers: Timers, *, size: int | None
) -> Iterator[BlobStream]:
    """Ask for two pipes, of data that nobody has checked and of what went wrong with it."""
    reply = question.ask(channel, descriptors=2)
    if size is None and isinstance(reply.value, int) and reply.value >= 0:
        size = reply.value

    def conclude() -> None:
        _raise_verdict(_read_all(verdict, MAX_SHOWN * 4), question.subject)
        if stream.count != size and channel.has_ended():
            raise TransientError(f"skopeo ended within {inner(question.subject)}.")

    data, errors = reply.descriptors
    verdict = BlobStream(
        errors, size=None, conclude=lambda: None, subject=question.subject, timers=timers
    )
    stream = BlobStream(data, size=size, conclude=conclude, subject=question.subject, timers=timers)
    try:
        if size is not None:
            check_size(reply.value, size, question.subject)
        yield stream
        stream.drain()
    finally:
        stream.close()
        verdict.close()


def read_document(stream: BlobStream, what: str) -> bytes:
    """Read a manifest, a config, or what else must fit into memory.

    Raises:
        LimitError: it is longer than `MAX_DOCUMENT_BYTES`.
    """
    data = _read_all(stream, MAX_DOCUMENT_BYTES)
    if data is None:
        raise LimitError(f"{what} has more than {MAX_DOCUMENT_BYTES} bytes.")
    return data


def _read_all(stream: BlobStream, limit: int) -> bytes | None:
    """Read *stream* to its end; None if it is longer than *limit*."""
    chunks = []
    while data := stream.read():
        chunks.append(data)
        if stream.count > limit:
            return None
    return b"".join(chunks)


def _raise_verdict(data: bytes | None, subject: str) -> None:
    """Raise what the second pipe of GetRawBlob says; nothing means that all is well."""
    if data == b"":
        return
    try:
        verdict = json.loads(data or b"")
    except (ValueError, RecursionError):
        verdict = None
    match verdict:
        case {"message": str(message), **rest}:
            code = rest.get("code")
            raise classify(message, subject=subject, code=code if isinstance(code, str) else "")
        case _:
            raise ProxyError(f"skopeo's verdict on {inner(subject)} is unreadable.")
