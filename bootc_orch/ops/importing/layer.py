"""Import one layer: from its blob to a verified commit in the staging repository."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bootc_orch.model.digest import Digest
from bootc_orch.model.gvariant import Commit, Variant
from bootc_orch.model.image.layout import LayerKind, PlannedLayer
from bootc_orch.ops.importing.policy_tree import allows_nonusr, load_labeler, needed_contents
from bootc_orch.ops.stored.store import IMPORTER_KEY
from bootc_orch.stream.derived import import_derived_layer
from bootc_orch.stream.encapsulated import chunk_commit, import_ostree_layer
from bootc_orch.stream.layer_report import LayerReport
from bootc_orch.stream.layer_stream import LayerStream
from bootc_orch.stream.paths import PathRules
from bootc_orch.stream.selinux import Labeler
from bootc_orch.stream.trees import Directory, Trees
from orch_frame.errors import InvalidImageError, LimitError, MismatchError, OrchError

VerifyCommit = Callable[[bytes, bytes | None], None]


class Cancelled(Exception):  # noqa: N818 - not an error: the reason is reported by who failed
    """Another worker failed, or the user interrupted; what this one does is of no use any more."""


@dataclass(frozen=True, slots=True)
class ImportedLayer:
    """A layer whose commit is in the staging repository.

    Attributes:
        commit: The commit's checksum.
        report: What is worth telling of a derived layer.
        policy: Which SELinux policy labelled it, if one did.
        commitmeta: Detached metadata that came with the base commit.
    """

    commit: str
    report: LayerReport | None = None
    policy: str | None = None
    commitmeta: bytes | None = None


@dataclass(slots=True)
class BaseTree:
    """The base commit of an image, as far as it has arrived: derived layers depend on it.

    Its rules for paths and its SELinux policy lie in files of it, which any ostree layer may
    bring.  So a derived layer waits until those files are there, which without such files is as
    soon as the commit layer is.

    Args:
        trees: Where objects are.
        missing: How many ostree layers are still to come; 0 for an image that has none.
        directory: A private directory for a policy's files.
        keep_var: Says whether ``/var`` of derived layers stays where it is.
        commit: The base commit, if it is known already.
    """

    trees: Trees
    missing: int
    directory: Path
    keep_var: Callable[[], bool]
    has_base: bool
    commit: str | None = None
    _condition: threading.Condition = field(default_factory=threading.Condition)
    _settled: tuple[PathRules, Labeler | None] | None = None
    _cancelled: bool = False

    def arrived(self, layer: ImportedLayer, kind: LayerKind) -> None:
        """Note that one more ostree layer is complete."""
        with self._condition:
            if kind is LayerKind.COMMIT:
                self.commit = layer.commit
            self.missing -= 1
            self._condition.notify_all()

    def cancel(self) -> None:
        """Wake up whoever waits; no more layers will arrive."""
        with self._condition:
            self._cancelled = True
            self._condition.notify_all()

    def settings(self) -> tuple[PathRules, Labeler | None]:
        """Return the rules and the policy for derived layers, waiting until they are known.

        Raises:
            Cancelled: they will never be.
            InvalidImageError: the base commit is incomplete, or its policy is.
        """
        with self._condition:
            while self._settled is None:
                if self._cancelled:
                    raise Cancelled
                if self._is_readable():
                    self._settled = self._read()
                else:
                    self._condition.wait()
            return self._settled

    def root(self) -> Directory | None:
        """Return the base's root directory, or None for an image without a base."""
        if self.commit is None:
            return None
        commit = Commit.decode(self.trees.store.metadata(self.commit, "commit"))
        return Directory(bytes.fromhex(commit.tree), bytes.fromhex(commit.meta))

    def _is_readable(self) -> bool:
        if not self.has_base or self.missing == 0:
            return True
        root = self.root()
        if root is None:
            return False
        return all(map(self.trees.store.has_file, needed_contents(self.trees, root.tree)))

    def _read(self) -> tuple[PathRules, Labeler | None]:
        root = self.root()
        if root is None:
            return PathRules(allow_nonusr=True, keep_var=self.keep_var()), None
        rules = PathRules(
            allow_nonusr=allows_nonusr(self.trees, root.tree), keep_var=self.keep_var()
        )
        return rules, load_labeler(self.trees, root.tree, self.directory)


def import_layer(
    stream: LayerStream,
    layer: PlannedLayer,
    base: BaseTree,
    *,
    blob: Digest,
    importer: str,
    verify_commit: VerifyCommit | None,
    allow_ima: bool = False,
) -> ImportedLayer:
    """Write what *stream* brings into the staging repository, verified, under no ref.

    Args:
        stream: The layer's blob.
        layer: What the manifest says of it.
        base: The base commit, for a derived layer.
        blob: The digest that the blob must have; not that of the manifest where the source keeps
            layers unpacked.
        importer: What the commit of a derived layer records as its importer.
        verify_commit: Checks the signature of a commit layer's commit before it is written.
        allow_ima: Whether files may bring IMA signatures.

    Raises:
        OrchError: the layer is malformed, or not what it should be; nothing of it has a ref.
    """
    try:
        imported = _imported(
            stream, layer, base, importer=importer, verify=verify_commit, allow_ima=allow_ima
        )
    except (InvalidImageError, LimitError, MismatchError):
        # Nonsense in a layer that is not the promised one says nothing about the image.
        stream.drain()
        stream.verify_blob(blob)
        raise
    stream.verify(blob, layer.diff_id)
    return imported


def _imported(
    stream: LayerStream,
    layer: PlannedLayer,
    base: BaseTree,
    *,
    importer: str,
    verify: VerifyCommit | None,
    allow_ima: bool,
) -> ImportedLayer:
    with stream.pieces() as pieces:
        if layer.kind is not LayerKind.DERIVED:
            return _ostree(pieces, layer, base.trees, verify)
        rules, labeler = base.settings()
        tree = import_derived_layer(
            pieces, base.trees, rules=rules, labeler=labeler, allow_ima=allow_ima
        )
        return _derived(tree, base.trees, importer, labeler)


def _derived(
    tree: tuple[Directory, LayerReport], trees: Trees, importer: str, labeler: Labeler | None
) -> ImportedLayer:
    root, report = tree
    commit = layer_commit(trees, root, importer)
    return ImportedLayer(commit, report, labeler.policy if labeler else None)


def layer_commit(trees: Trees, root: Directory, importer: str) -> str:
    """Write the commit of a derived layer; equal layers give equal commits, so its date is 0."""
    commit = Commit(
        ((IMPORTER_KEY, Variant.string(importer)),), None, 0, root.tree.hex(), root.meta.hex()
    )
    return trees.store.add_metadata(commit.encode(), "commit")


def _ostree(
    pieces: Iterable[bytes], layer: PlannedLayer, trees: Trees, verify_commit: VerifyCommit | None
) -> ImportedLayer:
    chunk = layer.kind is LayerKind.CHUNK
    found = import_ostree_layer(
        pieces,
        trees.store,
        chunk=chunk,
        verify_commit=verify_commit,
    )
    commit = chunk_commit(trees.store, found.contents) if chunk else found.commit
    if commit is None:
        raise InvalidImageError("The layer holds no commit.")
    return ImportedLayer(commit, commitmeta=found.commitmeta)


def located(error: OrchError, image: str, layer: PlannedLayer) -> OrchError:
    """Add to *error* which layer of which image it is about."""
    error.locate(image=image, layer=str(layer.descriptor.digest))
    place = f"layer {layer.index} of the image, {layer.descriptor.digest}"
    error.details = f"{error.details}\n{place}" if error.details else place
    return error
