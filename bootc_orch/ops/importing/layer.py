"""Import one layer: from its blob to a verified commit in the staging repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bootc_orch.model.digest import Digest
from bootc_orch.model.gvariant import Commit, Variant
from bootc_orch.model.image.layout import LayerKind, PlannedLayer
from bootc_orch.ops.importing.base import BaseArrival
from bootc_orch.ops.stored.store import IMPORTER_KEY
from bootc_orch.stream.derived import import_derived_layer
from bootc_orch.stream.encapsulated import chunk_commit, import_ostree_layer
from bootc_orch.stream.layer_report import LayerReport
from bootc_orch.stream.layer_stream import LayerStream
from bootc_orch.stream.trees import Directory, Trees
from orch_frame.errors import InvalidImageError, LimitError, MismatchError, OrchError

VerifyCommit = Callable[[bytes, bytes | None], None]


@dataclass(frozen=True, slots=True)
class ImportedLayer:
    """A layer whose commit is in the staging repository.

    Attributes:
        commit: The commit's checksum.
        report: What is worth telling of a derived layer.
        policy: Which SELinux policy labelled it, if one did.
        commitmeta: Detached metadata that came with the base commit.
        blob: The digest that the blob was found to have; not that of the manifest where the source
            keeps layers unpacked.
    """

    commit: str
    report: LayerReport | None = None
    policy: str | None = None
    commitmeta: bytes | None = None
    blob: Digest | None = None


@dataclass(frozen=True, slots=True)
class LayerImporter:
    """Imports the layers of one image.

    Attributes:
        trees: Where objects go.
        base: The base commit, on which derived layers wait.
        importer: What commits of derived layers record as their importer.
        verify_commit: Checks the signature of a commit layer's commit before it is written.
        allow_ima: Whether files may bring IMA signatures.
    """

    trees: Trees
    base: BaseArrival
    importer: str
    verify_commit: VerifyCommit | None = None
    allow_ima: bool = False

    def import_layer(self, stream: LayerStream, layer: PlannedLayer, blob: Digest) -> ImportedLayer:
        """Write what *stream* brings into the staging repository, verified, under no ref.

        Args:
            stream: The layer's blob.
            layer: What the manifest says of it.
            blob: The digest that the blob must have; not that of the manifest where the source
                keeps layers unpacked.

        Raises:
            OrchError: the layer is malformed, or not what it should be; nothing of it has a ref.
        """
        try:
            with stream.pieces() as pieces:
                if layer.kind is LayerKind.DERIVED:
                    imported = self._write_derived(pieces)
                else:
                    imported = self._write_ostree(pieces, chunk=layer.kind is LayerKind.CHUNK)
        except (InvalidImageError, LimitError, MismatchError):
            # Nonsense in a layer that is not the promised one says nothing about the image.
            stream.drain()
            stream.verify_blob(blob)
            raise
        stream.verify(blob, layer.diff_id)
        return replace(imported, blob=blob)

    def _write_derived(self, pieces: Iterable[bytes]) -> ImportedLayer:
        rules = self.base.wait_for_rules()
        root, report = import_derived_layer(
            pieces,
            self.trees,
            rules=rules.paths,
            labeler=rules.labeler,
            allow_ima=self.allow_ima,
        )
        commit = layer_commit(self.trees, root, self.importer)
        policy = rules.labeler.policy if rules.labeler else None
        return ImportedLayer(commit, report=report, policy=policy)

    def _write_ostree(self, pieces: Iterable[bytes], *, chunk: bool) -> ImportedLayer:
        store = self.trees.store
        found = import_ostree_layer(pieces, store, chunk=chunk, verify_commit=self.verify_commit)
        commit = chunk_commit(store, found.contents) if chunk else found.commit
        if commit is None:
            raise InvalidImageError("The layer holds no commit.")
        return ImportedLayer(commit, commitmeta=found.commitmeta)


def layer_commit(trees: Trees, root: Directory, importer: str) -> str:
    """Write the commit of a derived layer; equal layers give equal commits, so its date is 0."""
    commit = Commit(
        ((IMPORTER_KEY, Variant.string(importer)),), None, 0, root.tree.hex(), root.meta.hex()
    )
    return trees.store.add_metadata(commit.encode(), "commit")


def locate_in_layer(error: OrchError, image: str, layer: PlannedLayer) -> OrchError:
    """Add to *error* which layer of which image it is about."""
    error.locate(image=image, layer=str(layer.descriptor.digest))
    place = f"layer {layer.index} of the image, {layer.descriptor.digest}"
    error.details = f"{error.details}\n{place}" if error.details else place
    return error
