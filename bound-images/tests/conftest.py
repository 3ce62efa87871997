"""Make the helper modules beside this file, and the package itself, importable; shared fixtures."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).resolve().parent
for directory in (HERE, HERE.parent):
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))

# How long an example takes tells of the machine; what fails is printed so that it can be repeated.
settings.register_profile(
    "tests", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

NEEDED = ("podman", "skopeo", "docker-registry", "unshare")


def pytest_configure(config):
    # A shell that runs the tests in the background, or nohup, has them ignore what they send.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    missing = [name for name in NEEDED if shutil.which(name) is None]
    for item in items:
        if item.get_closest_marker("root"):
            if os.getuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root"))
            elif missing:
                item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}"))


@pytest.fixture
def world(tmp_path):
    from world import World

    return World(tmp_path)


@pytest.fixture
def layout(tmp_path):
    from world import Layout

    return Layout(tmp_path / "layout")


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    from world import Registry

    with Registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def consumer():
    """A directory for the store of a podman that uses ours as an additional one."""
    from world import remove_tree, short_directory

    directory = short_directory()
    yield directory
    remove_tree(directory)
