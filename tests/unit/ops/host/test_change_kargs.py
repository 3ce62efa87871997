"""Changed kernel arguments are those of a deployment more, of the same commit."""

from __future__ import annotations

import pytest
from support.scripted_ostree import IMAGE, origin_of

from bootc_orch.model.host.kargs import KargsEdit
from bootc_orch.ops.host.change_kargs import change_kargs, next_kargs
from bound_images import default_lock
from orch_frame.errors import NotFoundError


def change(machine, **edit):
    return change_kargs(machine.sysroot, KargsEdit(**edit), lock_timeout=0)


def test_what_boots_next_is_staged_once_more_with_other_arguments(running):
    made = change(running, append=("quiet",), delete=("root",))
    assert (made.staged, made.kargs, made.serial) == (True, ("quiet",), 1)
    assert next_kargs(running.sysroot) == ("quiet",)
    assert running.order() == ["staged 1", "booted 1"]
    assert running.note.exists()


def test_arguments_of_a_staged_update_that_is_held_back_stay_held_back(running):
    running.stage(running.image(2), locked=True, kargs=("a",))
    made = change(running, append=("b",))
    assert (made.kargs, made.locked) == (("a", "b"), True)
    assert (made.path / "version").read_text() == "2"
    assert not running.note.exists()


def test_a_change_that_changes_nothing_deploys_nothing(running, caplog):
    assert change(running, delete=("nosuch",)) is None
    assert running.ran("ostree", "admin") == []
    assert caplog.messages == ["nosuch is not among the kernel arguments."]


def test_a_sysroot_that_is_not_running_gets_its_deployment_at_once_as_it_was(machine):
    pinned = origin_of(IMAGE, "\n[libostree-transient]\npinned=true\n")
    machine.deploy(machine.image(1), origin=pinned)
    made = change(machine, replace=("root=LABEL=x",))
    assert (made.staged, made.kargs, made.pinned) == (False, ("root=LABEL=x",), False)
    assert machine.order() == ["1", "1"]


def test_the_record_of_app_images_is_carried_over(running):
    store = running.sysroot.store_path
    old = running.sysroot.deployments().booted
    record = default_lock(store, old.name)
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    made = change(running, append=("quiet",))
    assert default_lock(store, made.name).samefile(record)


def test_without_a_deployment_there_is_nothing_to_change(machine):
    with pytest.raises(NotFoundError) as caught:
        change(machine, append=("quiet",))
    assert caught.value.summary == f"{machine.root} has no deployment."
    with pytest.raises(NotFoundError):
        next_kargs(machine.sysroot)
