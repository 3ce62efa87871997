"""Deployments are read from boot entries, links, origins and the state of the running system."""

from __future__ import annotations

import struct

import pytest
from support.handmade_sysroot import HandmadeSysroot

from bootc_orch.model.gvariant import Variant, encode_dict
from bootc_orch.model.host.deployment import Deployment, Deployments
from bootc_orch.model.host.origin import Origin
from bootc_orch.tools.ostree import sysroot as module
from bootc_orch.tools.ostree.sysroot import Sysroot, deployment_directories
from orch_frame.errors import NotFoundError, StoreDamagedError

ORIGIN = "[origin]\nrefspec=a:b\n"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A sysroot with two deployments, on a machine that runs from none of them."""
    monkeypatch.setattr(module, "RUN_OSTREE", tmp_path / "run/ostree")
    monkeypatch.setattr(module, "RUN_BOOTED", tmp_path / "run/ostree-booted")
    (tmp_path / "run/ostree").mkdir(parents=True)
    world = HandmadeSysroot(tmp_path)
    for name in ("first", "second"):
        world.deploy(world.made.commit({"name": name.encode()}), origin=ORIGIN, options=name)
    return world


def run_from(world, deployment):
    """Have the machine say that its root is that of *deployment*, as with composefs."""
    status = deployment.path.stat()
    place = Variant("(tt)", struct.pack("<QQ", status.st_dev, status.st_ino))
    data = encode_dict([("backing-root-device-inode", place)])
    (world.path / "run/ostree-booted").write_bytes(data)


def stage(world, **values):
    target = {"osname": "os", "name": f"{'3' * 64}.1", "bootcsum": "4" * 64, **values}
    pairs = [(key, Variant.string(text)) for key, text in target.items() if text is not None]
    state = [("target", Variant("a{sv}", encode_dict(pairs)))]
    (world.path / "run/ostree/staged-deployment").write_bytes(encode_dict(state))


def options(found):
    return [one.options.split()[0] for one in found.all]


def test_a_directory_without_a_repository_is_no_sysroot(tmp_path):
    with pytest.raises(NotFoundError, match="holds no ostree system"):
        Sysroot(tmp_path)


def test_a_deployment_is_all_that_its_files_say(world):
    first, second = world.sysroot.deployments().all
    [path] = [path for path in deployment_directories(world.sysroot) if path == first.path]
    entry = world.sysroot.boot_entries()[0]
    assert first == Deployment(
        index=0,
        stateroot="os",
        checksum=path.name.removesuffix(".0"),
        serial=0,
        path=path,
        origin=Origin.parse(ORIGIN),
        options=entry.options,
        bootcsum=entry.link.bootcsum,
    )
    assert (second.index, second.kargs) == (1, ("second",))


def test_the_version_of_an_entry_is_its_place(world):
    text = world.entry(0).read_text()
    world.entry(0).write_text(text.replace("version 100", "version 98"))
    assert options(world.sysroot.deployments()) == ["second", "first"]


def test_what_runs_is_told_by_its_root(world):
    _, second = world.sysroot.deployments().all
    assert world.sysroot.deployments().booted is None
    run_from(world, second)
    found = world.sysroot.deployments()
    assert [one.booted for one in found.all] == [False, True]
    (world.path / "run/ostree-booted").write_bytes(b"")
    assert world.sysroot.deployments().booted is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Variant.string("x"), id="of another type"),
        pytest.param(Variant("(tt)", b"short"), id="too short"),
    ],
)
def test_a_root_that_is_noted_in_another_form_is_none(world, value):
    data = encode_dict([("backing-root-device-inode", value)])
    (world.path / "run/ostree-booted").write_bytes(data)
    assert world.sysroot.deployments().booted is None


def test_what_is_staged_comes_first_on_the_running_system_alone(world):
    stage(world)
    assert options(world.sysroot.deployments()) == ["first", "second"]
    run_from(world, world.sysroot.deployments().all[0])
    staged, *others = world.sysroot.deployments().all
    assert staged == Deployment(
        index=0,
        stateroot="os",
        checksum="3" * 64,
        serial=1,
        path=world.path / f"ostree/deploy/os/deploy/{'3' * 64}.1",
        origin=Origin(),
        bootcsum="4" * 64,
        staged=True,
    )
    assert [one.index for one in others] == [1, 2]


def test_a_staged_deployment_can_be_locked_by_a_file(world):
    run_from(world, world.sysroot.deployments().all[0])
    stage(world)
    (world.path / "run/ostree/staged-deployment-locked").touch()
    assert world.sysroot.deployments().staged.locked


@pytest.mark.parametrize(
    "values",
    [{"name": "nonsense"}, {"osname": None}, {"bootcsum": None}],
    ids=["name", "no stateroot", "no checksum"],
)
def test_a_staged_deployment_that_says_too_little_is_reported_or_left_out(world, values):
    run_from(world, world.sysroot.deployments().all[0])
    stage(world, **values)
    with pytest.raises(StoreDamagedError, match="staged-deployment cannot be understood"):
        world.sysroot.deployments()
    heard = []
    assert options(world.sysroot.deployments(heard.append)) == ["first", "second"]
    [error] = heard
    assert error.hint == "Remove that file, then stage the update again."
    assert error.path == str(world.path / "run/ostree/staged-deployment")


@pytest.mark.parametrize(
    ("options_line", "message"),
    [
        ("options root=x", "has no ostree= argument"),
        ("options ostree=/ostree/boot.0/os/0/0", "leads to no deployment"),
    ],
)
def test_an_entry_that_leads_nowhere_is_reported_or_left_out(world, options_line, message):
    world.entry(0).write_text(f"title x\nversion 100\n{options_line}\n")
    with pytest.raises(StoreDamagedError, match=message):
        world.sysroot.deployments()
    heard = []
    found = world.sysroot.deployments(heard.append)
    assert options(found) == ["second"]
    assert found.all[0].index == 0
    [error] = heard
    assert error.path == str(world.entry(0))


@pytest.mark.parametrize("data", [b"nonsense\n", b"\xff\n"])
def test_an_entry_that_cannot_be_read_is_reported_or_left_out(world, data):
    world.entry(1).write_bytes(data)
    with pytest.raises(StoreDamagedError):
        world.sysroot.boot_entries()
    heard = []
    assert [entry.name for entry in world.sysroot.boot_entries(heard.append)] == ["ostree-0.conf"]
    assert [error.path for error in heard] == [str(world.entry(1))]


def test_a_link_to_something_that_is_no_deployment_is_damage(world):
    first = world.sysroot.deployments().all[0]
    first.path.rename(first.path.with_name("other"))
    link = world.sysroot.boot_entries()[0].link
    path = world.path / str(link).lstrip("/")
    path.unlink()
    path.symlink_to(first.path.with_name("other"))
    with pytest.raises(StoreDamagedError, match="leads to no deployment") as caught:
        world.sysroot.resolve(link)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("kind", ["development", "transient"])
def test_an_unlocked_deployment_is_marked_by_the_running_system(world, kind):
    _, second = world.sysroot.deployments().all
    state = world.path / "run/ostree/deployment-state" / second.name
    state.mkdir(parents=True)
    (state / f"unlocked-{kind}").touch()
    assert [one.unlocked for one in world.sysroot.deployments().all] == [None, kind]


def test_a_deployment_without_an_origin_says_nothing(world):
    first, _ = world.sysroot.deployments().all
    first.origin_path.unlink()
    assert world.sysroot.deployments().all[0].origin == Origin()


def test_only_directories_that_are_named_for_deployments_are_such(world):
    folder = world.path / "ostree/deploy/os/deploy"
    (folder / f"{'5' * 64}.0").touch()
    (folder / f"{'6' * 63}.0").mkdir()
    leftover = folder / f"{'7' * 64}.3"
    leftover.mkdir()
    known = {one.path for one in world.sysroot.deployments().all}
    assert set(deployment_directories(world.sysroot)) == {*known, leftover}


def test_a_sysroot_without_entries_has_no_deployments(tmp_path):
    assert HandmadeSysroot(tmp_path).sysroot.deployments() == Deployments(())
