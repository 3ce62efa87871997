"""Everything that a check of a repository can find, told in whole."""

from __future__ import annotations

import os

import pytest
from support.handmade import HandmadeRepo, digest_named, ends_at, image_metadata

from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.checking.finding import Finding, Remedy, Severity
from bootc_orch.ops.checking.fsck import Report, check_repository
from orch_frame.errors import OrchError

IMAGE = ImageReference.parse("docker://quay.io/a/b:1")
OTHER = ImageReference.parse("oci:/srv/b")
TREE = {"usr": {"bin": {"true": b"program"}}}
ONE, TWO = digest_named("one"), digest_named("two")


@pytest.fixture
def made(tmp_path):
    """A repository in which anyone may read everything: an image of two layers."""
    made = HandmadeRepo(tmp_path / "repo", "archive")
    made.layer("one", {"a": b"1"})
    made.layer("two", {"b": b"2"})
    made.image(image_ref(IMAGE), ["one", "two"], tree=TREE)
    return made


def findings(made, *, contents=True):
    return check_repository(made.repo, contents=contents).findings


def damaged_object(name, refs, remedy, *images):
    return Finding(
        "damaged-object",
        name,
        f"Object {name} is missing or damaged; refs that need it: {', '.join(refs)}.",
        remedy,
        images=images,
        objects=(name,),
    )


@pytest.mark.parametrize("contents", [True, False])
def test_a_sound_repository_has_no_findings_and_everything_is_counted(made, contents):
    made.image(image_ref(OTHER), ["one"], tree=TREE)
    # Trees: three of the image and two of the layers; one dirmeta; three files; four commits.
    assert check_repository(made.repo, contents=contents) == Report((), objects=13, images=2)


def test_findings_that_are_mere_warnings_are_no_errors():
    error = Finding("a", "b", "c", Remedy.REPAIR)
    warning = Finding("a", "b", "c", Remedy.REPAIR, Severity.WARNING)
    assert Report((warning, error)).errors == (error,)


@pytest.mark.parametrize(
    ("finding", "instruction"),
    [
        pytest.param(
            Finding("kind", "it", "It is so.", Remedy.REPAIR), "bootc-orch repair", id="by remedy"
        ),
        pytest.param(
            Finding("kind", "it", "It is so.", Remedy.BY_HAND, advice="wait"), "wait", id="advice"
        ),
    ],
)
def test_a_finding_as_json_has_all_there_is_to_know(finding, instruction):
    assert finding.to_json() == {
        "kind": "kind",
        "severity": "error",
        "subject": "it",
        "detail": "It is so.",
        "remedy": instruction,
        "images": [],
        "objects": [],
        "paths": [],
    }


@pytest.mark.parametrize(
    ("ref", "remedy", "images"),
    [
        pytest.param(image_ref(IMAGE), Remedy.REPAIR, (), id="image"),
        pytest.param(blob_ref(TWO), Remedy.REPAIR, (str(IMAGE),), id="layer of an image"),
        pytest.param(blob_ref(digest_named("x")), Remedy.REMOVE_REF, (), id="layer of none"),
        pytest.param("os/stable", Remedy.REMOVE_REF, (), id="another ref"),
    ],
)
def test_a_ref_that_cannot_be_read_comes_back_with_an_image_or_has_to_go(made, ref, remedy, images):
    made.ref(ref, "garbage")
    reason = "it does not hold a commit checksum"
    assert findings(made) == (Finding("damaged-ref", ref, reason, remedy, images=images),)


def test_an_image_whose_commit_records_nothing_is_damaged(made):
    commit = made.commit(TREE)
    made.ref(image_ref(IMAGE), commit)
    detail = f"Commit {commit} is none of a container image."
    assert findings(made) == (Finding("damaged-image", image_ref(IMAGE), detail, Remedy.REPAIR),)


ODD = "ostree/container/image/not_escaped"


def test_an_image_ref_whose_name_is_none_says_nothing_of_where_to_have_it_again(made):
    made.ref(ODD, made.commit({"odd": b"1"}, image_metadata(["one"])))
    reason = "The ref name 'not_escaped' is not an escaped one."
    damage = Finding("damaged-image", ODD, reason, Remedy.REMOVE_REF)
    assert findings(made) == (damage,)
    name = f"{made.file(b'1')}.file"
    made.object(name).unlink()
    refs = sorted([ODD, blob_ref(ONE)])
    object_finding = damaged_object(name, refs, Remedy.REPAIR, str(IMAGE))
    assert findings(made) == (damage, object_finding)
    made.ref(ODD, "garbage")
    damage = Finding("damaged-ref", ODD, "it does not hold a commit checksum", Remedy.REMOVE_REF)
    assert findings(made)[0] == damage


def test_a_layer_without_a_ref_is_missing_from_each_image_that_has_it(made):
    made.image(image_ref(OTHER), ["two"], tree=TREE)
    (made.path / "refs/heads" / blob_ref(TWO)).unlink()
    assert findings(made) == tuple(
        Finding(
            "missing-layer",
            str(TWO),
            f"Image {image} is made of layer {TWO}, which has no ref.",
            Remedy.REPAIR,
            images=(str(image),),
        )
        for image in (IMAGE, OTHER)
    )


def test_layers_that_the_config_does_not_tell_apart_are_odd(made):
    config = {"ostree.container.image-config": "null"}
    made.image(image_ref(IMAGE), ["one", "two"], tree=TREE, **config)
    assert findings(made) == (
        Finding(
            "odd-layers",
            str(IMAGE),
            f"The layers of image {IMAGE} cannot be told apart by its recorded config.",
            Remedy.REPAIR,
            Severity.WARNING,
            images=(str(IMAGE),),
        ),
    )


@pytest.fixture
def chunked(made):
    """The same with an image that is a commit of two layers, and one layer more."""
    made.base("base", {"usr": {}})
    made.chunk("chunk", [b"program", b"other"])
    made.image(image_ref(OTHER), ["base", "chunk", "one"], tree=TREE, labels=ends_at("chunk"))
    return made


def test_a_chunk_names_its_files_by_their_checksums(chunked):
    assert findings(chunked) == ()
    ref = blob_ref(digest_named("chunk"))
    program = chunked.file(b"program")
    chunked.ref(ref, chunked.commit({"wrong": b"program", "worse": b"other"}))
    other = chunked.file(b"other")
    assert findings(chunked) == (
        Finding(
            "damaged-chunk",
            ref,
            f"Chunk layer {ref} names object {other} b'worse'.",
            Remedy.REPAIR,
            images=(str(OTHER),),
        ),
    )
    chunked.ref(ref, chunked.commit({program: b"program", "wrong": b"other"}))
    assert [finding.kind for finding in findings(chunked)] == ["damaged-chunk"]


def test_a_chunk_that_cannot_be_read_is_told_once(chunked):
    ref = blob_ref(digest_named("chunk"))
    commit = chunked.repo.refs()[ref]
    chunked.object(f"{commit}.commit").unlink()
    assert findings(chunked) == (
        damaged_object(f"{commit}.commit", [ref], Remedy.REPAIR, str(OTHER)),
    )


def test_a_chunk_without_a_ref_is_but_a_missing_layer(chunked):
    (chunked.path / "refs/heads" / blob_ref(digest_named("chunk"))).unlink()
    assert [finding.kind for finding in findings(chunked)] == ["missing-layer"]


@pytest.mark.parametrize("root", ["ostree/0/1/0", "rpmostree/base/0"])
def test_a_layer_that_a_deployment_was_made_of_is_missed_but_not_needed(made, root):
    commit = made.commit(TREE, image_metadata(["one", "gone"]))
    made.ref(root, commit)
    gone = digest_named("gone")
    assert findings(made) == (
        Finding(
            "missing-layer",
            str(gone),
            f"The deployed commit {commit} ({root}) is made of layer {gone}, which has no ref.",
            Remedy.REPAIR,
            Severity.WARNING,
        ),
    )


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({}, id="of no image"),
        pytest.param({"ostree.manifest-digest": str(ONE)}, id="without its manifest"),
    ],
)
def test_a_deployed_commit_that_tells_no_layers_misses_none(made, metadata):
    made.ref("ostree/0/1/0", made.commit(TREE, metadata))
    assert findings(made) == ()


def test_a_layer_ref_that_is_damaged_is_told_once_for_all_that_need_it(made):
    made.ref("ostree/0/1/0", made.commit(TREE, image_metadata(["one", "two"])))
    made.ref(blob_ref(TWO), "garbage")
    assert [finding.kind for finding in findings(made)] == ["damaged-ref"]


def test_a_layer_ref_whose_name_is_no_digest_is_odd(made):
    ref = "ostree/container/blob/nonsense"
    made.ref(ref, made.commit({"a": b"1"}))
    [finding] = findings(made)
    assert finding == Finding("odd-ref", ref, finding.detail, Remedy.REMOVE_REF, Severity.WARNING)
    assert finding.detail.startswith(f"The name of ref {ref} is no digest: ")


def test_an_object_of_an_image_can_be_had_again_with_it(made):
    program = made.file(b"program")
    made.object(f"{program}.file").unlink()
    assert findings(made) == (
        damaged_object(f"{program}.file", [image_ref(IMAGE)], Remedy.REPAIR, str(IMAGE)),
    )


def test_an_object_that_several_refs_need_names_all_of_them(made):
    made.image(image_ref(OTHER), ["one"], tree=TREE)
    first = made.file(b"1")
    made.ref("os/stable", made.commit({"a": b"1"}, timestamp=3))
    made.object(f"{first}.file").unlink()
    refs = [blob_ref(ONE), "os/stable"]
    images = (str(IMAGE), str(OTHER))
    assert findings(made) == (
        damaged_object(f"{first}.file", sorted(refs), Remedy.REPAIR, *images),
    )


@pytest.mark.parametrize(
    ("ref", "remedy"),
    [("ostree/1/1/0", Remedy.PULL_AND_REPAIR), ("os/stable", Remedy.REMOVE_REF)],
)
def test_what_no_image_has_is_had_again_by_another_way(made, ref, remedy):
    made.ref(ref, made.commit({"only": b"here"}))
    only = made.file(b"here")
    made.object(f"{only}.file").unlink()
    assert findings(made) == (damaged_object(f"{only}.file", [ref], remedy),)


def test_an_image_whose_merge_commit_is_gone_is_named_by_its_ref_too(made):
    commit = made.repo.refs()[image_ref(IMAGE)]
    made.object(f"{commit}.commit").unlink()
    first, second = findings(made)
    assert (first.kind, first.subject) == ("damaged-image", image_ref(IMAGE))
    assert second == damaged_object(
        f"{commit}.commit", [image_ref(IMAGE)], Remedy.REPAIR, str(IMAGE)
    )


def test_altered_content_is_not_looked_at_where_only_presence_is_checked(made):
    program = made.file(b"program")
    made.object(f"{program}.file").write_bytes(b"altered")
    assert findings(made, contents=False) == ()
    assert [finding.objects for finding in findings(made)] == [(f"{program}.file",)]


def test_a_mark_is_false_only_on_a_commit_that_is_whole(made):
    whole = made.repo.refs()[image_ref(IMAGE)]
    partial = made.repo.refs()[blob_ref(ONE)]
    unknown = made.commit({"c": b"3"})
    made.object(f"{made.file(b'1')}.file").unlink()
    for commit in (whole, partial, unknown):
        (made.path / f"state/{commit}.commitpartial").touch()
    damage, mark = findings(made)
    assert damage.kind == "damaged-object"
    assert mark == Finding(
        "false-mark",
        whole,
        f"Commit {whole} is marked as partial, but is whole.",
        Remedy.REPAIR,
        Severity.WARNING,
    )


@pytest.fixture(params=["ordinary user", "root"])
def user(request, monkeypatch):
    """Who runs the check; every file can be read by whoever runs the test."""
    monkeypatch.setattr(os, "geteuid", lambda: 0 if request.param == "root" else 1000)
    return request.param


def test_only_root_may_read_all_files_of_a_bare_repository(tmp_path, user):
    """Run by a real ordinary user in test_an_ordinary_user_checks_what_is_readable_to_all."""
    made = HandmadeRepo(tmp_path / "repo")
    made.ref("os/stable", made.commit(TREE))
    if user == "root":
        assert check_repository(made.repo) == Report((), objects=6)
        return
    with pytest.raises(OrchError) as caught:
        check_repository(made.repo)
    assert caught.value.summary == (
        f"Only root may read everything in {made.path}, which a check has to."
    )
    assert caught.value.hint == "Run the command as root."
    assert caught.value.path == str(made.path)


@pytest.mark.parametrize("mode", ["archive", "bare-user"])
def test_anyone_may_check_a_repository_whose_files_are_all_readable(tmp_path, user, mode):
    made = HandmadeRepo(tmp_path / "repo", mode)
    made.ref("os/stable", made.commit(TREE))
    assert check_repository(made.repo) == Report((), objects=6)


def test_anyone_may_see_whether_all_is_there(tmp_path, user):
    made = HandmadeRepo(tmp_path / "repo")
    made.ref("os/stable", made.commit(TREE))
    made.object(f"{made.file(b'program')}.file").unlink()
    assert [finding.kind for finding in findings(made, contents=False)] == ["damaged-object"]
