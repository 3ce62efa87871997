"""Worlds for what deploys: a machine whose sysroot, ostree and journal are all in files."""

from __future__ import annotations

import pytest
from support.scripted_ostree import ScriptedMachine, Told


@pytest.fixture
def machine(tmp_path, fp, monkeypatch):
    """A machine with no deployment."""
    return ScriptedMachine(tmp_path, fp, monkeypatch)


@pytest.fixture
def running(machine):
    """A machine that runs version 1 of an image, has nothing to go back to, and follows it."""
    machine.boot(machine.deploy(machine.image(1)))
    return machine


@pytest.fixture
def told():
    """What an operation tells of itself."""
    return Told()
