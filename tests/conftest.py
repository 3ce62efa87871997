"""Fixtures that build worlds: repositories, layouts, registries; their ground is in `support`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support.host import MakeOs, make_os
from support.images import TEST_IMAGES_VARIABLE, debian_layout, layout_of
from support.ostree import init_repo
from support.registry import Registry, running_registry

# How long an example takes tells of the machine; what fails is printed so that it can be repeated.
settings.register_profile(
    "tests", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    # A shell that runs the tests in the background, or nohup, has them ignore what they send.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Spread the tests by `support.scheduling`."""
    from support.scheduling import Groups

    return Groups(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")
    if item.get_closest_marker("debian_images") and debian_layout() is None:
        pytest.skip(f"{TEST_IMAGES_VARIABLE} does not name the Debian images")


@pytest.fixture
def repo(tmp_path: Path) -> Callable[[str], Path]:
    """Make an empty repository of a mode: ``repo("bare-user")``."""
    return lambda mode="bare": init_repo(tmp_path / f"repo-{mode}", mode)


@pytest.fixture
def oci_layout_of(tmp_path: Path) -> Callable[..., Path]:
    """Make a layout of its own for one fixture image: ``oci_layout_of("derived")``."""
    return lambda name, **options: layout_of(name, tmp_path / f"layout-{name}", **options)


@pytest.fixture
def os_image(tmp_path: Path) -> MakeOs:
    """Write images to directories of their own: ``os_image(2, files={…})``."""
    count = iter(range(100))
    return lambda number=1, **options: make_os(
        tmp_path / f"os-{number}-{next(count)}", number, **options
    )


@pytest.fixture
def make_registry(tmp_path: Path) -> Iterator[Callable[..., Registry]]:
    """Start registries that stop with the test: ``make_registry(password=True, tls=True)``."""
    with ExitStack() as stack:
        started: list[Registry] = []

        def make(**options: bool) -> Registry:
            directory = tmp_path / f"registry-{len(started)}"
            started.append(stack.enter_context(running_registry(directory, **options)))
            return started[-1]

        yield make


@pytest.fixture
def registry(make_registry: Callable[..., Registry]) -> Registry:
    """A registry on loopback that speaks plain HTTP and asks for no password."""
    return make_registry()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests had the Debian images: a run that meant to have them can check it."""
    ran = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and "debian_images" in report.keywords
    ]
    terminalreporter.write_line(f"tests with Debian images: {len(ran)}")
