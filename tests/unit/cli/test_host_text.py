"""The status of a host as people read it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootc_orch.cli.terminal.host_text import say_host
from bootc_orch.model.host.document import EntryStatus, Host, HostSpec, ImageStatus, UsrOverlay
from bootc_orch.model.image.reference import OstreeImageReference
from orch_frame import output

REFERENCE = OstreeImageReference.parse("ostree-unverified-registry:quay.io/a/b:1")
SIGNED = OstreeImageReference.parse("ostree-image-signed:docker://quay.io/a/b:1")
ONE = ImageStatus(REFERENCE, "sha256:1", "amd64", "1.0", "2025-01-02T03:04:05Z")
TWO = ImageStatus(REFERENCE, "sha256:2", "amd64")
BOOTED = EntryStatus("b" * 64, 0, "os", ONE)
STAGED = EntryStatus("c" * 64, 1, "os", TWO)
PLAIN = EntryStatus("d" * 64, 0, "os", refspec="debian:stable/amd64")


@pytest.fixture(autouse=True)
def _fresh_output():
    output.reset()


@pytest.fixture
def shown(capsys):
    def show(host, *, verbose=False):
        say_host(host, verbose=verbose)
        return capsys.readouterr().out.splitlines()

    return show


def host(**parts):
    return replace(Host(HostSpec()), **parts)


def test_a_machine_without_any_deployment_says_so(shown):
    assert shown(host()) == ["System is not deployed via bootc."]


def test_each_deployment_has_a_block_and_the_running_one_a_mark(shown):
    found = shown(host(staged=STAGED, booted=BOOTED, rollback=PLAIN))
    assert found == [
        "  Staged image: quay.io/a/b:1",
        "         Digest: sha256:2 (amd64)",
        "",
        "● Booted image: quay.io/a/b:1",
        "         Digest: sha256:1 (amd64)",
        "        Version: 1.0 (2025-01-02T03:04:05Z)",
        "",
        "  Rollback ostree: debian:stable/amd64",
        f"         Commit: {'d' * 64}",
    ]


def test_what_is_not_booted_is_shown_as_other_deployments(shown):
    bare = replace(PLAIN, refspec=None)
    assert shown(host(others=(bare,))) == ["  Other ostree", f"         Commit: {'d' * 64}"]


@pytest.mark.parametrize(
    ("image", "line"),
    [
        pytest.param(replace(ONE, version=None), "unknown (2025-01-02T03:04:05Z)", id="date"),
        pytest.param(replace(ONE, timestamp=None), "1.0", id="version"),
    ],
)
def test_a_version_or_a_date_alone_is_shown(shown, image, line):
    found = shown(host(booted=replace(BOOTED, image=image)))
    assert found[2] == f"        Version: {line}"


@pytest.mark.parametrize(
    ("staged", "lines"),
    [
        pytest.param(None, ["  UpdateVersion: 3.0 (sha256:3)"], id="not-staged"),
        pytest.param(STAGED, ["  UpdateVersion: 3.0 (sha256:3)"], id="another-staged"),
        pytest.param(
            replace(STAGED, image=replace(TWO, digest="sha256:3")), [], id="the-same-staged"
        ),
    ],
)
def test_what_the_last_check_found_is_told_until_it_is_staged(shown, staged, lines):
    found = replace(BOOTED, cached_update=ImageStatus(REFERENCE, "sha256:3", "amd64", "3.0"))
    text = shown(host(booted=found, staged=staged))
    assert [line for line in text if "UpdateVersion" in line] == lines


def test_an_update_without_a_version_is_told_by_its_digest(shown):
    found = replace(BOOTED, cached_update=TWO)
    assert shown(host(booted=found))[-1] == "  UpdateVersion: unknown (sha256:2)"


def test_what_is_special_about_a_deployment_is_told(shown):
    special = replace(STAGED, pinned=True, incompatible=True, download_only=True)
    assert shown(host(staged=special, booted=BOOTED))[2:5] == [
        "         Pinned: yes",
        "   Incompatible: changed by rpm-ostree",
        "  Download-only: yes",
    ]


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        pytest.param(
            {"rollback": PLAIN, "rollback_queued": True},
            ["", "The rollback boots next."],
            id="rollback",
        ),
        pytest.param(
            {"others": (PLAIN,), "next_boot": f"{'d' * 64}.0"},
            ["", f"Deployment {'d' * 64}.0 boots next."],
            id="another",
        ),
        pytest.param(
            {"usr_overlay": UsrOverlay("readWrite", "transient")},
            ["", "/usr has an overlay: readWrite, transient"],
            id="overlay",
        ),
    ],
)
def test_what_boots_next_and_an_overlay_stand_below(shown, parts, lines):
    assert shown(host(booted=BOOTED, **parts))[-2:] == lines


def test_what_is_staged_boots_next_so_nothing_else_is_said_to(shown):
    parts = {"rollback": PLAIN, "rollback_queued": True, "next_boot": f"{'c' * 64}.1"}
    assert not [
        line
        for line in shown(host(booted=BOOTED, staged=STAGED, **parts))
        if line.endswith("boots next.")
    ]


def test_on_request_all_that_is_known_is_shown(shown):
    app = {"image": "quay.io/app:1", "imageDigest": "sha256:9", "imageID": "8"}
    full = replace(BOOTED, image=replace(ONE, image=SIGNED), bound_images=(app,))
    assert shown(host(booted=full), verbose=True)[3:] == [
        "      Stateroot: os",
        f"     Deployment: {'b' * 64}.0",
        "      Transport: registry",
        "      Signature: containerPolicy",
        "          Bound: quay.io/app:1 (sha256:9)",
    ]
    unsigned = shown(host(booted=BOOTED), verbose=True)
    assert "      Signature: none demanded" in unsigned
    assert shown(host(booted=PLAIN), verbose=True)[2:] == [
        "      Stateroot: os",
        f"     Deployment: {'d' * 64}.0",
    ]
