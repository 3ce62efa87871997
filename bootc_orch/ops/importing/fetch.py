"""Fetch the layers that are missing, several at a time, each to a verified commit.

Every worker is a thread with a proxy of its own.  Ostree layers come first, in their order, since
derived layers depend on the base commit that they make up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.layout import LayerKind, PlannedLayer
from bootc_orch.model.image.reference import ImageReference, Transport
from bootc_orch.model.image.refs import blob_ref
from bootc_orch.ops.importing.base import BaseArrival, read_rules
from bootc_orch.ops.importing.crew import Crew
from bootc_orch.ops.importing.layer import ImportedLayer, LayerImporter, locate_in_layer
from bootc_orch.ops.importing.staging import Staging
from bootc_orch.ops.opening.pull_plan import LayerAction, PullPlan, PullRequest
from bootc_orch.ops.opening.signature import RemoteVerifier
from bootc_orch.ops.opening.source import Blob, Source, retrying
from bootc_orch.ops.stored.known_layers import KnownLayer, record_layers
from bootc_orch.ops.stored.notes import admit_foreign
from bootc_orch.stream.layer_stream import LayerStream
from bootc_orch.stream.trees import Trees
from orch_frame.errors import OrchError, SpaceError, TransientError

JOBS_MIN = 2
JOBS_MAX = 4
# Less than this is fetched before a second proxy has opened the image.
SECOND_WORKER_FROM_BYTES = 1024 * 1024
RESERVE_BYTES = 32 * 1024 * 1024
SPACE_CHECK_BYTES = 64 * 1024 * 1024


def default_jobs() -> int:
    """Return how many layers are fetched at a time if nothing is said."""
    return min(JOBS_MAX, max(JOBS_MIN, len(os.sched_getaffinity(0))))


def fetch_layers(
    request: PullRequest,
    plan: PullPlan,
    source: Source,
    staging: Staging,
    verifier: RemoteVerifier | None = None,
) -> dict[Digest, ImportedLayer]:
    """Bring the layers that are missing into the staging repository, each under its ref there.

    Args:
        request: How to fetch; its progress is told of every layer.
        plan: Which layers to fetch.
        source: The open image; the first worker uses its proxy, which ends with the last layer.
        staging: Where they go.
        verifier: Who must vouch for the base commit, if anyone must.

    Returns:
        The layers by digest.

    Raises:
        SpaceError: they do not fit.
        OrchError: a layer could not be had; those that were finished stay in the staging.
    """
    request.progress.planned(plan.transfer)
    require_space(request.repo.path, plan.transfer.needed_bytes)
    if verifier is not None:
        verifier.verify_plan(plan)
    trees = Trees(staging.store)
    read = partial(
        read_rules, trees, var_content=request.options.var_content, directory=staging.path
    )
    with BaseArrival(plan, trees, read) as base:
        importer = LayerImporter(
            trees,
            base,
            request.options.importer_version,
            partial(verifier.verify, work=staging.path) if verifier else None,
            allow_ima=request.options.allow_ima,
        )
        fetched = _Fetch(request, plan, staging, importer).run(source)
    source.reset()
    return fetched


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


def _pin(image: ImageReference, digest: Digest) -> ImageReference:
    """Return the reference that further proxies open: a tag may move meanwhile."""
    if image.transport is not Transport.REGISTRY:
        return image
    return image.with_digest(digest).canonicalise()


class _Fetch:
    """The fetch of the layers that are missing, and what its workers share."""

    def __init__(
        self, request: PullRequest, plan: PullPlan, staging: Staging, importer: LayerImporter
    ) -> None:
        self._options = request.options
        self._progress = request.progress
        self._pinned = _pin(request.image, plan.image.digest)
        self._staging = staging
        self._importer = importer
        self._layers = sorted(
            (entry.layer for entry in plan.chosen(LayerAction.FETCH)),
            key=lambda layer: (layer.kind is LayerKind.DERIVED, layer.index),
        )
        self._crew = Crew(self._layers, self._wake)
        self._sources: list[Source] = []
        self._imported: dict[Digest, ImportedLayer] = {}

    def run(self, source: Source) -> dict[Digest, ImportedLayer]:
        """Run the workers to their end, the first one with the proxy that is open already."""
        self._sources.append(source)
        others = _workers(self._layers, self._options.transfer.jobs) - 1
        own = [partial(self._fetch_all, source)] if self._layers else []
        self._crew.work([*own, *[self._fetch_with_own_source] * others])
        return self._imported

    def _wake(self) -> None:
        self._importer.base.cancel()
        for source in tuple(self._sources):
            source.abort()

    def _fetch_with_own_source(self) -> None:
        with Source(self._pinned, self._options.proxy) as own:
            self._sources.append(own)
            self._fetch_all(own)

    def _fetch_all(self, source: Source) -> None:
        while (layer := self._crew.take()) is not None:
            retry = retrying(
                self._options.transfer.retries,
                self._options.transfer.retry_delay,
                self._progress.warning,
                what=f"Layer {layer.descriptor.digest}",
                sleep=self._crew.sleep,
            )
            try:
                self._finish(layer, retry(self._fetch, source, layer))
            except OrchError as error:
                raise locate_in_layer(error, str(source.image), layer) from error

    def _fetch(self, source: Source, layer: PlannedLayer) -> ImportedLayer:
        """Try once to have *layer*; what has failed in a way that may pass needs a new proxy."""
        self._crew.require_going()
        self._progress.layer_started(
            layer.descriptor.digest, kind=layer.kind, size=layer.descriptor.size
        )
        try:
            with source.blob(layer) as blob:
                return self._importer.import_layer(self._stream(blob, layer), layer, blob.digest)
        except TransientError as error:
            self._crew.require_going(error)  # or its proxy was ended from here
            source.reset()
            raise

    def _stream(self, blob: Blob, layer: PlannedLayer) -> LayerStream:
        digest = layer.descriptor.digest

        def read(count: int) -> bytes:
            self._crew.require_going()
            return blob.stream.read(count)

        return LayerStream(
            read,
            blob.compression,
            blob.size,
            on_read=lambda count: self._progress.layer_advanced(digest, count),
            on_output=_SpaceCheck(self._staging.path).account,
        )

    def _finish(self, layer: PlannedLayer, imported: ImportedLayer) -> None:
        digest = layer.descriptor.digest
        if imported.commitmeta is not None:
            self._staging.write_detached(imported.commit, admit_foreign(imported.commitmeta))
        if imported.blob == digest:
            found = KnownLayer(digest, layer.kind, imported.commit, layer.diff_id)
            record_layers(self._staging.repo, [found])
        self._staging.set_ref(blob_ref(digest), imported.commit)
        self._imported[digest] = imported
        if layer.kind is not LayerKind.DERIVED:
            self._importer.base.note_layer(imported.commit, layer.kind)
        self._progress.layer_done(digest)


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
