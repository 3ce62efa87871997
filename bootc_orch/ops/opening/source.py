"""Where an image comes from: an open proxy, and what it said of the image."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Self

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from bootc_orch.errors import CommandError
from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import Compression, PlannedLayer, stored_compression
from bootc_orch.model.image.manifest import Descriptor
from bootc_orch.model.image.reference import ImageReference, Transport
from bootc_orch.tools.proxy.client import Proxy, open_proxy
from bootc_orch.tools.proxy.options import ProxyOptions
from bootc_orch.tools.proxy.replies import LayerInfo
from bootc_orch.tools.proxy.stream import BlobStream
from orch_frame.errors import InvalidImageError, TransientError

logger = logging.getLogger(__name__)

RETRY_SECONDS_MAX = 30.0
# These hand layers over unpacked, whatever the manifest says.
_UNPACKED = (Transport.CONTAINERS_STORAGE, Transport.DOCKER_DAEMON, Transport.DOCKER_ARCHIVE)


def retrying(
    retries: int,
    delay: float,
    warn: Callable[[str], None],
    *,
    what: str,
    sleep: Callable[[float], None] = time.sleep,
) -> Retrying:
    """Return the retry of everything that is fetched: exponential, with jitter, by error type.

    Args:
        retries: How often to try again after a first failure.
        delay: Seconds before the first retry; it doubles from there.
        warn: Told of each failure that is retried.
        what: What is tried, for the warning.
        sleep: Waits for so many seconds.
    """

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        subject = "" if str(error).startswith(what) else f"{what}: "
        warn(f"{subject}{error} Trying again in {pause:.1f} s.")

    return Retrying(
        sleep=sleep,
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(retries + 1),
        wait=wait_exponential_jitter(initial=delay, max=RETRY_SECONDS_MAX, jitter=delay),
        before_sleep=tell,
        reraise=True,
    )


@dataclass(frozen=True, slots=True)
class Blob:
    """An open blob of a layer.

    Attributes:
        stream: Its bytes.
        digest: The digest that they must have.
        size: About how many there will be.
        compression: How they are compressed.
    """

    stream: BlobStream
    digest: Digest
    size: int
    compression: Compression


class Source:
    """An image opened by a proxy of its own; reopened when that one has failed.

    Args:
        image: The image.
        options: How to reach it.
    """

    def __init__(self, image: ImageReference, options: ProxyOptions) -> None:
        self.image = image
        # Only a registry hears it, and to know whether skopeo can say it takes a process.
        told = options.user_agent if image.transport is Transport.REGISTRY else None
        self._options = replace(options, user_agent=told)
        self._stack = ExitStack()
        self._proxy: Proxy | None = None
        self._id = 0
        self._layer_info: tuple[LayerInfo, ...] | None = None

    def __enter__(self) -> Self:
        """Nothing is opened before it is needed."""
        return self

    def __exit__(self, *details: object) -> None:
        """End the proxy."""
        self.reset()

    @property
    def proxy(self) -> Proxy:
        """The open proxy, with the image open in it."""
        if self._proxy is None:
            proxy = self._stack.enter_context(open_proxy(self._options))
            self._id = proxy.open_image(self.image)
            self._proxy = proxy
        return self._proxy

    def reset(self) -> None:
        """Drop a proxy that has failed; the next use starts another."""
        self._proxy = None
        self._layer_info = None
        stack, self._stack = self._stack, ExitStack()
        # How a proxy ends is of no interest: what it handed over has been verified, or has failed.
        with suppress(CommandError):
            stack.close()

    def abort(self) -> None:
        """Make whatever waits for this source fail at once; for other threads."""
        if self._proxy is not None:
            self._proxy.abort()

    def manifest(self) -> tuple[Digest, bytes]:
        """Return the digest of the original manifest and the manifest in OCI form."""
        proxy = self.proxy
        return proxy.manifest(self._id)

    def config(self, stored: Descriptor | None = None) -> bytes:
        """Return the image's config; *stored* is where its blob is, for when skopeo cannot."""
        proxy = self.proxy
        return proxy.config(self._id, stored)

    def config_as_stored(self, stored: Descriptor) -> bytes | None:
        """Return the blob of the config, or None where images are kept in a form of their own."""
        if self.image.transport in _UNPACKED:
            return None
        proxy = self.proxy
        return proxy.config_as_stored(self._id, stored)

    @contextmanager
    def blob(self, layer: PlannedLayer) -> Iterator[Blob]:
        """Open the blob of *layer*; its size and digest are confirmed when the block ends."""
        proxy = self.proxy
        if self.image.transport not in _UNPACKED:
            digest, size = layer.descriptor.digest, layer.descriptor.size
            with proxy.blob(self._id, digest, size) as stream:
                yield Blob(stream, digest, size, layer.compression)
            return
        info = self._find_unpacked(layer)
        if info is None:
            named = layer.descriptor.digest
            with proxy.blob_by_diff_id(self._id, layer.diff_id, layer=named) as stream:
                yield Blob(stream, layer.diff_id, layer.descriptor.size, Compression.NONE)
            return
        compression = stored_compression(
            info.media_type, layer=layer.descriptor.digest, transport=self.image.transport
        )
        known_size = info.size if info.size >= 0 else None
        named = layer.descriptor.digest
        with proxy.blob(self._id, info.digest, known_size, layer=named) as stream:
            yield Blob(stream, info.digest, info.size, compression)

    def _find_unpacked(self, layer: PlannedLayer) -> LayerInfo | None:
        """Return where a layer that is kept unpacked is; None if the proxy cannot tell."""
        if self._layer_info is None:
            self._layer_info = self.proxy.layer_info(self._id)
        if self._layer_info is None:
            return None
        if layer.index >= len(self._layer_info):
            raise InvalidImageError(f"{self.image} does not keep layer {layer.descriptor.digest}.")
        return self._layer_info[layer.index]
