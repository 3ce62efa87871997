"""The command lines for sysroots; tests/integration/host runs them for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootc_orch.tools.ostree import admin
from bootc_orch.tools.ostree.admin import DeployOptions, OstreeAdmin
from bootc_orch.tools.ostree.repo import ostree_version
from orch_frame.errors import ToolError

ROOT = Path("/sysroot")
ORIGIN = Path("/tmp/origin")


@pytest.fixture
def ostree(programs):
    programs.register(["ostree", "admin", programs.any()], occurrences=9)
    ostree_version.cache_clear()
    yield programs
    ostree_version.cache_clear()


def commands(programs):
    return [list(call) for call in programs.calls if list(call)[1] == "admin"]


def of_version(programs, text):
    programs.register(["ostree", "--version"], stdout=f"libostree:\n Version: '{text}'\n")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        pytest.param(lambda it: it.os_init("os"), ["os-init", "os"], id="stateroot"),
        pytest.param(lambda it: it.undeploy(2), ["undeploy", "2"], id="undeploy"),
        pytest.param(lambda it: it.pin(0, pinned=True), ["pin", "0"], id="pin"),
        pytest.param(lambda it: it.pin(1, pinned=False), ["pin", "--unpin", "1"], id="unpin"),
        pytest.param(lambda it: it.unlock(), ["unlock"], id="unlock"),
        pytest.param(lambda it: it.unlock(hotfix=True), ["unlock", "--hotfix"], id="hotfix"),
        pytest.param(
            lambda it: it.unlock(transient=True), ["unlock", "--transient"], id="transient"
        ),
        pytest.param(lambda it: it.cleanup(), ["cleanup"], id="cleanup"),
    ],
)
def test_each_verb_names_its_sysroot(ostree, call, words):
    call(OstreeAdmin(ROOT))
    verb, *arguments = words
    assert commands(ostree) == [["ostree", "admin", verb, "--sysroot=/sysroot", *arguments]]


def test_an_empty_root_is_named_by_itself(ostree):
    OstreeAdmin(ROOT).init_fs()
    assert commands(ostree) == [["ostree", "admin", "init-fs", "--modern", "/sysroot"]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(DeployOptions("os"), [], id="carried over arguments"),
        pytest.param(DeployOptions("os", kargs=()), ["--karg-none"], id="no arguments"),
        pytest.param(
            DeployOptions("os", kargs=("a", "b=1")),
            ["--karg-none", "--karg-append=a", "--karg-append=b=1"],
            id="arguments",
        ),
        pytest.param(
            DeployOptions("os", stage=True, locked=True),
            ["--stage", "--lock-finalization"],
            id="staged and locked",
        ),
        pytest.param(
            DeployOptions("os", retain=True, default=False),
            ["--retain", "--not-as-default"],
            id="beside all others",
        ),
    ],
)
def test_a_deployment_is_made_as_it_is_asked_for(ostree, options, words):
    OstreeAdmin(ROOT).deploy("1" * 64, ORIGIN, options)
    start = ["ostree", "admin", "deploy", "--sysroot=/sysroot", "--os=os"]
    assert commands(ostree) == [
        [*start, "--origin-file=/tmp/origin", "--no-prune", *words, "1" * 64]
    ]


@pytest.mark.parametrize(
    ("call", "oldest", "too_old", "words"),
    [
        pytest.param(
            lambda it: it.set_default(1), "2023.6", "2023.5", ["set-default", "1"], id="default"
        ),
        pytest.param(
            lambda it: it.lock_finalization(locked=True),
            "2023.8",
            "2022.9",
            ["lock-finalization"],
            id="lock",
        ),
        pytest.param(
            lambda it: it.lock_finalization(locked=False),
            "2024.1",
            "2023.7",
            ["lock-finalization", "--unlock"],
            id="release",
        ),
    ],
)
def test_newer_verbs_need_a_version_that_has_them(ostree, call, oldest, too_old, words):
    of_version(ostree, oldest)
    call(OstreeAdmin(ROOT))
    verb, *arguments = words
    assert commands(ostree) == [["ostree", "admin", verb, "--sysroot=/sysroot", *arguments]]
    ostree_version.cache_clear()
    of_version(ostree, too_old)
    with pytest.raises(ToolError, match=f"ostree {too_old} is too old for"):
        call(OstreeAdmin(ROOT))
    assert len(commands(ostree)) == 1


@pytest.mark.parametrize(
    ("version", "found"), [("2023.7", False), ("2023.8", True), ("2024.1", True)]
)
def test_what_a_version_has_can_be_asked(ostree, version, found):
    of_version(ostree, version)
    assert admin.has((2023, 8)) is found
