"""What the ostree program prints, understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootc_orch.errors import CommandError
from bootc_orch.tools.ostree.repo import explain_failure
from orch_frame.errors import ReadOnlyError, SpaceError, StorageIOError, StoreDamagedError

REPO = Path("/srv/repo")


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        pytest.param(
            "error: Writing content object: No space left on device", SpaceError, id="d07"
        ),
        pytest.param("error: Creating file: Disk quota exceeded", SpaceError, id="d10"),
        pytest.param("error: min-free-space-percent '3%' would be exceeded", SpaceError, id="d11"),
        pytest.param("error: open(tmp/x): Read-only file system", ReadOnlyError, id="d14"),
        pytest.param("error: opendir(refs): Permission denied", ReadOnlyError, id="closed"),
        pytest.param("error: fsync: Input/output error", StorageIOError, id="d13"),
        pytest.param("error: Corrupted commit object; checksum …", StoreDamagedError, id="d18"),
        pytest.param("error: No such metadata object 0.commit", StoreDamagedError, id="d19"),
        pytest.param("error: Unknown option --nonsense", CommandError, id="unknown"),
    ],
)
def test_a_failure_of_ostree_is_told_by_what_it_printed(stderr, kind):
    error = explain_failure(CommandError(("ostree", "prune"), 1, stderr), REPO)
    assert type(error) is kind
    assert stderr in (error.details or "")
