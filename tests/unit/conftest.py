"""Fixtures of the tests that start no program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_subprocess import FakeProcess
from support.scripted_ostree import ScriptedMachine, Told

from bootc_orch import process
from bootc_orch.tools.ostree.repo import ostree_version

PROGRAMS = ("ostree", "rpm")


@pytest.fixture
def programs(
    fp: FakeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeProcess]:
    """Programs that answer as a test says; any other command line is an error.

    They are on PATH, and nothing else is: the same command lines are asked for on every machine.
    """
    directory = tmp_path / "programs"
    directory.mkdir()
    for name in PROGRAMS:
        (directory / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(directory))
    process._guard.cache_clear()
    yield fp
    process._guard.cache_clear()


@pytest.fixture
def machine(
    fp: FakeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScriptedMachine]:
    """A machine with no deployment; its sysroot, ostree and journal are all in files."""
    yield ScriptedMachine(tmp_path, fp, monkeypatch)
    process._guard.cache_clear()
    ostree_version.cache_clear()


@pytest.fixture
def running(machine: ScriptedMachine) -> ScriptedMachine:
    """A machine that runs version 1 of an image, has nothing to go back to, and follows it."""
    machine.boot(machine.deploy(machine.image(1)))
    return machine


@pytest.fixture
def told() -> Told:
    """What an operation tells of itself."""
    return Told()
