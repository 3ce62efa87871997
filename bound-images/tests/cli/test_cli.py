"""The command line itself: how it starts, what it loads, and how it complains."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import tomllib

import pytest
from world import PACKAGE_PARENT, bound_images, command_line

import bound_images as package

PROJECT = PACKAGE_PARENT.parent / "pyproject.toml"
HEAVY = {"sh", "asyncio", "tenacity", "yaml", "rich"}


def loaded(*arguments):
    """Return the modules that a command loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bound_images", *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_the_version_is_that_of_the_distribution():
    project = tomllib.loads(PROJECT.read_text())
    assert project["project"]["dynamic"] == ["version"]
    place = PROJECT.parent / project["tool"]["hatch"]["version"]["path"]
    [version] = re.findall(r'^__version__ = "(.*)"$', place.read_text(), re.MULTILINE)
    assert bound_images("--version").stdout == f"bound-images {version}\n"


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "bound_images", "--version"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, f"bound-images {package.__version__}\n")


def test_version_loads_nothing_of_the_library():
    modules = loaded("--version")
    assert modules & (HEAVY | {"bound_images.units.scan", "bound_images.storage.store"}) == set()


def test_a_list_loads_what_reads_definitions_alone(world):
    world.bind_image("app", "quay.io/example/app:1")
    modules = loaded("list", "--root", world.root)
    assert "bound_images.units.scan" in modules
    assert modules & (HEAVY | {"bound_images.storage.store", "bound_images.programs"}) == set()


def test_a_name_of_the_interface_is_never_hidden_by_a_module():
    script = (
        "import pkgutil, importlib, types, bound_images\n"
        "for module in pkgutil.walk_packages(bound_images.__path__, 'bound_images.'):\n"
        "    module.name.endswith('__main__') or importlib.import_module(module.name)\n"
        "found = {name: getattr(bound_images, name) for name in bound_images.__all__}\n"
        "assert not [n for n, value in found.items() if isinstance(value, types.ModuleType)]\n"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        check=True,
    )


def test_the_interface_is_the_same_for_the_type_checker_and_at_run_time():
    tree = ast.parse((PACKAGE_PARENT / "bound_images/__init__.py").read_text())
    places = {
        alias.asname or alias.name: (node.module.partition(".")[2], alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("bound_images.")
        for alias in node.names
    }
    assert places == package._PLACES
    assert sorted(places) == sorted(package.__all__)


def test_a_name_that_the_interface_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["lsit"], "No such command 'lsit'", id="command"),
        pytest.param(["list", "--rot=/"], "No such option: --rot", id="option"),
        pytest.param(["explain"], "Missing argument", id="argument"),
        pytest.param(["sync", "--jobs=none"], "Invalid value for '--jobs'", id="value"),
        pytest.param(["sync", "--jobs=0"], "Invalid value for '--jobs'", id="range"),
        pytest.param(["list", "--root="], "Invalid value for '--root'", id="empty-path"),
        pytest.param(["check", "--root-id=../x"], "Invalid value for '--root-id'", id="name"),
        pytest.param(["sync", "--locked", "--refresh"], "--refresh asks", id="locked-refresh"),
        pytest.param(["sync", "--offline", "--refresh"], "--refresh asks", id="offline-refresh"),
    ],
)
def test_a_wrong_command_line_is_exit_2_in_text_and_json(arguments, message):
    text = bound_images(*arguments)
    assert text.returncode == 2
    assert text.stdout == ""
    assert text.stderr.startswith(f"error: {message}")
    done = bound_images(*arguments, "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["message"].startswith(message)
    assert (error["class"], error["exit"]) == ("usage", 2)


def test_findings_are_printed_in_one_format():
    done = bound_images("lint", "--json", "--format=sarif")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["class"] == "usage"


def test_without_a_command_the_help_is_shown():
    done = bound_images()
    assert done.returncode == 2
    assert "explain" in done.stdout + done.stderr


def test_closed_standard_streams_are_survived(world):
    world.bind_image("app", "quay.io/example/app:1")
    script = 'exec "$@" >&- 2>&-'
    done = bound_images("list", "--root", world.root, prefix=["sh", "-c", script, "sh"])
    assert done.returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    ("redirection", "argv", "status"),
    [
        pytest.param(">/dev/full", ["--version"], 73, id="result"),
        pytest.param(">/dev/full", ["list", "--root", "/nope", "--json"], 66, id="error-as-json"),
        pytest.param("2>/dev/full", ["list", "--root", "/nope"], 66, id="error"),
    ],
)
def test_a_stream_that_cannot_be_written_is_an_error_and_no_traceback(
    redirection, argv, status, unbuffered
):
    prefix = ["sh", "-c", f'exec "$@" {redirection}', "sh"]
    done = bound_images(*argv, prefix=prefix, env={"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == status
    assert "Traceback" not in done.stdout + done.stderr
    assert "internal error" not in done.stdout + done.stderr


def test_a_name_that_is_no_text_is_printed_all_the_same(world):
    link = world.root / "usr/lib/bootc/bound-images.d" / os.fsdecode(b"\xff.image")
    link.symlink_to("/usr/share/containers/systemd/a.image")
    done = bound_images("list", "--root", world.root, env={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert done.returncode == 65
    assert "is not UTF-8" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_with_its_status(world, number):
    state = world.state
    state.mkdir(parents=True)
    with hold_lock(state):
        process = waiting(world)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors


def test_a_signal_that_is_ignored_from_the_start_stays_so(world):
    state = world.state
    state.mkdir(parents=True)
    with hold_lock(state):
        process = waiting(world, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.terminate()
        process.communicate(timeout=20)


def hold_lock(state):
    from bound_images.locking import locked

    return locked(state)


def waiting(world, **more):
    """Start a command that waits for the lock of the store; return it once it does."""
    world.store.mkdir(parents=True, exist_ok=True)
    (world.state / "lock.json").write_text('{"version": 1, "images": []}')
    process = subprocess.Popen(
        [*command_line(), "check", "--root", world.root, "--lock", world.state / "lock.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )
    assert "Waiting" in process.stderr.readline()
    return process
