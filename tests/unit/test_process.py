"""How programs are started, heard and ended; real children, of the shell and of coreutils."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bootc_orch.errors import CommandError
from bootc_orch.process import (
    PIPE,
    STDERR_TAIL_BYTES,
    Completed,
    _guard,
    program_exists,
    run,
    spawn,
)
from orch_frame.errors import ToolMissingError

HOSTILE = (
    "LD_LIBRARY_PATH",
    "LD_DEBUG_OUTPUT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "OSTREE_REPO",
    "OSTREE_SYSROOT",
    "G_MESSAGES_DEBUG",
    "TAR_OPTIONS",
)
# A parent that starts a child, says its number, and waits for its own end.
PARENT = """
import sys
from bootc_orch.process import PIPE, spawn
with spawn(["sh", "-c", "echo $$; exec sleep 60"], stdout=PIPE) as child:
    sys.stdout.buffer.write(child.stdout.readline())
    sys.stdout.flush()
    child.wait()
"""


def environment_of_a_child(**more):
    text = run(["env", "-0"], env=more).stdout.decode()
    return dict(line.split("=", 1) for line in text.split("\0") if line)


def is_running(pid):
    """Say whether a process is there and no mere entry that nobody has asked for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends_soon(pid, seconds=10):
    deadline = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_change_a_program_behind_its_arguments_is_kept_from_it(monkeypatch, name):
    monkeypatch.setenv(name, "canary")
    assert name not in environment_of_a_child()


def test_a_child_gets_the_rest_of_the_environment_and_a_fixed_locale(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/run/auth.json")
    monkeypatch.setenv("OLD_LD_PRELOAD", "kept")
    inherited = {name: value for name, value in os.environ.items() if name not in HOSTILE}
    found = environment_of_a_child()
    assert {name: found[name] for name in ("LC_ALL", "REGISTRY_AUTH_FILE", "OLD_LD_PRELOAD")} == {
        "LC_ALL": "C.UTF-8",
        "REGISTRY_AUTH_FILE": "/run/auth.json",
        "OLD_LD_PRELOAD": "kept",
    }
    assert found["PATH"] == inherited["PATH"]


def test_what_is_added_for_one_program_wins(monkeypatch):
    monkeypatch.setenv("OSTREE_REPO", "inherited")
    found = environment_of_a_child(OSTREE_REPO="given", LC_ALL="C")
    assert (found["OSTREE_REPO"], found["LC_ALL"]) == ("given", "C")


def test_what_a_program_prints_comes_back_with_its_command_and_status():
    done = run(["sh", "-c", r"printf 'a\377\n\n'; exit 3", Path("/x")], allow=(0, 3))
    assert done == Completed(("sh", "-c", r"printf 'a\377\n\n'; exit 3", "/x"), 3, b"a\xff\n\n")
    assert done.text == "a\\xff"


def test_a_status_that_is_no_answer_is_an_error_with_what_was_written_to_standard_error():
    with pytest.raises(CommandError) as caught:
        run(["sh", "-c", "echo ' why ' >&2; exit 3"], allow=(0, 1))
    found = caught.value
    assert (found.argv, found.status, found.stderr) == (
        ("sh", "-c", "echo ' why ' >&2; exit 3"),
        3,
        "why",
    )
    assert found.summary == "sh exited with status 3."


def test_what_is_no_text_on_standard_error_is_shown_escaped():
    with pytest.raises(CommandError) as caught:
        run(["sh", "-c", r"printf 'a\377b' >&2; exit 1"])
    assert caught.value.stderr == r"a\xffb"


def test_a_program_that_is_killed_is_an_error_that_names_the_signal():
    with pytest.raises(CommandError, match=r"^sh was killed by signal 9\.$"):
        run(["sh", "-c", "kill -KILL $$"])


def test_of_a_flood_on_standard_error_the_end_is_kept():
    script = "yes | head -c 300000 | tr '\\n' x >&2; printf end >&2; exit 1"
    with pytest.raises(CommandError) as caught:
        run(["sh", "-c", script])
    assert caught.value.stderr == ("yx" * STDERR_TAIL_BYTES + "end")[-STDERR_TAIL_BYTES:]


def test_a_program_that_is_missing_is_named_and_not_started(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError) as caught:
        run(["no-such-program", "--version"])
    assert caught.value.program == "no-such-program"
    assert not program_exists("sh")


def test_a_program_cannot_ask_and_reads_only_what_it_is_given():
    assert run(["cat"]).stdout == b""
    with tempfile.TemporaryFile() as file:
        file.write(b"given")
        file.seek(0)
        assert run(["cat"], stdin=file).stdout == b"given"


def test_only_the_descriptors_that_are_passed_reach_a_child():
    ours, theirs = os.pipe()
    os.set_inheritable(ours, True)
    try:
        listing = run(["sh", "-c", "echo /proc/self/fd/*"], pass_fds=(theirs,)).text.split()
        assert f"/proc/self/fd/{theirs}" in listing
        assert f"/proc/self/fd/{ours}" not in listing
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_child_has_a_session_of_its_own_so_a_terminal_does_not_interrupt_it():
    pid, session = run(["sh", "-c", "echo $$; cut -d' ' -f6 /proc/$$/stat"]).text.split()
    assert pid == session != str(os.getsid(0))


def give_up(script, reason):
    """Start *script*, wait for its first line, and fail; return the child and that line."""
    with spawn(["sh", "-c", script], stdout=PIPE) as child:
        assert child.stdout is not None
        reason.child, reason.line = child, child.stdout.readline()
        raise reason


class GivenUp(BaseException):
    """Why a block ended, what had been started in it, and what that said."""

    child: subprocess.Popen[bytes]
    line: bytes


def test_a_failing_block_ends_the_child_and_its_children_and_notes_what_was_written():
    script = "(trap '' TERM; sleep 60 & echo why >&2; echo $!; wait; sleep 60) & wait"
    with pytest.raises(GivenUp) as caught:
        give_up(script, GivenUp())
    assert caught.value.__notes__ == ["sh wrote: why"]
    assert caught.value.child.returncode == -signal.SIGTERM
    assert ends_soon(int(caught.value.line))


def test_a_child_that_does_not_listen_is_killed_after_a_grace(monkeypatch):
    monkeypatch.setattr("bootc_orch.process.GRACE_SECONDS", 0.2)
    with pytest.raises(GivenUp) as caught:
        give_up("trap '' TERM; echo ready; while :; do sleep 0.05; done", GivenUp())
    assert caught.value.child.returncode == -signal.SIGKILL


def test_a_child_dies_with_a_parent_that_is_killed():
    """What cannot be caught cannot be cleaned up after, so the kernel has to."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    assert ends_soon(child)


def test_without_setpriv_a_program_runs_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    _guard.cache_clear()
    try:
        assert run(["sh", "-c", "echo $PPID"]).text == str(os.getpid())
    finally:
        _guard.cache_clear()
