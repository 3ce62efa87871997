"""One advisory lock a repository, between real processes."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.cli import UNPRIVILEGED

from bootc_orch.ops.stored.lock import LOCK_NAME, locked
from orch_frame.errors import LockedError, ReadOnlyError, StorageIOError
from orch_frame.lock import find_holder

HOLDER = """
import sys
from pathlib import Path
from bootc_orch.ops.stored.lock import locked
with locked(Path(sys.argv[1]), exclusive=sys.argv[2] == "exclusive", timeout=10):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(repo: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, repo, kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


@pytest.mark.parametrize(
    ("theirs", "ours_exclusive", "waits"),
    [
        pytest.param("exclusive", True, True, id="writer-and-writer"),
        pytest.param("exclusive", False, True, id="writer-and-reader"),
        pytest.param("shared", True, True, id="reader-and-writer"),
        pytest.param("shared", False, False, id="reader-and-reader"),
    ],
)
def test_writers_exclude_all_others(tmp_path, theirs, ours_exclusive, waits):
    with holder(tmp_path, theirs):
        if not waits:
            with locked(tmp_path, exclusive=ours_exclusive, timeout=0):
                return
        with (
            pytest.raises(LockedError),
            locked(tmp_path, exclusive=ours_exclusive, timeout=0.1),
        ):
            pytest.fail("two processes hold the lock")


def test_the_message_names_process_and_command_of_a_stopped_holder_k05(tmp_path, caplog):
    with holder(tmp_path, "exclusive") as process:
        process.send_signal(signal.SIGSTOP)
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(LockedError) as caught,
            locked(tmp_path, exclusive=True, timeout=0.2),
        ):
            pytest.fail("two processes hold the lock")
        assert f"process {process.pid} ({sys.executable} -c" in caught.value.summary
        assert caught.value.exit_code == os.EX_TEMPFAIL
        assert [record.message.split(",")[0] for record in caplog.records] == [
            f"Waiting for the lock of {tmp_path}"
        ]


def test_a_lock_ends_with_its_holder_however_that_ends_p22(tmp_path):
    with holder(tmp_path, "exclusive") as process:
        process.kill()
        with locked(tmp_path, exclusive=True, timeout=5):
            pass


def test_an_operation_may_call_another_that_locks_too(tmp_path):
    with locked(tmp_path, exclusive=True, timeout=0):
        with locked(tmp_path, exclusive=False, timeout=0):
            pass
        with locked(tmp_path, exclusive=True, timeout=0):
            pass
        with pytest.raises(LockedError), holder_fails(tmp_path):
            pass


def test_a_lock_that_was_let_go_is_taken_anew(tmp_path):
    for _ in range(2):
        with (
            locked(tmp_path, exclusive=True, timeout=0),
            pytest.raises(LockedError),
            holder_fails(tmp_path),
        ):
            pytest.fail("two processes hold the lock")


@contextmanager
def holder_fails(repo: Path) -> Iterator[None]:
    """Try from another process, without waiting."""
    done = subprocess.run(
        [sys.executable, "-c", HOLDER.replace("timeout=10", "timeout=0"), repo, "exclusive"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if "LockedError" in done.stderr:
        raise LockedError("the other process could not lock")
    yield


def test_a_symbolic_link_in_its_place_is_refused_k06(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "victim")
    with pytest.raises(StorageIOError, match="symbolic link"), locked(tmp_path, exclusive=True):
        pass
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_lock_file_that_was_replaced_is_not_trusted_k06(tmp_path):
    with holder(tmp_path, "exclusive"):
        (tmp_path / LOCK_NAME).rename(tmp_path / "moved")
        with locked(tmp_path, exclusive=True, timeout=1):
            assert (tmp_path / LOCK_NAME).exists()


def test_a_lock_file_that_is_moved_while_it_is_being_locked_is_let_go_k06(tmp_path, monkeypatch):
    real_flock = fcntl.flock
    moves = iter([tmp_path / "moved"])

    def flock(descriptor: int, how: int) -> None:
        for target in moves:
            (tmp_path / LOCK_NAME).rename(target)
        real_flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        locked(tmp_path, exclusive=True, timeout=1),
        pytest.raises(LockedError),
        holder_fails(tmp_path),
    ):
        pass


def test_nobody_but_the_owner_can_hold_up_others(tmp_path):
    with locked(tmp_path, exclusive=True, timeout=0):
        assert oct((tmp_path / LOCK_NAME).stat().st_mode) == "0o100600"


@pytest.mark.root
def test_a_reader_needs_no_lock_where_nothing_can_be_written(tmp_path):
    script = HOLDER.replace('print("held", flush=True)', "").replace("sys.stdin.read()", "pass")

    def run(kind: str) -> str:
        argv = [*UNPRIVILEGED, sys.executable, "-c", script, tmp_path, kind]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stderr

    assert ReadOnlyError.__name__ in run("exclusive")
    assert run("shared") == ""
    assert not (tmp_path / LOCK_NAME).exists()


LOCKS = """\
1: POSIX  ADVISORY  WRITE 10 fe:00:42 0 EOF
2: FLOCK  ADVISORY  WRITE 30389 fe:00:778955 0 EOF
2: -> FLOCK  ADVISORY  WRITE 11 fe:00:42 0 EOF
3: FLOCK  ADVISORY  READ 12 00:1b:42 0 EOF
"""


@pytest.mark.parametrize(("inode", "pid"), [(42, 12), (778955, 30389), (8955, None)])
def test_the_holder_is_read_from_the_kernels_list(inode, pid):
    assert find_holder(LOCKS, inode) == pid
