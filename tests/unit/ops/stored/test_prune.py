"""What garbage collection chooses, and what stops it."""

from __future__ import annotations

import pytest
from support.handmade import HandmadeRepo, digest_named, image_metadata

from bootc_orch.model.gvariant import Variant
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.stored import prune
from bootc_orch.ops.stored.explain import KeeperKind, explain
from bootc_orch.ops.stored.store import list_images
from bootc_orch.ops.stored.usage import image_usage, layer_usage
from bootc_orch.tools.ostree.repo import Pruned
from orch_frame.errors import NotFoundError, StoreDamagedError

IMAGE = ImageReference.parse("docker://quay.io/a/b:1")
OTHER = ImageReference.parse("oci:/srv/b")
ROOTS = ["ostree/0/1/0", "ostree/1/1/1", "rpmostree/base/0", "ostree/container/baseimage/bootc/0"]


@pytest.fixture
def made(tmp_path):
    made = HandmadeRepo(tmp_path / "repo")
    for name in ("one", "two", "three"):
        made.layer(name, {name: name.encode() * 10})
    return made


def test_a_layer_lives_while_an_image_names_it(made):
    made.image(image_ref(IMAGE), ["one", "two"])
    assert prune.unused_layers(made.repo) == (digest_named("three"),)


@pytest.mark.parametrize("root", ROOTS)
def test_a_layer_lives_while_a_deployment_or_derived_commit_names_it(made, root):
    made.ref(root, made.commit({}, image_metadata(["one"])))
    assert digest_named("one") not in prune.unused_layers(made.repo)
    assert digest_named("two") in prune.unused_layers(made.repo)


@pytest.mark.parametrize("root", [*ROOTS, "os/stable"])
def test_commits_that_are_none_of_an_image_keep_no_layers(made, root):
    made.ref(root, made.commit({}, {"version": "1"}))
    assert len(prune.unused_layers(made.repo)) == 3


@pytest.mark.parametrize(
    ("ref", "content"),
    [
        *[(ref, text) for ref in (image_ref(IMAGE), *ROOTS) for text in ("", "junk", "0" * 64)],
        (blob_ref(digest_named("one")), "junk"),
    ],
)
def test_a_ref_that_cannot_be_read_stops_all_deletion_d19(made, ref, content):
    made.ref(ref, content).write_text(content)
    with pytest.raises(StoreDamagedError) as caught:
        prune.unused_layers(made.repo)
    assert ref in caught.value.summary


def test_a_damaged_ref_of_any_kind_stops_the_pruning_of_objects(made):
    made.ref("os/stable", "garbage")
    with pytest.raises(StoreDamagedError, match="os/stable"):
        prune.prune_objects(made.repo)


def test_a_plan_counts_what_nothing_reaches(made):
    made.image(image_ref(IMAGE), ["one", "two"])
    plan = prune.plan_gc(made.repo)
    assert plan.layers == (digest_named("three"),)
    assert plan.objects == 3  # its commit, its tree, its file; the dirmeta is shared
    assert plan.size >= len(b"three" * 10)
    made.file(b"orphan")
    assert prune.plan_gc(made.repo).objects == 4


@pytest.mark.parametrize("place", ["remotes", "mirrors"])
def test_refs_of_remotes_and_mirrors_keep_objects(made, place):
    commit = made.commit({"kept": b"x"}, timestamp=9)
    before = prune.plan_gc(made.repo).objects
    path = made.path / "refs" / place / "name" / "ref"
    path.parent.mkdir(parents=True)
    path.write_text(f"{commit}\n")
    assert prune.plan_gc(made.repo).objects == before - 4  # commit, tree, dirmeta, file


def test_removal_tells_what_is_there_and_what_is_not(made):
    made.image(image_ref(IMAGE), ["one"])
    plan = prune.plan_remove(made.repo, [IMAGE, OTHER, IMAGE])
    assert plan.refs == (image_ref(IMAGE),)
    with pytest.raises(NotFoundError, match="Missing images: oci:/srv/b"):
        plan.require_all()


@pytest.mark.parametrize("content", ["", "garbage"])
def test_a_damaged_image_can_be_removed_d19(made, content):
    made.ref(image_ref(IMAGE), content).write_text(content)
    assert prune.plan_remove(made.repo, [IMAGE]).refs == (image_ref(IMAGE),)


def test_removal_of_a_name_spares_those_below_it(made):
    below = ImageReference.parse("docker://quay.io/a/b/c:1")
    above = ImageReference.parse("docker://quay.io/a")
    made.image(image_ref(below), ["one"])
    assert prune.plan_remove(made.repo, [above]).missing == (above,)


def test_undeployed_images_are_those_that_no_origin_names(made, tmp_path):
    made.image(image_ref(IMAGE), ["one"])
    made.image(image_ref(OTHER), ["one"])
    deploy = tmp_path / "ostree/deploy/os/deploy"
    deploy.mkdir(parents=True)
    (deploy / "1.0.origin").write_text(
        "[origin]\ncontainer-image-reference=ostree-unverified-registry:quay.io/a/b:1\n"
    )
    (deploy / "2.0.origin").write_text("[origin]\nrefspec=fedora:stable\n")
    deployed = prune.deployed_images(tmp_path)
    assert deployed == (IMAGE,)
    assert prune.plan_undeployed(made.repo, deployed).refs == (image_ref(OTHER),)


@pytest.mark.parametrize("text", ["nonsense", "[origin]\ncontainer-image-reference=quay.io/x\n"])
def test_an_origin_that_cannot_be_read_stops_the_removal_of_images(tmp_path, text):
    deploy = tmp_path / "ostree/deploy/os/deploy"
    deploy.mkdir(parents=True)
    (deploy / "1.0.origin").write_text(text)
    with pytest.raises(StoreDamagedError, match=r"1\.0\.origin"):
        prune.deployed_images(tmp_path)


def test_layers_are_measured_and_attributed(made):
    made.image(image_ref(IMAGE), ["one", "two"])
    usage = {u.digest: u for u in layer_usage(made.repo, list_images(made.repo))}
    one, three = usage[digest_named("one")], usage[digest_named("three")]
    assert (one.kind, one.size, one.compressed_size) == ("derived", 30, 100)
    assert one.images == (str(IMAGE),)
    assert (three.kind, three.size, three.compressed_size, three.images) == (
        "derived",
        50,
        None,
        (),
    )


def test_what_two_images_need_is_shared(made):
    made.image(image_ref(IMAGE), ["one", "two"])
    made.image(image_ref(OTHER), ["one"])
    first, second = image_usage(made.repo, list_images(made.repo))
    assert first.shared == second.shared > 30
    assert first.unique > second.unique + 30


def test_explanations_follow_a_layer_to_what_keeps_it(made):
    commit = made.image(image_ref(IMAGE), ["one"])
    one = explain(made.repo, str(digest_named("one")))
    assert [(k.kind, k.name) for k in one.kept_by] == [(KeeperKind.IMAGE, str(IMAGE))]
    assert one.alive
    base = explain(made.repo, one.commit)
    assert [k.kind for k in base.kept_by] == [KeeperKind.LAYER, KeeperKind.IMAGE]
    assert explain(made.repo, f"ostree-unverified-registry:{IMAGE.name}").commit == commit
    two = explain(made.repo, str(digest_named("two")))
    assert two.kept_by == ()
    assert not two.alive
    assert not explain(made.repo, two.commit).alive


@pytest.mark.parametrize("text", ["sha256:" + "0" * 64, "0" * 64, "oci:/none"])
def test_what_is_not_there_cannot_be_explained(made, text):
    with pytest.raises(NotFoundError):
        explain(made.repo, text)


def test_a_name_that_is_no_object_is_left_alone_by_a_plan(made):
    before = prune.plan_gc(made.repo)
    (made.path / "objects/aa/README").write_text("no object")
    (made.path / "objects/note").write_text("no directory")
    assert prune.plan_gc(made.repo) == before


def test_detached_metadata_goes_with_its_commit_and_is_no_object_of_its_own(made):
    commit = made.commit({"lost": b"1"})
    before = prune.plan_gc(made.repo)
    made.repo.write_detached_metadata(commit, {"note": Variant.string("x" * 100)})
    after = prune.plan_gc(made.repo)
    assert (after.layers, after.objects) == (before.layers, before.objects)
    assert after.size > before.size + 100


def test_a_plan_counts_the_bytes_on_disk_of_exactly_what_it_names(made):
    one = made.file(b"o" * 1000)
    other = made.file(b"p" * 500)
    before = prune.plan_gc(made.repo)
    made.object(f"{one}.file").unlink()
    after = prune.plan_gc(made.repo)
    assert (before.objects - after.objects, before.size - after.size) == (1, 1000)
    made.object(f"{other}.file").unlink()
    assert after.size - prune.plan_gc(made.repo).size == 500


# The command lines below are run for real in test_gc_deletes_exactly_what_its_plan_names,
# test_with_skip_gc_only_the_ref_goes, and test_objects_without_a_ref_go_though_no_layer_does.
PRUNED = "Total objects: 9\nDeleted 3 objects, 1.5\u00a0kB freed\n"


def commands(programs):
    return [list(call) for call in programs.calls]


def delete(made, *refs):
    return ["ostree", "refs", f"--repo={made.path}", "--delete", *refs]


def prune_command(made):
    return ["ostree", "prune", f"--repo={made.path}", "--refs-only", "--depth=0"]


@pytest.fixture
def ostree(programs):
    programs.register(["ostree", "refs", programs.any()], occurrences=9)
    programs.register(["ostree", "prune", programs.any()], stdout=PRUNED, occurrences=9)
    return programs


def test_layers_lose_their_refs_before_objects_are_pruned(made, ostree):
    made.image(image_ref(IMAGE), ["one", "two"])
    swept = prune.collect_garbage(made.repo)
    assert swept == prune.Swept((digest_named("three"),), Pruned(3, "1.5\u00a0kB"))
    assert commands(ostree) == [delete(made, blob_ref(digest_named("three"))), prune_command(made)]


def test_objects_that_nothing_reaches_are_pruned_though_no_layer_is(made, ostree):
    made.image(image_ref(IMAGE), ["one", "two", "three"])
    assert prune.plan_gc(made.repo) == prune.GcPlan((), 0, 0)
    made.file(b"orphan")
    plan = prune.plan_gc(made.repo)
    assert plan == prune.GcPlan((), 1, len(b"orphan"))
    prune.apply_gc(plan, made.repo)
    assert commands(ostree) == [prune_command(made)]
    assert prune.collect_garbage(made.repo).layers == ()
    assert commands(ostree) == [prune_command(made)] * 2


def test_a_layer_is_deleted_and_its_objects_pruned_by_what_a_plan_names(made, ostree):
    made.image(image_ref(IMAGE), ["one"])
    plan = prune.plan_gc(made.repo)
    refs = [blob_ref(digest) for digest in sorted([digest_named("two"), digest_named("three")])]
    prune.apply_gc(plan, made.repo)
    assert commands(ostree) == [delete(made, *refs), prune_command(made)]


def test_a_layer_whose_objects_another_commit_has_is_pruned_all_the_same(made, ostree):
    prune.apply_gc(prune.GcPlan((digest_named("one"),), 0, 0), made.repo)
    assert commands(ostree) == [delete(made, blob_ref(digest_named("one"))), prune_command(made)]


def test_a_plan_that_names_nothing_starts_nothing(made, ostree):
    prune.apply_gc(prune.GcPlan((), 0, 0), made.repo)
    assert commands(ostree) == []


def test_a_repository_in_which_nothing_was_pruned_says_so(made, programs):
    programs.register(
        ["ostree", programs.any()], stdout="Total objects: 9\nNo unreachable objects\n"
    )
    assert prune.prune_objects(made.repo) == Pruned(0, "")


def test_a_damaged_ref_starts_no_deletion(made, ostree):
    made.ref("ostree/0/1/0", "garbage")
    with pytest.raises(StoreDamagedError):
        prune.collect_garbage(made.repo)
    assert commands(ostree) == []


def test_a_removal_deletes_the_refs_of_images_alone(made, ostree):
    made.image(image_ref(IMAGE), ["one"])
    plan = prune.plan_remove(made.repo, [IMAGE, OTHER])
    prune.apply_remove(plan, made.repo)
    assert commands(ostree) == [delete(made, image_ref(IMAGE))]


def test_a_removal_of_what_is_stored_needs_no_complaint(made):
    made.image(image_ref(IMAGE), ["one"])
    plan = prune.plan_remove(made.repo, [IMAGE])
    assert plan == prune.RemovePlan((image_ref(IMAGE),), ())
    plan.require_all()


def test_removed_images_are_named_as_they_are_written(made):
    odd = "ostree/container/image/not_escaped"
    plan = prune.RemovePlan((image_ref(IMAGE), odd), ())
    assert prune.removed_names(plan) == (str(IMAGE), odd)


@pytest.mark.parametrize(
    ("kind", "reason"), [("not text", "is not UTF-8."), ("unreadable", "is no regular file.")]
)
def test_an_origin_that_is_no_text_stops_the_removal_of_images(tmp_path, kind, reason):
    path = tmp_path / "ostree/deploy/os/deploy/1.0.origin"
    path.parent.mkdir(parents=True)
    if kind == "not text":
        path.write_bytes(b"[origin]\nrefspec=\xff\n")
    else:
        path.mkdir()
    with pytest.raises(StoreDamagedError) as caught:
        prune.deployed_images(tmp_path)
    assert caught.value.summary == f"{path} {reason}"
    assert caught.value.path == str(path)
