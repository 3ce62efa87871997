"""App images: what the manager of app images is asked, and what becomes of its answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.handmade_sysroot import BOOT_FILES
from support.scripted_ostree import IMAGE

import bound_images
from bootc_orch.ops.deploying import bound
from bootc_orch.ops.deploying.bound import BoundMode, BoundOptions, PlannedApp, Prepared
from bootc_orch.ops.deploying.wanted import Outcome, Wanted
from bootc_orch.ops.host.transaction import TransactionOptions, run_transaction
from bootc_orch.ops.opening.pull_plan import PullOptions
from bootc_orch.ops.stored.new_root import CommitTree
from bound_images import Event, LockedImage, PrunePlan, Record, State, SyncPlan, SyncResult
from bound_images.ops.check import CheckedImage, CheckResult, Verdict
from bound_images.ops.plan import Action, PlannedImage
from bound_images.sources.access import Access
from bound_images.sources.manifest import Blob
from bound_images.sources.resolve import ResolvedImage
from bound_images.storage.record import write
from bound_images.storage.storeimages import StoredImage
from bound_images.units.options import PullOptions as UnitOptions
from bound_images.units.quadlet import UnitType
from bound_images.units.scan import BoundImage
from orch_frame.errors import AuthError, OrchError, TransientError
from orch_frame.transfer import TransferOptions

UNIT = b"[Container]\nImage=quay.io/app:1\n"
BINDING = {
    "usr": {
        "lib": {
            "bootc": {"bound-images.d": {"app.container": UNIT}},
            "modules": {"6.1": BOOT_FILES},
        }
    }
}
APP = LockedImage(
    "quay.io/app:1", "quay.io/app:1", f"sha256:{'1' * 64}", "2" * 64, {}, ("app.container",)
)
NAME = f"{'c' * 64}.0"


def app(name="quay.io/app:1", action=Action.FETCH, size=0):
    unit = BoundImage("app.container", UnitType.CONTAINER, name, name, UnitOptions(), ())
    layers = (Blob(f"sha256:{'3' * 64}", size),) if size else ()
    return PlannedImage(ResolvedImage(unit, "docker://x", Access(), "sha256:1"), action, layers)


class Manager:
    """Plays the manager of app images: notes what it is asked, and answers as it was told."""

    def __init__(self, monkeypatch):
        self.asked = []
        self.events = []
        self.error = None
        self.look = lambda root: None
        monkeypatch.setattr(bound_images, "sync", self.sync, raising=False)
        monkeypatch.setattr(bound_images, "plan", self.plan, raising=False)
        monkeypatch.setattr(bound_images, "prune", self.prune, raising=False)
        monkeypatch.setattr(bound_images, "check", self.check, raising=False)

    def sync(self, root, store, lock, options, *, progress):
        self.asked.append(("sync", root.path, store, lock, options))
        self.look(root.path)
        for event in self.events:
            progress(event)
        if self.error:
            raise self.error
        lock.parent.mkdir(parents=True, exist_ok=True)
        write(lock, Record((APP,)))
        return SyncResult(SyncPlan(()), Record((APP,)))

    def plan(self, root, store, lock, options):
        self.asked.append(("plan", root.path, store, lock, options))
        return SyncPlan((app(size=7), app("quay.io/other:1", Action.KEEP)))

    def prune(self, store, *, keep_roots, keep_locks):
        self.asked.append(("prune", store, keep_roots, keep_locks))
        return PrunePlan((StoredImage("9" * 64, ()),) * 2, (), ())

    def check(self, root, store, lock):
        self.asked.append(("check", root.path, store, lock))
        return CheckResult(
            (
                CheckedImage("quay.io/app:1", "2" * 64, Verdict.OK),
                CheckedImage("quay.io/b:1", "4" * 64, Verdict.MISSING),
                CheckedImage("quay.io/c:1", "5" * 64, Verdict.MISSING, "its layers are gone"),
            ),
            (),
        )


@pytest.fixture
def manager(monkeypatch):
    monkeypatch.setenv("HOME", "/nonexistent")
    return Manager(monkeypatch)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root/usr/lib/bootc/bound-images.d"
    folder.mkdir(parents=True)
    (folder / "app.container").write_bytes(UNIT)
    return tmp_path / "root"


def lock_of(machine, name):
    return machine.sysroot.store_path.parent / f"bound-images/{name}.json"


def test_every_bound_image_is_brought_in_and_recorded_for_the_deployment(
    machine, manager, root, told
):
    transfer = TransferOptions(
        jobs=3, retries=0, retry_delay=0.5, authfile=Path("/a"), offline=True
    )
    options = BoundOptions(transfer=transfer)
    prepared = bound.prepare(root, machine.sysroot, NAME, options, told)
    lock = lock_of(machine, NAME)
    assert prepared == Prepared(lock, 1)
    [(verb, path, store, given_lock, given)] = manager.asked
    assert (verb, path, store, given_lock) == ("sync", root, machine.sysroot.store_path, lock)
    assert given.transfer is transfer
    assert (given.source, given.refresh) == (None, True)
    assert told.events == [("message", "Bound images stored: 1")]


def test_app_images_of_this_machine_come_from_its_own_storage(machine, manager, root, told):
    bound.prepare(root, machine.sysroot, NAME, BoundOptions(BoundMode.STORED), told)
    given = manager.asked[0][-1]
    assert (given.source, given.transfer) == ("containers-storage:", TransferOptions())


def test_what_binds_nothing_or_shall_not_asks_nobody(machine, manager, root, told):
    assert bound.prepare(None, machine.sysroot, NAME, BoundOptions(), told) is None
    skip = BoundOptions(BoundMode.SKIP)
    assert bound.prepare(root, machine.sysroot, NAME, skip, told) is None
    assert bound.plan(root, machine.sysroot, NAME, skip) == ()
    (root / "usr/lib/bootc/bound-images.d/app.container").unlink()
    assert bound.prepare(root, machine.sysroot, NAME, BoundOptions(), told) is None
    assert (manager.asked, told.events) == ([], [])


def test_what_happens_to_app_images_is_told_in_lines(machine, manager, root, told):
    manager.events = [
        Event("quay.io/app:1", State.RESOLVING),
        Event("quay.io/app:1", State.PULLING),
        Event("quay.io/app:1", State.PULLING, bytes=5),
        Event("quay.io/app:1", State.FAILED, detail="no route"),
        Event("quay.io/app:1", State.DONE),
    ]
    bound.prepare(root, machine.sysroot, NAME, BoundOptions(), told)
    assert told.events == [
        ("message", "Fetching bound image: quay.io/app:1"),
        ("warning", "quay.io/app:1: no route"),
        ("message", "Bound images stored: 1"),
    ]


@pytest.mark.parametrize("error", [TransientError("no route"), AuthError("denied")])
def test_a_failure_of_the_manager_keeps_its_class_and_status(machine, manager, root, told, error):
    manager.error = error
    with pytest.raises(OrchError) as caught:
        bound.prepare(root, machine.sysroot, NAME, BoundOptions(), told)
    found = caught.value
    assert (type(found), found.summary, found.exit_code) == (
        type(error),
        error.summary,
        error.exit_code,
    )


def test_a_plan_names_each_app_image_what_is_done_about_it_and_its_bytes(machine, manager, root):
    found = bound.plan(root, machine.sysroot, NAME, BoundOptions())
    assert found == (
        PlannedApp("quay.io/app:1", "fetch", 7),
        PlannedApp("quay.io/other:1", "keep", 0),
    )
    assert manager.asked[0][:-1] == (
        "plan",
        root,
        machine.sysroot.store_path,
        lock_of(machine, NAME),
    )


def test_a_record_gets_the_name_that_the_deployment_got(running):
    deployment = running.sysroot.deployments().booted
    made = lock_of(running, f"{deployment.checksum}.7")
    made.parent.mkdir(parents=True)
    made.write_text("{}")
    bound.record(Prepared(made, 1), running.sysroot, deployment)
    assert [path.name for path in made.parent.iterdir()] == [f"{deployment.name}.json"]
    bound.record(Prepared(made, 1), running.sysroot, deployment)
    bound.record(None, running.sysroot, deployment)
    assert lock_of(running, deployment.name).read_text() == "{}"


def test_the_status_has_what_is_recorded_of_app_images(running):
    deployment = running.sysroot.deployments().booted
    assert bound.recorded(running.sysroot, deployment) == ()
    lock = lock_of(running, deployment.name)
    lock.parent.mkdir(parents=True)
    write(lock, Record((APP,)))
    assert bound.recorded(running.sysroot, deployment) == (
        {"image": "quay.io/app:1", "imageDigest": APP.digest, "imageID": APP.image_id},
    )


def test_app_images_that_are_not_whole_are_named_with_what_is_wrong(running, manager):
    deployment = running.sysroot.deployments().booted
    assert bound.problems(running.sysroot, deployment) == ()
    lock = lock_of(running, deployment.name)
    lock.parent.mkdir(parents=True)
    write(lock, Record((APP,)))
    assert bound.problems(running.sysroot, deployment) == (
        ("quay.io/b:1", f"app image quay.io/b:1: {Verdict.MISSING}"),
        ("quay.io/c:1", "app image quay.io/c:1: its layers are gone"),
    )
    assert manager.asked == [("check", deployment.path, running.sysroot.store_path, lock)]


def test_what_deployments_and_downloads_need_is_kept(running, manager, told):
    bound.collect(running.sysroot, told)
    assert manager.asked == []
    running.sysroot.store_path.mkdir(parents=True)
    kept = [lock_of(running, f"{'d' * 64}.{serial}") for serial in (0, 1)]
    kept[0].parent.mkdir()
    for lock in (*kept, lock_of(running, f"{'e' * 64}.0")):
        lock.write_text("{}")
    bound.collect(running.sysroot, told, downloaded=["d" * 64])
    booted = running.sysroot.deployments().booted
    assert manager.asked == [("prune", running.sysroot.store_path, [booted.path], kept)]
    assert told.events == [("message", "Pruned bound images: 2")]


def test_the_next_deployment_has_the_first_number_after_those_that_there_are(machine):
    commit = machine.image(1)
    folder = machine.root / "ostree/deploy/os/deploy"
    assert bound.next_name(machine.sysroot, "os", commit) == f"{commit}.0"
    machine.deploy(commit)
    (folder / f"{commit}.4").mkdir()
    (folder / f"{commit}.9.origin").touch()
    (folder / f"{commit}.8").touch()
    assert bound.next_name(machine.sysroot, "os", commit) == f"{commit}.5"
    assert bound.next_name(machine.sysroot, "other", commit) == f"{commit}.0"


@pytest.mark.parametrize(
    ("tree", "binds"),
    [
        pytest.param(BINDING, True, id="a unit"),
        pytest.param({"usr": {"lib": {"bootc": {"bound-images.d": {}}}}}, False, id="empty"),
        pytest.param({"usr": {}}, False, id="no directory"),
    ],
)
def test_an_image_with_a_unit_binds_app_images(machine, tree, binds):
    commit = machine.world.made.commit(tree)
    assert bound.is_bound(CommitTree(machine.repo, commit)) is binds


OPTIONS = TransactionOptions(PullOptions(TransferOptions(offline=True, lock_timeout=0)), hooks=())


def transact(machine, told):
    return run_transaction(machine.sysroot, Wanted(IMAGE, IMAGE), OPTIONS, told)


def test_app_images_of_the_new_root_come_before_it_is_staged(running, manager, told):
    commit = running.image(2, tree=BINDING)
    seen = []
    manager.look = lambda root: seen.append(
        (running.order(), (root / "usr/lib/bootc/bound-images.d/app.container").read_bytes())
    )
    assert transact(running, told).outcome is Outcome.QUEUED
    assert seen == [(["booted 1"], UNIT)]
    assert lock_of(running, f"{commit}.0").exists()
    assert running.order() == ["staged 2", "booted 1"]
    assert told.events[:3] == [
        ("step", "bound_images"),
        ("message", "Bound images stored: 1"),
        ("step", "deploying"),
    ]


def test_an_app_image_that_cannot_be_had_stages_nothing_and_leaves_no_root(running, manager, told):
    running.image(2, tree=BINDING)
    manager.error = TransientError("no route to the registry")
    with pytest.raises(TransientError, match="no route"):
        transact(running, told)
    assert running.order() == ["booted 1"]
    assert running.ran("ostree", "admin") == []
    assert list((running.repo.path / "tmp").iterdir()) == []
    assert not running.note.exists()
