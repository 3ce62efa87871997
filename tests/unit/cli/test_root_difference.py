"""What a new root changes, said for people and for programs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootc_orch.cli.terminal.root_difference import detail_lines, difference_json, summary_lines
from bootc_orch.model.packages.package import (
    Package,
    PackageChange,
    PackageDifference,
    PackageManager,
)
from bootc_orch.ops.difference.package_databases import ManagedPackages
from bootc_orch.ops.difference.root_difference import RootDifference, System
from bootc_orch.ops.difference.tree_difference import TreeDifference
from orch_frame import output

OLD = System(f"{'ab' * 32}.1", "1", "6.1")
NEW = System(None, "2", "6.6")


def package(name, version="1", architecture="amd64"):
    return Package(name, architecture, version)


CHANGES = PackageDifference(
    added=(package("zsh", "5.9"), package("libc6", architecture="i386")),
    removed=(package("nano", "7"),),
    upgraded=(PackageChange(package("libc6", "2.36"), package("libc6", "2.41")),),
    downgraded=(PackageChange(package("vim", "9.1"), package("vim", "9.0")),),
)
DPKG = ManagedPackages(
    PackageManager.DPKG, "var/lib/dpkg/status", "usr/lib/sysimage/dpkg/status", CHANGES
)
FILES = TreeDifference(added=("/usr/a",), removed=("/usr/r", "/usr/s"), changed=("/usr/c",))
FOUND = RootDifference(OLD, NEW, ("quiet",), ("debug", "nosmt"), (DPKG,), FILES)
NO_FILES = TreeDifference(added=(), removed=(), changed=())
SAME = RootDifference(OLD, OLD, (), (), (), NO_FILES)
FIRST = replace(FOUND, old=None, removed_kargs=())


@pytest.fixture(autouse=True)
def _fresh_output():
    output.reset()
    yield
    output.reset()


def test_a_summary_counts_what_is_lost_before_what_is_new():
    assert list(summary_lines(FOUND)) == [
        "Compared with: version 1 (deployment abababababab.1)",
        "Version: 1 -> 2",
        "Kernel: 6.1 -> 6.6",
        "Kernel arguments: -debug -nosmt +quiet",
        "Packages (dpkg): 1 removed, 1 downgraded, 1 upgraded, 2 added",
        "Files and directories: 2 removed, 1 changed, 1 added",
    ]


def test_a_root_that_changes_nothing_says_so_of_each():
    assert list(summary_lines(SAME)) == [
        "Compared with: version 1 (deployment abababababab.1)",
        "Version: 1, unchanged",
        "Kernel: 6.1, unchanged",
        "Kernel arguments: unchanged",
        "Packages: unknown, as there is no database of dpkg, rpm or apk",
        "Files and directories: unchanged",
    ]


def test_a_first_system_is_compared_with_nothing():
    assert list(summary_lines(FIRST))[:4] == [
        "Compared with: nothing, as there is no deployment to take over from",
        "Version: 2",
        "Kernel: 6.6",
        "Kernel arguments: +quiet",
    ]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        pytest.param(
            replace(OLD, version=None, kernel=None),
            NEW,
            [
                "Compared with: deployment abababababab.1",
                "Version: unknown -> 2",
                "Kernel: unknown -> 6.6",
            ],
            id="the old one",
        ),
        pytest.param(
            replace(OLD, version=None, kernel=None),
            replace(NEW, version=None, kernel=None),
            ["Compared with: deployment abababababab.1", "Version: unknown", "Kernel: unknown"],
            id="both",
        ),
    ],
)
def test_what_is_not_known_of_a_system_is_called_unknown(old, new, lines):
    assert list(summary_lines(replace(FOUND, old=old, new=new)))[:3] == lines


@pytest.mark.parametrize(
    ("managed", "found", "line"),
    [
        pytest.param(
            replace(DPKG, old=None, difference=PackageDifference(added=(package("a"),))),
            FOUND,
            "Packages (dpkg): 1 added (the old system has no such database)",
            id="only-new",
        ),
        pytest.param(
            replace(DPKG, old=None, difference=PackageDifference(added=(package("a"),))),
            FIRST,
            "Packages (dpkg): 1 added",
            id="first",
        ),
        pytest.param(
            replace(DPKG, new=None, difference=PackageDifference(removed=(package("a"),))),
            FOUND,
            "Packages (dpkg): 1 removed (the new system has no such database)",
            id="only-old",
        ),
        pytest.param(
            replace(DPKG, difference=None, problem="rpm is not installed."),
            FOUND,
            "Packages (dpkg): unknown: rpm is not installed.",
            id="problem",
        ),
    ],
)
def test_a_database_that_only_one_system_has_is_told(managed, found, line):
    assert list(summary_lines(replace(found, packages=(managed,))))[4] == line


def test_each_package_is_named_and_those_of_one_name_with_their_architecture():
    assert list(detail_lines(FOUND)) == [
        "  removed: nano 7",
        "  downgraded: vim 9.1 -> 9.0",
        "  upgraded: libc6:amd64 2.36 -> 2.41",
        "  added: zsh 5.9",
        "  added: libc6:i386 1",
    ]


def test_paths_are_named_on_request_only_and_the_packages_of_a_first_system_too():
    assert list(detail_lines(FIRST)) == []
    output.mode.verbose = True
    paths = ["  removed: /usr/r", "  removed: /usr/s", "  changed: /usr/c", "  added: /usr/a"]
    assert list(detail_lines(FOUND))[5:] == paths
    assert list(detail_lines(FIRST))[5:] == paths
    unknown = replace(DPKG, difference=None, problem="why")
    assert list(detail_lines(replace(FOUND, packages=(unknown,)))) == paths


def test_programs_get_every_value():
    assert difference_json(FOUND) == {
        "old": {"deployment": f"{'ab' * 32}.1", "version": "1", "kernel": "6.1"},
        "new": {"deployment": None, "version": "2", "kernel": "6.6"},
        "kernel_arguments": {"added": ["quiet"], "removed": ["debug", "nosmt"]},
        "packages": [
            {
                "manager": "dpkg",
                "old_database": "/var/lib/dpkg/status",
                "new_database": "/usr/lib/sysimage/dpkg/status",
                "problem": None,
                "added": [
                    {"name": "zsh", "architecture": "amd64", "version": "5.9"},
                    {"name": "libc6", "architecture": "i386", "version": "1"},
                ],
                "removed": [{"name": "nano", "architecture": "amd64", "version": "7"}],
                "upgraded": [
                    {
                        "name": "libc6",
                        "architecture": "amd64",
                        "old_version": "2.36",
                        "new_version": "2.41",
                    }
                ],
                "downgraded": [
                    {
                        "name": "vim",
                        "architecture": "amd64",
                        "old_version": "9.1",
                        "new_version": "9.0",
                    }
                ],
            }
        ],
        "files": {"added": ["/usr/a"], "removed": ["/usr/r", "/usr/s"], "changed": ["/usr/c"]},
    }


def test_programs_get_null_for_what_there_is_not():
    unknown = ManagedPackages(PackageManager.RPM, None, None, None, "why")
    found = difference_json(replace(FIRST, packages=(unknown,)))
    assert found["old"] is None
    assert found["packages"] == [
        {
            "manager": "rpm",
            "old_database": None,
            "new_database": None,
            "problem": "why",
            "added": None,
            "removed": None,
            "upgraded": None,
            "downgraded": None,
        }
    ]
