"""What layers and images take on disk, and what they share."""

from __future__ import annotations

import pytest
from support.handmade import HandmadeRepo, Link, digest_named, ends_at

from bootc_orch.model.gvariant import Commit, Variant
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.stored.store import list_images
from bootc_orch.ops.stored.usage import (
    ImageUsage,
    LayerUsage,
    image_usage,
    kind_of_commit,
    layer_usage,
)
from orch_frame.errors import StoreDamagedError

IMAGE = ImageReference.parse("docker://quay.io/a/b:1")
OTHER = ImageReference.parse("oci:/srv/b")
BASE, CHUNK, TOP = (digest_named(name) for name in ("base", "chunk", "top"))


@pytest.fixture(params=["bare", "bare-user", "archive"])
def made(request, tmp_path):
    return HandmadeRepo(tmp_path / "repo", request.param)


def layers(made):
    return layer_usage(made.repo, list_images(made.repo))


def test_a_commit_layer_does_not_hold_what_its_chunks_hold(made):
    """Links have no size; a commit of an image names the files of all of its chunks."""
    base = made.base("base", {"a": b"1" * 10, "b": b"2" * 200, "link": Link("a")})
    chunk = made.chunk("chunk", [b"2" * 200])
    top = made.layer("top", {"c": b"3" * 40})
    for image in (OTHER, IMAGE):
        made.image(image_ref(image), ["base", "chunk", "top"], labels=ends_at("chunk"))
    images = (str(IMAGE), str(OTHER))
    assert layers(made) == (
        LayerUsage(CHUNK, chunk, LayerKind.CHUNK, 200, 100, images),
        LayerUsage(TOP, top, LayerKind.DERIVED, 40, 100, images),
        LayerUsage(BASE, base, LayerKind.COMMIT, 10, 100, images),
    )


def test_a_layer_that_no_image_names_is_told_by_the_form_of_its_commit(made):
    base = made.base("base", {"a": b"1", "b": b"2"})
    chunk = made.chunk("chunk", [b"2"])
    top = made.layer("top", {})
    by_digest = {one.digest: one for one in layers(made)}
    assert by_digest == {
        BASE: LayerUsage(BASE, base, LayerKind.COMMIT, 2, None, ()),
        CHUNK: LayerUsage(CHUNK, chunk, LayerKind.CHUNK, 1, None, ()),
        TOP: LayerUsage(TOP, top, LayerKind.DERIVED, 0, None, ()),
    }


def test_layers_of_one_size_are_in_the_order_of_their_digests(made):
    for name in ("one", "two", "three"):
        made.layer(name, {name: b"same"})
    digests = [one.digest for one in layers(made)]
    assert digests == sorted(digest_named(name) for name in ("one", "two", "three"))


def test_an_image_whose_layers_cannot_be_told_apart_still_names_them(made):
    commit = made.layer("top", {"c": b"3"})
    config = {"ostree.container.image-config": "null"}
    made.image(image_ref(IMAGE), ["top"], **config)
    assert layers(made) == (LayerUsage(TOP, commit, LayerKind.DERIVED, 1, 100, (str(IMAGE),)),)


@pytest.mark.parametrize(
    ("metadata", "timestamp", "subject", "kind"),
    [
        ((), 0, "", LayerKind.CHUNK),
        ((), 1, "", LayerKind.COMMIT),
        ((), 0, "text", LayerKind.COMMIT),
        (("version",), 0, "", LayerKind.COMMIT),
        (("ostree.importer.version",), 0, "", LayerKind.DERIVED),
        (("ostree.importer.version",), 5, "", LayerKind.DERIVED),
        (("ostree.importer.version", "version"), 0, "", LayerKind.COMMIT),
    ],
)
def test_the_form_of_a_commit_tells_its_kind(metadata, timestamp, subject, kind):
    pairs = tuple((key, Variant.string("x")) for key in metadata)
    commit = Commit(pairs, None, timestamp, "0" * 64, "0" * 64, subject=subject)
    assert kind_of_commit(commit) is kind


def on_disk(made, *names):
    return sum(made.object(name).lstat().st_size for name in names)


def test_an_image_shares_what_another_needs_and_owns_the_rest(made):
    first = made.layer("one", {"a": b"1" * 1000})
    second = made.layer("two", {"b": b"2" * 3000})
    image = made.image(image_ref(IMAGE), ["one", "two", "one", "gone"], tree={"m": b"3" * 70})
    other = made.image(image_ref(OTHER), ["one"], tree={"m": b"4" * 80})
    made.repo.write_detached_metadata(image, {"note": Variant.string("5" * 500)})
    made.file(b"orphan")
    (made.path / "objects/aa/README").write_text("no object")

    def objects(commit, tree, data):
        return (f"{commit}.commit", f"{made.tree(tree)}.dirtree", f"{made.file(data)}.file")

    shared = on_disk(made, *objects(first, {"a": b"1" * 1000}, b"1" * 1000))
    shared += on_disk(made, f"{made.meta}.dirmeta")
    own = on_disk(made, *objects(second, {"b": b"2" * 3000}, b"2" * 3000))
    own += on_disk(made, *objects(image, {"m": b"3" * 70}, b"3" * 70), f"{image}.commitmeta")
    others = on_disk(made, *objects(other, {"m": b"4" * 80}, b"4" * 80))
    assert image_usage(made.repo, list_images(made.repo)) == (
        ImageUsage(str(IMAGE), shared, own),
        ImageUsage(str(OTHER), shared, others),
    )


def test_an_image_alone_owns_all_of_it(made):
    made.layer("one", {"a": b"1"})
    made.image(image_ref(IMAGE), ["one"])
    [usage] = image_usage(made.repo, list_images(made.repo))
    assert (usage.shared, usage.unique) == (0, sum(size for _, size in made.repo.stored()))


def test_a_damaged_layer_stops_the_count(made):
    made.ref(blob_ref(TOP), "garbage")
    with pytest.raises(StoreDamagedError):
        layers(made)
