"""Fetch the layers that are missing, several at a time, each to a verified commit.

Every worker is a thread with a proxy of its own.  Ostree layers come first, in their order, since
derived layers depend on the base commit that they make up.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import LayerKind, PlannedLayer
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref
from bootc_orch.ops.importing.layer import (
    BaseTree,
    Cancelled,
    ImportedLayer,
    VerifyCommit,
    import_layer,
    located,
)
from bootc_orch.ops.importing.source import Source, retrying
from bootc_orch.ops.importing.staging import Staging
from bootc_orch.ops.stored.progress import Progress
from bootc_orch.stream.layer_stream import LayerStream
from bootc_orch.tools.proxy.options import ProxyOptions
from orch_frame.errors import OrchError, SpaceError, TransientError

JOBS_MIN = 2
JOBS_MAX = 4
# Less than this is fetched before a second proxy has opened the image.
SECOND_WORKER_FROM_BYTES = 1024 * 1024
RESERVE_BYTES = 32 * 1024 * 1024
SPACE_CHECK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How layers are fetched.

    Attributes:
        proxy: How to reach the image.
        jobs: How many layers at a time; None for as many as there are processors, within limits.
        retries: How often a failure that may pass is tried again.
        retry_delay: Seconds before the first retry.
        importer: What commits of derived layers record as their importer.
        allow_ima: Whether files may bring IMA signatures.
    """

    proxy: ProxyOptions
    jobs: int | None
    retries: int
    retry_delay: float
    importer: str
    allow_ima: bool


def default_jobs() -> int:
    """Return how many layers are fetched at a time if nothing is said."""
    return min(JOBS_MAX, max(JOBS_MIN, len(os.sched_getaffinity(0))))


def fetch_layers(
    layers: Sequence[PlannedLayer],
    source: Source,
    staging: Staging,
    base: BaseTree,
    options: FetchOptions,
    progress: Progress,
    *,
    pinned: ImageReference,
    verify_commit: VerifyCommit | None = None,
) -> dict[Digest, ImportedLayer]:
    """Bring *layers* into the staging repository, each under its ref there.

    Args:
        layers: The layers to fetch, no digest twice.
        source: The open image; the first worker uses its proxy.
        staging: Where they go.
        base: The base commit; told of the ostree layers as they arrive.
        options: How to fetch.
        progress: Told of every layer.
        pinned: The same image, by digest where it can be; other workers open this.
        verify_commit: Checks the base commit before it is written.

    Returns:
        The layers by digest.

    Raises:
        OrchError: a layer could not be had; those that were finished stay in the staging.
    """
    ordered = sorted(layers, key=lambda layer: (layer.kind is LayerKind.DERIVED, layer.index))
    crew = _Crew(
        pending=ordered[::-1],
        pinned=pinned,
        staging=staging,
        base=base,
        options=options,
        progress=progress,
        verify_commit=verify_commit,
    )
    crew.work(source, _workers(layers, options.jobs))
    return crew.imported


def require_space(path: Path, needed: int) -> None:
    """Make sure that *needed* bytes fit on the file system of *path*, and some more.

    Raises:
        SpaceError: they do not.
    """
    status = os.statvfs(path)
    free = status.f_bavail * status.f_frsize
    if free < needed + RESERVE_BYTES:
        raise SpaceError(
            f"There is not enough space below {path}.",
            details=f"{needed + RESERVE_BYTES} bytes are needed, {free} are free",
            hint="Free some space, for example with bootc-orch gc.",
            path=str(path),
        )


def _workers(layers: Sequence[PlannedLayer], jobs: int | None) -> int:
    size = sum(layer.descriptor.size for layer in layers)
    if jobs is None and size < SECOND_WORKER_FROM_BYTES:
        return min(1, len(layers))
    return min(jobs or default_jobs(), len(layers))


@dataclass(slots=True)
class _Crew:
    """The workers of one fetch and what they share."""

    pending: list[PlannedLayer]
    pinned: ImageReference
    staging: Staging
    base: BaseTree
    options: FetchOptions
    progress: Progress
    verify_commit: VerifyCommit | None
    imported: dict[Digest, ImportedLayer] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None
    sources: list[Source] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self, source: Source, workers: int) -> None:
        """Run the workers to their end, the first one with the proxy that is open already."""
        self.sources.append(source)
        threads = [
            threading.Thread(target=self._worker, args=(None if index else source,), daemon=True)
            for index in range(workers)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self._stop()
            for thread in threads:
                if thread.is_alive():
                    thread.join()
        if self.failure is not None:
            raise self.failure

    def _fail(self, failure: BaseException) -> None:
        """Make every other worker end soon; the first failure is the one that is told."""
        with self.lock:
            if self.failure is None:
                self.failure = failure
        self._stop()

    def _stop(self) -> None:
        self.stopped.set()
        self.base.cancel()
        for source in tuple(self.sources):
            source.abort()

    def _worker(self, source: Source | None) -> None:
        try:
            if source is not None:
                self._fetch_all(source)
                return
            with Source(self.pinned, self.options.proxy) as own:
                self.sources.append(own)
                self._fetch_all(own)
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._fail(error)

    def _fetch_all(self, source: Source) -> None:
        while (layer := self._take()) is not None:
            try:
                self._finish(layer, self._fetch(source, layer))
            except OrchError as error:
                raise located(error, str(source.image), layer) from error

    def _take(self) -> PlannedLayer | None:
        with self.lock:
            if self.stopped.is_set() or not self.pending:
                return None
            return self.pending.pop()

    def _finish(self, layer: PlannedLayer, imported: ImportedLayer) -> None:
        digest = layer.descriptor.digest
        if imported.commitmeta is not None:
            self.staging.write_detached(imported.commit, imported.commitmeta)
        self.staging.set_ref(blob_ref(digest), imported.commit)
        with self.lock:
            self.imported[digest] = imported
        if layer.kind is not LayerKind.DERIVED:
            self.base.arrived(imported, layer.kind)
        self.progress.layer_done(digest)

    def _fetch(self, source: Source, layer: PlannedLayer) -> ImportedLayer:
        def attempt() -> ImportedLayer:
            if self.stopped.is_set():
                raise Cancelled
            try:
                return self._import(source, layer)
            except TransientError as error:
                if self.stopped.is_set():  # its proxy was ended from here
                    raise Cancelled from error
                source.reset()
                raise

        retry = retrying(
            self.options.retries,
            self.options.retry_delay,
            self.progress.warning,
            what=f"Layer {layer.descriptor.digest}",
            sleep=self._sleep,
        )
        return retry(attempt)

    def _sleep(self, seconds: float) -> None:
        self.stopped.wait(seconds)

    def _import(self, source: Source, layer: PlannedLayer) -> ImportedLayer:
        digest = layer.descriptor.digest
        self.progress.layer_started(digest, kind=layer.kind, size=layer.descriptor.size)
        space = _SpaceCheck(self.staging.path)
        with source.blob(layer) as blob:

            def read(count: int) -> bytes:
                if self.stopped.is_set():
                    raise Cancelled
                return blob.stream.read(count)

            stream = LayerStream(
                read,
                blob.compression,
                blob.size,
                on_read=lambda count: self.progress.layer_advanced(digest, count),
                on_output=space.account,
            )
            return import_layer(
                stream,
                layer,
                self.base,
                blob=blob.digest,
                importer=self.options.importer,
                verify_commit=self.verify_commit,
                allow_ima=self.options.allow_ima,
            )


@dataclass(slots=True)
class _SpaceCheck:
    """Looks now and then whether the disk is nearly full: an archive may expand without end."""

    path: Path
    since: int = 0

    def account(self, count: int) -> None:
        self.since += count
        if self.since >= SPACE_CHECK_BYTES:
            self.since = 0
            require_space(self.path, 0)
