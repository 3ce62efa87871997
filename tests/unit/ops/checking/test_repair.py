"""What a repair decides to have again, and what it does to a repository and its deployments.

That an image is pulled again needs a source: tests/integration/checking has that, and runs the
command lines that are faked here, in test_damage_is_named_and_healed.
"""

from __future__ import annotations

import os

import pytest
from support.handmade import HandmadeRepo, digest_named
from support.handmade_sysroot import HandmadeSysroot

from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.checking import repair
from bootc_orch.ops.checking.finding import Finding, Remedy, Severity
from bootc_orch.ops.checking.fsck import check_repository
from bootc_orch.ops.checking.fsck_sysroot import check_sysroot
from bootc_orch.ops.checking.repair import (
    DamagedImage,
    Repaired,
    RepairPlan,
    apply_repair,
    plan_repair,
)
from bootc_orch.ops.checking.verify_objects import Verifier
from bootc_orch.ops.opening.pull_plan import PullOptions
from bootc_orch.ops.stored.progress import NullProgress
from bootc_orch.ops.stored.store import image_state

IMAGE = ImageReference.parse("docker://quay.io/a/b:1")
OTHER = ImageReference.parse("oci:/srv/b")
TREE = {"usr": {"bin": {"true": b"program"}, "etc": {"passwd": b"root"}}}
OPTIONS = PullOptions()


class Heard(NullProgress):
    """Keeps the warnings."""

    def __init__(self):
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)


@pytest.fixture
def made(tmp_path):
    made = HandmadeRepo(tmp_path / "repo", "archive")
    made.layer("one", {"a": b"1"})
    made.layer("two", {"b": b"2"})
    made.image(image_ref(IMAGE), ["one", "two"], tree=TREE)
    made.image(image_ref(OTHER), ["one"], tree={})
    return made


def planned(made):
    return plan_repair(made.repo, check_repository(made.repo).findings)


def damaged(made, image, *objects):
    state = image_state(made.repo, image)
    return DamagedImage(image, state.merge_commit, state, objects)


def test_what_is_sound_needs_no_repair(made):
    assert planned(made) == RepairPlan((), (), (), ())


def test_an_image_is_had_again_for_the_sake_of_its_objects(made):
    names = [f"{made.file(data)}.file" for data in (b"program", b"root")]
    for name in names:
        made.object(name).unlink()
    assert planned(made) == RepairPlan((damaged(made, IMAGE, *sorted(names)),), (), (), ())


def test_each_image_that_has_a_bad_object_is_had_again(made):
    name = f"{made.file(b'1')}.file"
    made.object(name).unlink()
    images = (damaged(made, IMAGE, name), damaged(made, OTHER, name))
    assert planned(made) == RepairPlan(images, (), (), ())


def test_of_an_image_whose_ref_is_damaged_only_the_name_is_known(made):
    made.ref(image_ref(IMAGE), "garbage")
    assert planned(made) == RepairPlan((DamagedImage(IMAGE, None, None, ()),), (), (), ())


def test_an_image_whose_commit_says_nothing_is_known_by_its_ref(made):
    commit = made.commit({"a": b"other"})
    made.ref(image_ref(IMAGE), commit)
    assert planned(made) == RepairPlan((DamagedImage(IMAGE, commit, None, ()),), (), (), ())


def test_a_damaged_layer_ref_comes_back_with_its_image(made):
    ref = blob_ref(digest_named("two"))
    made.ref(ref, "garbage")
    assert planned(made) == RepairPlan((damaged(made, IMAGE),), (ref,), (), ())


def test_an_image_ref_whose_name_is_none_stops_no_repair_of_others(made):
    ref = "ostree/container/image/not_escaped"
    made.ref(ref, made.commit({}))
    made.ref(image_ref(IMAGE), "garbage")
    plan = planned(made)
    assert plan.images == (DamagedImage(IMAGE, None, None, ()),)
    assert [(one.subject, one.remedy) for one in plan.unrepairable] == [(ref, Remedy.REMOVE_REF)]


def test_what_has_another_remedy_is_left_and_said(made):
    other = Finding("odd-ref", "os/stable", "It is.", Remedy.REMOVE_REF, Severity.WARNING)
    deployment = Finding("damaged-deployment", "1.0", "It is.", Remedy.REPAIR, paths=("usr/a",))
    directory = Finding("missing-directory", "2.0", "It is.", Remedy.REDEPLOY, paths=("usr/b",))
    assert plan_repair(made.repo, [other, deployment, directory]) == RepairPlan(
        (), (), ("1.0",), (other, directory)
    )


def test_an_image_that_a_finding_with_another_remedy_names_is_left(made):
    finding = Finding("x", "y", "z", Remedy.PULL, images=(str(IMAGE),), objects=("0.file",))
    assert plan_repair(made.repo, [finding]) == RepairPlan((), (), (), (finding,))


@pytest.mark.parametrize(
    ("image", "pinned"),
    [
        pytest.param("docker://quay.io/a/b:1", "docker://quay.io/a/b@{digest}", id="registry"),
        pytest.param("oci:/srv/b", "oci:/srv/b", id="directory"),
    ],
)
def test_the_very_version_is_asked_for_where_that_can_be(made, image, pinned):
    reference = ImageReference.parse(image)
    wanted = damaged(made, reference)
    digest = wanted.state.manifest_digest
    assert str(repair._pin(wanted)) == pinned.format(digest=digest)
    unknown = DamagedImage(reference, None, None, ())
    assert repair._pin(unknown) == reference


def test_only_layers_that_are_whole_are_taken_over(made, tmp_path, programs):
    programs.register(["ostree", "pull-local", programs.any()])
    scratch = HandmadeRepo(tmp_path / "scratch", "archive")
    wanted = damaged(made, IMAGE)
    made.object(f"{made.file(b'2')}.file").write_bytes(b"altered")
    repair._take_whole_layers(wanted, made.repo, scratch.repo)
    assert [list(call) for call in programs.calls] == [
        [
            "ostree",
            "pull-local",
            f"--repo={scratch.path}",
            "--disable-verify-bindings",
            str(made.path),
            blob_ref(digest_named("one")),
        ]
    ]


def damage_nothing(made, ref):
    pass


def mark_as_partial(made, ref):
    (made.path / f"state/{made.repo.rev_parse(ref)}.commitpartial").touch()


def delete_ref(made, ref):
    (made.path / "refs/heads" / ref).unlink()


def spoil_ref(made, ref):
    made.ref(ref, "garbage")


def delete_file(made, ref):
    made.object(f"{made.file(b'1')}.file").unlink()


@pytest.mark.parametrize(
    ("damage", "whole"),
    [
        (damage_nothing, True),
        (mark_as_partial, False),
        (delete_ref, False),
        (spoil_ref, False),
        (delete_file, False),
    ],
)
def test_a_layer_is_whole_if_all_of_it_is_there(made, damage, whole):
    ref = blob_ref(digest_named("one"))
    damage(made, ref)
    assert repair._is_whole(made.repo, Verifier(made.repo, contents=True), ref) is whole


def test_where_no_layer_is_whole_nothing_is_taken_over(made, tmp_path, programs):
    scratch = HandmadeRepo(tmp_path / "scratch", "archive")
    wanted = damaged(made, OTHER)
    delete_ref(made, blob_ref(digest_named("one")))
    repair._take_whole_layers(wanted, made.repo, scratch.repo)
    repair._take_whole_layers(DamagedImage(IMAGE, None, None, ()), made.repo, scratch.repo)
    assert list(programs.calls) == []


def test_bad_objects_make_way_only_for_those_that_are_there_again(made, tmp_path, programs):
    programs.register(["ostree", "pull-local", programs.any()])
    scratch = HandmadeRepo(tmp_path / "scratch", "archive")
    layer = scratch.layer("one", {"a": b"1"})
    image = scratch.image(image_ref(IMAGE), ["one"], tree=TREE)
    scratch.ref("os/stable", layer)
    had, lost = f"{made.file(b'1')}.file", f"{made.file(b'2')}.file"
    tree = f"{made.tree({'a': b'1'})}.dirtree"
    repair._bring_back(made.repo, scratch.repo, [had, lost, tree])
    assert [made.object(name).exists() for name in (had, lost, tree)] == [False, True, False]
    marks = sorted(path.name for path in (made.path / "state").iterdir())
    assert marks == sorted(f"{commit}.commitpartial" for commit in (layer, image))
    assert [list(call) for call in programs.calls] == [
        [
            "ostree",
            "pull-local",
            f"--repo={made.path}",
            "--disable-verify-bindings",
            str(scratch.path),
            blob_ref(digest_named("one")),
            image_ref(IMAGE),
        ]
    ]


def test_a_repair_takes_false_marks_away_and_tells_what_is_left(made):
    mark_as_partial(made, image_ref(IMAGE))
    made.ref("os/stable", "garbage")
    progress = Heard()
    done = apply_repair(planned(made), made.repo, OPTIONS, progress)
    [left] = check_repository(made.repo).findings
    assert done == Repaired((), (), {}, (left,))
    assert (left.kind, progress.warnings) == ("damaged-ref", [])


def test_an_image_that_cannot_be_had_is_named_with_the_reason(made, programs):
    programs.register(["ostree", programs.any()], stderr="No space left on device", returncode=1)
    name = f"{made.file(b'root')}.file"
    made.object(name).unlink()
    before = made.repo.refs()
    progress = Heard()
    done = apply_repair(planned(made), made.repo, OPTIONS, progress)
    [(image, reason)] = done.failed
    assert (done.images, image, done.files) == ((), IMAGE, {})
    assert progress.warnings == [f"{IMAGE} cannot be repaired: {reason}"]
    assert [finding.objects for finding in done.left] == [(name,)]
    assert made.repo.refs() == before
    assert [path for path in (made.path / "tmp").iterdir() if path.is_dir()] == []


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A sysroot with one deployment; whoever runs the test is taken for root."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    world = HandmadeSysroot(tmp_path)
    world.made.ref("ostree/0/1/0", world.made.commit(TREE))
    world.deploy(world.made.repo.rev_parse("ostree/0/1/0"), origin="[origin]\nrefspec=a:b\n")
    return world


def test_files_of_deployments_are_put_right_and_counted(world):
    [deployment] = world.sysroot.deployments().all
    for path in ("usr/bin/true", "usr/etc/passwd"):
        (deployment.path / path).unlink()
        (deployment.path / path).write_bytes(b"changed")
    plan = plan_repair(world.made.repo, check_sysroot(world.sysroot).findings)
    assert plan == RepairPlan((), (), (deployment.name,), ())
    progress = Heard()
    done = apply_repair(plan, world.made.repo, OPTIONS, progress, sysroot=world.sysroot)
    assert done == Repaired((), (), {deployment.name: 2}, ())
    assert progress.warnings == [
        f"usr/etc/passwd of deployment {deployment.name} was put right; its copy in /etc was made "
        "from the damaged file, and is left as it is."
    ]
    assert (deployment.path / "usr/bin/true").read_bytes() == b"program"


def test_a_sound_deployment_is_not_counted(world):
    done = apply_repair(
        RepairPlan((), (), (), ()), world.made.repo, OPTIONS, Heard(), sysroot=world.sysroot
    )
    assert done == Repaired((), (), {}, ())
