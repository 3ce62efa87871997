"""The error boundary: every failure becomes one message and one status."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from bootc_orch.errors import CommandError
from orch_frame import output
from orch_frame.boundary import ReportingGroup
from orch_frame.errors import InvalidImageError, LockedError, NothingToDo, StallError
from orch_frame.options.printing import with_output

FAILURES: dict[str, BaseException] = {
    "bad": InvalidImageError(
        "Layer 3 is bad.", hint="Build it again.", details="offset 512\nbyte 7",
        image="oci:/x", layer="sha256:ab", path="usr/\x1b[31mred\nline",
    ),
    "stall": StallError("Nothing arrived from quay.io."),
    "locked": LockedError("/r is locked by process 3."),
    "command": CommandError(("ostree", "refs"), 1, "error: \x1b]0;title\x07 https://u:CANARY@h/"),
    "unchanged": NothingToDo("Nothing."),
    "memory": MemoryError(),
    "recursion": RecursionError("maximum recursion depth exceeded"),
    "key": KeyError("layers"),
    "interrupt": KeyboardInterrupt(),
    "full": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/r/objects"),
    "readonly": OSError(errno.EROFS, os.strerror(errno.EROFS), "/r/objects"),
    "io": OSError(errno.EIO, os.strerror(errno.EIO), "/r/objects"),
    "fork": OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)),
    "files": OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    "path": FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/none/file"),
}  # fmt: skip

app = typer.Typer(cls=ReportingGroup, no_args_is_help=True, add_completion=False)


@app.callback()
def group() -> None:
    """A program that fails."""


@app.command()
@with_output
def fail(how: Annotated[str, typer.Argument()]) -> None:
    """Fail as told."""
    raise FAILURES[how]


@app.command()
@with_output
def work() -> None:
    """Succeed."""
    output.say("done")
    output.say_result("work", 1)


def run(*argv: str):
    return CliRunner().invoke(app, argv)


@pytest.mark.parametrize(
    ("how", "status", "first_line"),
    [
        ("bad", 65, "error: Layer 3 is bad."),
        ("stall", 75, "error: Nothing arrived from quay.io."),
        ("locked", 75, "error: /r is locked by process 3."),
        ("command", 1, "error: ostree exited with status 1."),
        ("memory", 1, "error: internal error: MemoryError: "),
        ("recursion", 1, "error: internal error: RecursionError: maximum recursion depth exceeded"),
        ("key", 1, "error: internal error: KeyError: 'layers'"),
        ("interrupt", 130, "error: interrupted by SIGINT."),
        ("full", 73, "error: /r/objects: No space left on device."),
        ("readonly", 73, "error: /r/objects: Read-only file system."),
        ("io", 74, "error: /r/objects: Input/output error."),
        pytest.param("fork", 1, "error: Resource temporarily unavailable.", id="d25-fork"),
        pytest.param("files", 1, "error: Too many open files.", id="d25-files"),
        ("path", 1, "error: /none/file: No such file or directory."),
    ],
)
def test_a_failure_is_one_message_and_its_status(how, status, first_line):
    result = run("fail", how)
    assert result.exit_code == status
    assert result.stderr.splitlines()[0] == first_line
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_an_error_shows_where_its_evidence_and_what_to_do():
    assert run("fail", "bad").stderr == (
        "error: Layer 3 is bad.\n"
        "    image: oci:/x\n"
        "    layer: sha256:ab\n"
        "    path: usr/\\x1b[31mred\\nline\n"
        "    offset 512\n"
        "    byte 7\n"
        "hint: Build it again.\n"
    )


def test_control_characters_and_secrets_never_get_out_s21_s34():
    for argv in (("fail", "command"), ("fail", "command", "--json")):
        result = run(*argv)
        assert "\x1b" not in result.output
        assert "\x07" not in result.output
        assert "CANARY" not in result.output


def test_with_json_a_failure_is_one_object_on_standard_output():
    result = run("fail", "bad", "--json")
    assert json.loads(result.stdout) == {
        "version": 1,
        "error": {
            "class": "invalid-image",
            "message": "Layer 3 is bad.",
            "image": "oci:/x",
            "layer": "sha256:ab",
            "path": "usr/\x1b[31mred\nline",
            "details": "offset 512\nbyte 7",
            "hint": "Build it again.",
            "exit": 65,
        },
    }
    assert "error: Layer 3 is bad." in result.stderr


@pytest.mark.parametrize(
    ("how", "name"),
    [("stall", "timeout"), ("locked", "locked"), ("key", "internal"), ("interrupt", "interrupted")],
)
def test_the_class_of_a_failure_has_a_name(how, name):
    assert json.loads(run("fail", how, "--json").stdout)["error"]["class"] == name


def test_nothing_to_do_is_a_status_and_no_message():
    result = run("fail", "unchanged")
    assert (result.exit_code, result.output) == (77, "")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param(["--no-such"], "No such option: --no-such", id="root-option"),
        pytest.param(["nothing"], "No such command 'nothing'.", id="command"),
        pytest.param(["work", "--no-such"], "No such option: --no-such", id="option"),
        pytest.param(["work", "extra"], "Got unexpected extra argument", id="argument"),
        pytest.param(["fail"], "Missing argument", id="missing"),
    ],
)
def test_a_usage_error_is_reported_like_all_others(argv, message):
    result = run(*argv)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")
    assert "hint: See " in result.stderr
    document = json.loads(run(*argv, "--json").stdout)
    assert document["error"]["class"] == "usage"
    assert document["error"]["exit"] == 2


def test_no_arguments_show_the_help():
    result = run()
    assert result.exit_code == 2
    assert "A program that fails." in result.output


def test_json_of_one_command_does_not_reach_the_next():
    assert json.loads(run("work", "--json").stdout) == {"version": 1, "work": 1}
    assert run("work").stdout == "done\n"


SIGNALLED = """
import os, sys, time, typer
from bootc_orch.cli import app as module
from orch_frame import boundary

program = typer.Typer(cls=boundary.ReportingGroup)

@program.callback()
def group(): pass

@program.command()
def work():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaning", flush=True)
        time.sleep(float(os.environ.get("CLEANUP_SECONDS", 0)))
        print("clean", flush=True)

module.app = program
sys.argv = ["program", "work"]
module.main()
"""


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGINT, 130, id="p03-int"),
        pytest.param(signal.SIGTERM, 143, id="p02-term"),
        pytest.param(signal.SIGHUP, 129, id="p05-hup"),
    ],
)
def test_a_signal_ends_the_program_through_its_cleanup(number, status):
    with subprocess.Popen(
        [sys.executable, "-c", SIGNALLED], stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=5)
    assert process.returncode == status
    assert out == "cleaning\nclean\n"
    assert err == f"error: interrupted by {number.name}.\n"


def test_a_second_signal_ends_it_at_once_p04():
    with subprocess.Popen(
        [sys.executable, "-c", SIGNALLED],
        stdout=-1,
        stderr=-1,
        text=True,
        env={**os.environ, "CLEANUP_SECONDS": "60"},
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=5)
    assert process.returncode == -signal.SIGINT
    assert (out, err) == ("", "")


def bootc_orch(*argv: str, **options):
    return subprocess.run(
        [sys.executable, "-m", "bootc_orch", *argv], timeout=30, check=False, **options
    )


def test_a_reader_that_goes_away_ends_the_output_and_no_more_p05():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        done = bootc_orch("--version", stdout=stdout, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("reads", "told"),
    [
        pytest.param(False, False, id="the-reader"),
        pytest.param(True, True, id="a-program"),
    ],
)
def test_only_a_reader_that_goes_away_is_no_error_p05(reads, told):
    script = (
        "import sys; from orch_frame import boundary; "
        "sys.exit(boundary.report(BrokenPipeError(32, 'Broken pipe')))"
    )
    reader, writer = os.pipe()
    if not reads:
        os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=stdout, stderr=subprocess.PIPE, check=False
        )
    if reads:
        os.close(reader)
    assert (done.returncode, b"internal error" in done.stderr) == (1, told)


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    ("argv", "full", "status"),
    [
        pytest.param(("--help",), "stdout", 73, id="text"),
        pytest.param(("image", "list", "--repo", "/nope", "--json"), "stdout", 66, id="json"),
        pytest.param(("image", "list", "--repo", "/nope"), "stderr", 66, id="error"),
    ],
)
def test_a_stream_that_cannot_be_written_is_an_error_and_no_traceback(
    argv, full, status, unbuffered
):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as device:
        done = bootc_orch(*argv, **{**streams, full: device}, env=environment)
    assert done.returncode == status
    assert b"Traceback" not in (done.stdout or b"") + (done.stderr or b"")
    assert b"internal error" not in (done.stderr or b"")


def test_closed_descriptors_are_opened_before_a_file_can_take_their_place_p26():
    script = (
        "import os, sys; os.closerange(0, 3); "
        "os.execv(sys.executable, [sys.executable, '-c', 'import sys; sys.argv=[\"x\"]; "
        "from orch_frame import program; program.prepare_process(); import os; "
        'os._exit(sum(os.readlink(f"/proc/self/fd/{n}") != os.devnull for n in range(3)))\'])'
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_standard_input_is_never_read_p25(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    descriptor = os.open(tmp_path / "fifo", os.O_RDWR)  # a writer that never writes
    done = bootc_orch("image", "list", "--repo", str(tmp_path), stdin=descriptor,
                      capture_output=True)  # fmt: skip
    os.close(descriptor)
    assert done.returncode == 66


def test_a_traceback_is_shown_only_when_asked_for(tmp_path):
    argv = ["image", "list", "--repo", str(tmp_path)]
    assert b"Traceback" not in bootc_orch(*argv, capture_output=True).stderr
    assert b"Traceback" in bootc_orch("-vv", *argv, capture_output=True).stderr
    assert b"Traceback" in bootc_orch(*argv, "-vv", capture_output=True).stderr


def test_a_signal_just_before_a_blocking_call_is_not_lost_in_it():
    script = (
        "import os, signal, threading, time; from orch_frame import signals; "
        "signals.install_signal_handlers(); "
        # Taken by another thread, it does not interrupt the call, as with bad timing.
        "threading.Thread(target=lambda: (time.sleep(0.3), "
        "signal.pthread_kill(threading.get_ident(), signal.SIGTERM))).start(); "
        "time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=10, check=False, stderr=-1)
    assert b"interrupted by SIGTERM" in done.stderr
