"""Fixtures of the tests that start no program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_subprocess import FakeProcess

from bootc_orch import process

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
