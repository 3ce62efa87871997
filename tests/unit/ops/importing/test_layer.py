"""A layer becomes a commit once all of its bytes are what was promised, and not before."""

from __future__ import annotations

import io

import pytest
from support import rawtar
from support.handmade import digest_named

from bootc_orch.model.digest import Digest
from bootc_orch.model.gvariant import Commit
from bootc_orch.model.image.layout import Compression, LayerKind, PlannedLayer
from bootc_orch.model.image.manifest import Descriptor
from bootc_orch.ops.importing.base import BaseArrival, LayerRules
from bootc_orch.ops.importing.layer import LayerImporter, locate_in_layer
from bootc_orch.ops.opening.pull_plan import LayerAction, LayerPlan, PullPlan
from bootc_orch.stream.layer_stream import LayerStream
from bootc_orch.stream.paths import PathRules
from bootc_orch.stream.trees import Trees
from orch_frame.errors import InvalidImageError, MismatchError

ALL = LayerRules(PathRules(allow_nonusr=True, keep_var=True), None)
TAR = rawtar.archive(rawtar.directory(b"usr"), rawtar.file(b"usr/a", b"content"))


def layer_of(data, kind=LayerKind.DERIVED, diff_id=None):
    digest = Digest.of(data)
    descriptor = Descriptor("application/vnd.oci.image.layer.v1.tar", digest, len(data))
    return PlannedLayer(2, descriptor, diff_id or digest, kind, Compression.NONE)


def bring(made, data, layer=None, **how):
    layer = layer or layer_of(data)
    trees = Trees(made.store)
    plan = PullPlan(None, (LayerPlan(layer_of(b""), LayerAction.FETCH),))
    stream = LayerStream(
        io.BytesIO(data).read,
        Compression.NONE,
        len(data),
        on_read=lambda _: None,
        on_output=lambda _: None,
    )
    with BaseArrival(plan, trees, lambda _: ALL) as base:
        importer = LayerImporter(trees, base, "importer/1", **how)
        return importer.import_layer(stream, layer, layer.descriptor.digest)


def test_a_derived_layer_becomes_a_commit_that_names_its_importer(made):
    imported = bring(made, TAR)
    commit = Commit.decode(made.store.metadata(imported.commit, "commit"))
    assert commit.tree == made.tree({"usr": {"a": b"content"}})
    assert (commit.timestamp, commit.parent) == (0, None)
    assert [(k, v.as_string()) for k, v in commit.metadata] == [
        ("ostree.importer.version", "importer/1")
    ]
    assert imported.report.directories == {b"/usr"}
    assert (imported.policy, imported.commitmeta) == (None, None)


@pytest.mark.parametrize("kind", [LayerKind.CHUNK, LayerKind.DERIVED])
def test_content_with_another_digest_than_was_promised_is_refused(made, kind):
    data = TAR if kind is LayerKind.DERIVED else rawtar.archive()
    wrong = layer_of(data, kind, diff_id=digest_named("else"))
    with pytest.raises(MismatchError, match="does not match its diff_id"):
        bring(made, data, wrong)


def test_nonsense_in_the_promised_blob_is_the_fault_of_the_image(made):
    with pytest.raises(InvalidImageError, match="ends in the middle"):
        bring(made, TAR[:700])


def test_nonsense_in_another_blob_is_told_as_what_it_is(made):
    with pytest.raises(MismatchError, match="another digest"):
        bring(made, TAR[:700], layer_of(TAR))


def test_a_commit_layer_has_to_hold_a_commit(made):
    data = rawtar.archive()
    with pytest.raises(InvalidImageError, match="no ostree commit"):
        bring(made, data, layer_of(data, LayerKind.COMMIT))


def ostree_layer(made):
    commit = Commit((), None, 0, made.tree({}), made.meta)
    data = commit.encode()
    checksum = Digest.of(data).hex
    objects = {
        f"{checksum}.commit": data,
        f"{made.meta}.dirmeta": made.store.metadata(made.meta, "dirmeta"),
        f"{commit.tree}.dirtree": made.store.metadata(commit.tree, "dirtree"),
    }
    members = [
        rawtar.file(f"sysroot/ostree/repo/objects/{name[:2]}/{name[2:]}".encode(), content)
        for name, content in objects.items()
    ]
    return checksum, rawtar.archive(*members)


def test_the_commit_of_a_commit_layer_is_judged_before_it_is_written(made):
    checksum, data = ostree_layer(made)
    layer = layer_of(data, LayerKind.COMMIT)

    def refuse(commit, metadata):
        assert (Digest.of(commit).hex, metadata) == (checksum, None)
        raise InvalidImageError("nobody vouches")

    with pytest.raises(InvalidImageError, match="nobody vouches"):
        bring(made, data, layer, verify_commit=refuse)
    assert not made.repo.has_commit(checksum)
    assert bring(made, data, layer, verify_commit=lambda *_: None).commit == checksum
    assert made.repo.has_commit(checksum)


def test_a_chunk_becomes_a_commit_of_its_contents(made):
    data = rawtar.archive()
    imported = bring(made, data, layer_of(data, LayerKind.CHUNK))
    assert made.repo.is_chunk_tree(made.repo.commit(imported.commit).tree)
    assert imported.report is None


def test_an_error_says_which_layer_of_which_image_it_is_about():
    layer = layer_of(TAR)
    error = locate_in_layer(InvalidImageError("bad", details="offset 3"), "oci:x", layer)
    assert (error.image, error.layer) == ("oci:x", str(layer.descriptor.digest))
    assert error.details == f"offset 3\nlayer 2 of the image, {layer.descriptor.digest}"
