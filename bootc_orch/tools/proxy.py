"""skopeo's image proxy: manifests, configs and blobs of images wherever they are.

skopeo knows transports, registries, credentials and signatures; it hands over bytes through pipes.
Source: skopeo-experimental-image-proxy(1), protocol 0.2.3 to 0.2.8.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from bootc_orch.errors import (
    InvalidImageError,
    LimitError,
    MismatchError,
    OrchError,
    StallError,
    ToolError,
    TransientError,
)
from bootc_orch.model.digest import Digest
from bootc_orch.model.manifest import MAX_DOCUMENT_BYTES, Descriptor
from bootc_orch.model.reference import ImageReference, Transport
from bootc_orch.process import Process, spawn
from bootc_orch.tools.proxy_channel import Channel, Reply
from bootc_orch.tools.proxy_errors import MAX_SHOWN, ProxyError, classify
from bootc_orch.tools.proxy_options import ProxyOptions, launch
from bootc_orch.tools.proxy_stream import BlobStream
from bootc_orch.tools.proxy_timers import Timers

Version = tuple[int, int, int]

MINIMUM: Version = (0, 2, 3)
LAYER_INFO: Version = (0, 2, 5)
POLICY_ENFORCED: Version = (0, 2, 6)
LAYER_INFO_PIPED: Version = (0, 2, 7)
RAW_BLOBS: Version = (0, 2, 8)
EXIT_SECONDS = 10.0
_UNREADABLE_DATE = "parsing time"
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:[-+].*)?")


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """How a layer is stored where the image is.

    Attributes:
        digest: What to ask for.
        size: The length of what is handed over then, or -1.
        media_type: What that is; containers-storage has plain tars, whatever the manifest says.
    """

    digest: Digest
    size: int
    media_type: str


class Proxy:
    """A connection to a running proxy; for one thread, and one blob, at a time.

    Args:
        channel: The connection.
        version: The protocol that the proxy speaks.
        timers: How long to wait.
        kill: Ends the proxy's process.
    """

    def __init__(
        self, channel: Channel, version: Version, timers: Timers, kill: Callable[[], None]
    ) -> None:
        self.version = version
        self._kill = kill
        self._channel = channel
        self._timers = timers
        self._images: dict[int, ImageReference] = {}

    @classmethod
    def connect(
        cls, connection: socket.socket, timers: Timers, kill: Callable[[], None] = lambda: None
    ) -> Proxy:
        """Greet the proxy at the other end of *connection*.

        Raises:
            ToolError: it speaks no protocol that is known here, or ends at once.
        """
        channel = Channel(connection)
        try:
            reply = channel.call("Initialize", subject="The proxy", timeout=timers.answer)
        except StallError:
            raise
        except TransientError as error:
            raise ToolError(
                "skopeo ended at once.", hint="Install skopeo 1.6 or newer (protocol 0.2.3)."
            ) from error
        return cls(channel, _parse_version(reply.value), timers, kill)

    @property
    def idle(self) -> bool:
        """Whether the proxy has answered all it was asked, and can be asked again."""
        return self._channel.idle

    def abort(self) -> None:
        """End the conversation at once, from any thread: who waits for the proxy gets an error.

        The end of the connection alone would not do: skopeo looks at it only between two answers.
        """
        self._channel.shut_down()
        self._kill()

    def open_image(self, image: ImageReference) -> int:
        """Open *image*; of a list, what fits this machine.  Return its number here.

        Raises:
            NotFoundError: there is no such image.
            AuthError, PolicyError: it may not be read.
            TransientError: it cannot be reached.
        """
        reply = self._channel.call(
            "OpenImage", str(image), subject=str(image), timeout=self._answer_time(image)
        )
        if not isinstance(reply.value, int) or reply.value <= 0:
            raise ProxyError("skopeo answered OpenImage without a number.")
        self._images[reply.value] = image
        return reply.value

    def close_image(self, image: int) -> None:
        """Close what `open_image` opened."""
        self._call("CloseImage", image)
        del self._images[image]

    def manifest(self, image: int) -> tuple[Digest, bytes]:
        """Return the manifest in OCI form, and the digest of the original, which may differ.

        Raises:
            LimitError: it is longer than `MAX_DOCUMENT_BYTES`.
        """
        with self._piped("GetManifest", image) as (value, stream):
            data = self._document(stream, f"The manifest of {self._images[image]}")
        if not isinstance(value, str):
            raise ProxyError("skopeo answered GetManifest without a digest.")
        return Digest.parse(value), data

    def config(self, image: int, stored: Descriptor | None = None) -> bytes:
        """Return the config in OCI form.

        skopeo cannot convert a config with a date that is none; the blob *stored* is read then.

        Raises:
            LimitError: it is longer than `MAX_DOCUMENT_BYTES`.
        """
        try:
            with self._piped("GetFullConfig", image) as (_, stream):
                return self._document(stream, f"The config of {self._images[image]}")
        except InvalidImageError as error:
            if stored is None or _UNREADABLE_DATE not in (error.details or ""):
                raise
            return self._config_as_stored(image, stored)

    def _config_as_stored(self, image: int, stored: Descriptor) -> bytes:
        what = f"The config of {self._images[image]}"
        with self.blob(image, stored.digest, stored.size) as stream:
            data = self._document(stream, what)
        if Digest.of(data) != stored.digest:
            raise MismatchError(f"{what} does not have the digest {stored.digest}.")
        return data

    def layer_info(self, image: int) -> tuple[LayerInfo, ...] | None:
        """Return how each layer is stored, in the order of the manifest.

        None: the proxy is too old to say; then ask with `blob_by_diff_id`.
        """
        if self.version < LAYER_INFO:
            return None
        if self.version < LAYER_INFO_PIPED:
            return _parse_layer_info(self._call("GetLayerInfo", image).value)
        with self._piped("GetLayerInfoPiped", image) as (_, stream):
            data = self._document(stream, f"The list of layers of {self._images[image]}")
        try:
            return _parse_layer_info(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise ProxyError("skopeo's list of layers is no JSON.") from error

    @contextmanager
    def blob(
        self, image: int, digest: Digest, size: int | None, *, layer: Digest | None = None
    ) -> Iterator[BlobStream]:
        """Stream the blob *digest*, as it is stored.

        When the block ends the rest is read, and what the proxy has to say of the whole is raised.
        If the block raises, the blob is abandoned and the block's own error goes on.  With
        protocol 0.2.8 nobody else computes the digest: that is always for the caller to do.

        Args:
            image: What `open_image` returned.
            digest: What to ask for.
            size: How many bytes there must be; None for as many as the source says.
            layer: What the manifest calls the layer, if not *digest*; for errors.

        Raises:
            MismatchError: the source has another size, or the digest is wrong.
            LimitError: there are more bytes.
            OrchError: of the class that `classify` finds in the proxy's words.
        """
        try:
            opened = (
                self._raw_blob(image, digest, size)
                if self.version >= RAW_BLOBS
                else self._checked_blob(image, digest, size)
            )
            with opened as stream:
                yield stream
        except OrchError as error:
            error.locate(image=str(self._images[image]), layer=str(layer or digest))
            raise

    def blob_by_diff_id(
        self, image: int, diff_id: Digest, *, layer: Digest | None = None
    ) -> AbstractContextManager[BlobStream]:
        """Stream the layer with *diff_id* of an image in containers-storage, as a plain tar.

        For proxies that have no `layer_info`.  Arguments and errors are those of `blob`.
        """
        return self.blob(image, diff_id, None, layer=layer)

    @contextmanager
    def _checked_blob(self, image: int, digest: Digest, size: int | None) -> Iterator[BlobStream]:
        """Call GetBlob, which checks size and digest itself, and so must be told the size."""
        if size is None:
            size = self._stored_size(image, digest)
        with self._piped("GetBlob", image, str(digest), size, size=size) as (value, stream):
            _check_size(value, size, digest)
            yield stream

    def _stored_size(self, image: int, digest: Digest) -> int:
        """Begin to fetch a blob only to learn its size."""
        with self._piped("GetBlob", image, str(digest), -1) as (value, stream):
            stream.abandon()
        if not isinstance(value, int) or value < 0:
            raise ProxyError(f"skopeo does not know the size of layer {digest}.")
        return value

    @contextmanager
    def _raw_blob(self, image: int, digest: Digest, size: int | None) -> Iterator[BlobStream]:
        """Call GetRawBlob, which has a second pipe for its verdict and checks nothing."""
        reply = self._call("GetRawBlob", image, str(digest), descriptors=2)
        subject = _subject(self._images[image], (str(digest),))

        if size is None and isinstance(reply.value, int) and reply.value >= 0:
            size = reply.value

        def conclude() -> None:
            _raise_verdict(_read_all(verdict, MAX_SHOWN * 4), subject)
            if stream.count != size and self._channel.has_ended():
                raise TransientError(f"skopeo ended within {subject}.")

        data, errors = reply.descriptors
        verdict = BlobStream(
            errors, size=None, conclude=lambda: None, subject=subject, timers=self._timers
        )
        stream = BlobStream(
            data, size=size, conclude=conclude, subject=subject, timers=self._timers
        )
        try:
            if size is not None:
                _check_size(reply.value, size, digest)
            yield stream
            stream.drain()
        finally:
            stream.close()
            verdict.close()

    def _call(self, method: str, image: int, *args: object, descriptors: int = 0) -> Reply:
        reference = self._images[image]
        return self._channel.call(
            method, image, *args,
            subject=_subject(reference, args),
            timeout=self._answer_time(reference),
            descriptors=descriptors,
        )  # fmt: skip

    @contextmanager
    def _piped(
        self, method: str, image: int, *args: object, size: int | None = None
    ) -> Iterator[tuple[Any, BlobStream]]:
        """Call a method that answers with one pipe.

        The pipe ends only while FinishPipe is answered, so that is asked at once and its answer,
        which comes when all is written, is taken last.
        """
        reply = self._call(method, image, *args, descriptors=1)
        subject = _subject(self._images[image], args)

        def conclude() -> None:
            self._channel.reply("FinishPipe", subject=subject, timeout=self._timers.stall)

        stream = BlobStream(
            reply.descriptors[0],
            size=size, conclude=conclude, subject=subject, timers=self._timers,
        )  # fmt: skip
        try:
            self._channel.request("FinishPipe", reply.pipe_id)
            yield reply.value, stream
            stream.drain()
        finally:
            if not stream.ended:
                self._channel.disown("FinishPipe")
            stream.close()

    def _document(self, stream: BlobStream, what: str) -> bytes:
        data = _read_all(stream, MAX_DOCUMENT_BYTES)
        if data is None:
            raise LimitError(f"{what} has more than {MAX_DOCUMENT_BYTES} bytes.")
        return data

    def _answer_time(self, image: ImageReference) -> float:
        if image.transport is Transport.REGISTRY:
            return self._timers.answer
        return self._timers.local_answer


@contextmanager
def open_proxy(options: ProxyOptions) -> Iterator[Proxy]:
    """Start skopeo and talk to it until the block ends; no process is left behind.

    The calling thread must live as long as the block: skopeo is killed when it ends.

    Raises:
        ToolMissingError: there is no skopeo.
        ToolError: it is too old, or too new.
        ConfigError: the credentials cannot be read.
        CommandError: all was well, and then skopeo failed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (
        ours,
        theirs,
        launch(options) as command,
        contextlib.suppress(_Unfinished),
        spawn(command.argv, stdin=theirs.fileno(), pass_fds=command.descriptors) as process,
    ):
        theirs.close()
        proxy = Proxy.connect(ours, options.timers, process.kill)
        yield proxy
        if not proxy.idle:
            raise _Unfinished
        ours.close()
        _await_exit(process)


class _Unfinished(Exception):  # noqa: N818 - not an error: whoever broke off has had his error
    """The proxy is busy with what nobody wants any more, or is lost: end it without more ado."""


def require_policy_enforcement(version: Version) -> None:
    """Refuse to go on with a proxy that does not apply the signature policy.

    Raises:
        ToolError: its protocol is older than `POLICY_ENFORCED`.
    """
    if version < POLICY_ENFORCED:
        raise ToolError(
            f"skopeo's proxy, protocol {_show(version)}, does not check signatures.",
            hint=(
                f"Install skopeo 1.13 or newer (protocol {_show(POLICY_ENFORCED)}), "
                "or ask for the image as ostree-unverified-image:…."
            ),
        )


def _await_exit(process: Process) -> None:
    """Wait for skopeo, which ends when its socket is closed, but not for ever."""
    poll = select.poll()
    descriptor = os.pidfd_open(process.pid)
    try:
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(EXIT_SECONDS * 1000):
            raise StallError(f"skopeo did not end within {EXIT_SECONDS:g} s.")
    finally:
        os.close(descriptor)


def _parse_version(value: object) -> Version:
    match = _VERSION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ToolError(f"skopeo's proxy speaks an unknown protocol: {str(value)[:80]!r}.")
    version = (int(match[1]), int(match[2]), int(match[3]))
    if version[:2] != MINIMUM[:2] or version < MINIMUM:
        raise ToolError(
            f"skopeo's proxy speaks protocol {_show(version)}; "
            f"{_show(MINIMUM)} or a later 0.2 is needed.",
            hint="Install skopeo 1.6 or newer.",
        )
    return version


def _check_size(value: object, size: int, digest: Digest) -> None:
    """Compare the size of a blob where it is stored, -1 if that is not known, with the promise."""
    if value not in (-1, size):
        raise MismatchError(
            f"Layer {digest} has {value} bytes where it is stored, not the {size} promised."
        )


def _parse_layer_info(value: object) -> tuple[LayerInfo, ...]:
    if not isinstance(value, list):
        raise ProxyError("skopeo's list of layers is no list.")
    layers = []
    for entry in value:
        match entry:
            case {"digest": str(digest), "size": int(size), "media_type": str(media_type)}:
                layers.append(LayerInfo(Digest.parse(digest), size, media_type))
            case _:
                raise ProxyError("skopeo's list of layers has an entry that is none.")
    return tuple(layers)


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
            raise ProxyError(f"skopeo's verdict on {subject} is unreadable.")


def _subject(image: ImageReference, args: tuple[object, ...]) -> str:
    """Name what is asked for, to begin a sentence with: a layer, or else the image."""
    return f"Layer {args[0]}" if args else str(image)


def _show(version: Version) -> str:
    return ".".join(str(number) for number in version)
