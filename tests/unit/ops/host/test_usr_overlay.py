"""When an overlay over /usr can be mounted."""

from __future__ import annotations

import pytest
from support.scripted_ostree import IMAGE, origin_of

from bootc_orch.ops.host.usr_overlay import mount_usr_overlay
from orch_frame.errors import NotFoundError, OrchError


@pytest.mark.parametrize(("read_only", "words"), [(True, ("--transient",)), (False, ())])
def test_an_overlay_is_mounted_over_the_running_system(running, read_only, words):
    mount_usr_overlay(running.sysroot, read_only=read_only)
    assert running.ran("ostree", "admin", "unlock") == [words]


def test_a_system_that_does_not_run_gets_no_overlay(machine):
    machine.deploy(machine.image(1))
    with pytest.raises(NotFoundError, match=r"^This system is not booted from a deployment\.$"):
        mount_usr_overlay(machine.sysroot, read_only=False)
    assert machine.commands == []


def test_a_second_overlay_is_refused(machine):
    origin = origin_of(IMAGE) + "unlocked=hotfix\n"
    machine.boot(machine.deploy(machine.image(1), origin=origin))
    with pytest.raises(OrchError, match=r"^/usr has an overlay already \(hotfix\)\.$"):
        mount_usr_overlay(machine.sysroot, read_only=False)
    assert machine.commands == []
