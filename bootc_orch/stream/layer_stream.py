"""The bytes of one layer on their way in: hashed as they come, decompressed, hashed again.

Decompression of a large layer runs in a thread beside whoever reads: both libraries let go of the
interpreter's lock while they work.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import Compression
from bootc_orch.stream.decompress import decompress
from orch_frame.errors import MismatchError

READ_BYTES = 256 * 1024
READAHEAD_PIECES = 6
# Below this a thread costs more than it brings.
THREAD_FROM_BYTES = 256 * 1024


class LayerStream:
    """One blob being read.

    Args:
        read: Returns up to so many bytes of the blob, and nothing at its end.
        compression: How the blob is compressed.
        size: The blob's length in bytes, to choose how to read it.
        on_read: Called with the length of each piece that arrived.
        on_output: Called with the length of each uncompressed piece.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        compression: Compression,
        size: int,
        *,
        on_read: Callable[[int], None],
        on_output: Callable[[int], None],
    ) -> None:
        self._read = read
        self._compression = compression
        self._size = size
        self._on_read = on_read
        self._on_output = on_output
        self._blob = sha256()
        self._content = sha256()
        self.blob_bytes = 0
        self.content_bytes = 0

    @contextmanager
    def pieces(self) -> Iterator[Iterator[bytes]]:
        """Yield the uncompressed pieces; read them all, or the digests say nothing."""
        if self._size < THREAD_FROM_BYTES:
            yield self._decompress()
            return
        with read_ahead(self._decompress(), READAHEAD_PIECES) as pieces:
            yield pieces

    def drain(self) -> None:
        """Read what is left of the blob, for its digest alone."""
        for _ in self._arriving():
            pass

    def verify_blob(self, digest: Digest) -> None:
        """Compare the whole blob with what was promised.

        Raises:
            MismatchError: the blob is not what *digest* says.
        """
        if self._blob.hexdigest() != digest.hex:
            raise MismatchError(
                f"The blob of layer {digest} has another digest.",
                details=f"it is sha256:{self._blob.hexdigest()}, {self.blob_bytes} bytes",
            )

    def verify(self, digest: Digest, diff_id: Digest) -> None:
        """Compare the blob and its content with what was promised.

        Raises:
            MismatchError: the blob or its content is not what *digest* or *diff_id* says.
        """
        self.verify_blob(digest)
        if self._content.hexdigest() != diff_id.hex:
            raise MismatchError(
                f"The content of layer {digest} does not match its diff_id {diff_id}.",
                details=f"it is sha256:{self._content.hexdigest()}, {self.content_bytes} bytes",
            )

    def _arriving(self) -> Iterator[bytes]:
        while piece := self._read(READ_BYTES):
            self._blob.update(piece)
            self.blob_bytes += len(piece)
            self._on_read(len(piece))
            yield piece

    def _decompress(self) -> Iterator[bytes]:
        for piece in decompress(self._arriving(), self._compression):
            self._content.update(piece)
            self.content_bytes += len(piece)
            self._on_output(len(piece))
            yield piece


@contextmanager
def read_ahead(pieces: Iterable[bytes], depth: int) -> Iterator[Iterator[bytes]]:
    """Run *pieces* in a thread of its own, at most *depth* pieces ahead.

    An exception of the producer is raised where the next piece would be; when the block ends, the
    producer is stopped at its next piece and awaited.
    """
    handover: queue.Queue[bytes | BaseException | None] = queue.Queue(depth)
    stopped = threading.Event()

    def produce() -> None:
        end: BaseException | None = None
        try:
            for piece in pieces:
                handover.put(piece)
                if stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where the pieces are read
            end = error
        handover.put(end)

    def consume() -> Iterator[bytes]:
        while (item := handover.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=produce, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stopped.set()
        while thread.is_alive():
            try:
                handover.get(timeout=0.01)
            except queue.Empty:
                continue
