"""skopeo's image proxy: manifests, configs and blobs of images wherever they are.

skopeo knows transports, registries, credentials and signatures; it hands over bytes through pipes.
Source: skopeo-experimental-image-proxy(1), protocol 0.2.3 to 0.2.8.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.manifest import Descriptor
from bootc_orch.model.image.reference import ImageReference, Transport
from bootc_orch.process import Process, spawn
from bootc_orch.tools.proxy.channel import Channel
from bootc_orch.tools.proxy.errors import ProxyError
from bootc_orch.tools.proxy.options import ProxyOptions, launch
from bootc_orch.tools.proxy.pipes import Question, checked_pipe, raw_pipe, read_document
from bootc_orch.tools.proxy.replies import (
    LAYER_INFO,
    LAYER_INFO_PIPED,
    POLICY_ENFORCED,
    RAW_BLOBS,
    LayerInfo,
    Version,
    check_size,
    parse_layer_info,
    parse_version,
    show_version,
)
from bootc_orch.tools.proxy.stream import BlobStream
from bootc_orch.tools.proxy.timers import Timers
from orch_frame.errors import (
    InvalidImageError,
    MismatchError,
    OrchError,
    StallError,
    ToolError,
    TransientError,
)

EXIT_SECONDS = 10.0
_UNREADABLE_DATE = "parsing time"


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
        return cls(channel, parse_version(reply.value), timers, kill)

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
        self._question("CloseImage", image).ask(self._channel)
        del self._images[image]

    def manifest(self, image: int) -> tuple[Digest, bytes]:
        """Return the manifest in OCI form, and the digest of the original, which may differ.

        Raises:
            LimitError: it is longer than `MAX_DOCUMENT_BYTES`.
        """
        with self._ask_for_pipe("GetManifest", image) as (value, stream):
            data = read_document(stream, f"The manifest of {self._images[image]}")
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
            with self._ask_for_pipe("GetFullConfig", image) as (_, stream):
                return read_document(stream, f"The config of {self._images[image]}")
        except InvalidImageError as error:
            if stored is None or _UNREADABLE_DATE not in (error.details or ""):
                raise
            return self.config_as_stored(image, stored)

    def config_as_stored(self, image: int, stored: Descriptor) -> bytes:
        """Return the blob of a config, byte for byte; for a manifest that was not converted.

        Raises:
            MismatchError: it has another digest or size.
            LimitError: it is longer than `MAX_DOCUMENT_BYTES`.
        """
        what = f"The config of {self._images[image]}"
        with self.blob(image, stored.digest, stored.size) as stream:
            data = read_document(stream, what)
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
            return parse_layer_info(self._question("GetLayerInfo", image).ask(self._channel).value)
        with self._ask_for_pipe("GetLayerInfoPiped", image) as (_, stream):
            data = read_document(stream, f"The list of layers of {self._images[image]}")
        try:
            return parse_layer_info(json.loads(data))
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
            with self._open_blob(image, digest, size) as stream:
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

    def _open_blob(
        self, image: int, digest: Digest, size: int | None
    ) -> AbstractContextManager[BlobStream]:
        if self.version < RAW_BLOBS:
            return self._get_checked_blob(image, digest, size)
        question = self._question("GetRawBlob", image, str(digest))
        return raw_pipe(self._channel, question, self._timers, size=size)

    @contextmanager
    def _get_checked_blob(
        self, image: int, digest: Digest, size: int | None
    ) -> Iterator[BlobStream]:
        """Call GetBlob, which checks size and digest itself, and so must be told the size."""
        if size is None:
            size = self._stored_size(image, digest)
        with self._ask_for_pipe("GetBlob", image, str(digest), size, size=size) as (value, stream):
            check_size(value, size, f"Layer {digest}")
            yield stream

    def _stored_size(self, image: int, digest: Digest) -> int:
        """Begin to fetch a blob only to learn its size."""
        with self._ask_for_pipe("GetBlob", image, str(digest), -1) as (value, stream):
            stream.abandon()
        if not isinstance(value, int) or value < 0:
            raise ProxyError(f"skopeo does not know the size of layer {digest}.")
        return value

    def _question(self, method: str, image: int, *args: object) -> Question:
        reference = self._images[image]
        subject = f"Layer {args[0]}" if args else str(reference)
        return Question(method, (image, *args), subject, self._answer_time(reference))

    def _ask_for_pipe(
        self, method: str, image: int, *args: object, size: int | None = None
    ) -> AbstractContextManager[tuple[Any, BlobStream]]:
        question = self._question(method, image, *args)
        return checked_pipe(self._channel, question, self._timers, size=size)

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
            f"skopeo's proxy, protocol {show_version(version)}, does not check signatures.",
            hint=(
                f"Install skopeo 1.13 or newer (protocol {show_version(POLICY_ENFORCED)}), "
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
