from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootc_orch.model.host.deployment import Deployment, Deployments
from bootc_orch.model.host.kargs import KargsEdit
from bootc_orch.model.host.origin import Origin
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.ops.deploying.composefs import demands_composefs
from bootc_orch.ops.deploying.hooks import find_hooks
from bootc_orch.ops.deploying.wanted import Outcome, Wanted, compare
from bootc_orch.tools.mounts import is_mount_point, is_read_only_medium
from bootc_orch.tools.ostree.verity import has_verity
from bootc_orch.tools.systemd import journal_entry
from orch_frame.errors import InvalidImageError

REFERENCE = OstreeImageReference.parse("ostree-unverified-registry:quay.io/a/b:1")
OTHER = OstreeImageReference.parse("ostree-unverified-registry:quay.io/a/c:1")


def deployment(letter: str, **changes: object) -> Deployment:
    made = Deployment(
        index=0,
        stateroot="default",
        checksum=letter * 64,
        serial=0,
        path=Path("/nowhere"),
        origin=Origin.for_container(str(REFERENCE)),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def ordered(*given: Deployment) -> Deployments:
    return Deployments(tuple(replace(one, index=i) for i, one in enumerate(given)))


def names(found: Deployments) -> tuple[object, ...]:
    def letter(one: Deployment | None) -> str | None:
        return one.checksum[0] if one else None

    others = "".join(one.checksum[0] for one in found.others)
    current = (letter(found.booted), letter(found.current))
    return letter(found.staged), *current, letter(found.rollback), others, found.rollback_queued


A, B, C = (deployment(letter) for letter in "abc")


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        pytest.param((), (None, None, None, None, "", False), id="none"),
        pytest.param((A,), (None, None, "a", None, "", False), id="not-booted"),
        pytest.param((A, B), (None, None, "a", "b", "", False), id="two-not-booted"),
        pytest.param(
            (replace(A, booted=True), B, C), (None, "a", "a", "b", "c", False), id="booted"
        ),
        pytest.param(
            (A, replace(B, booted=True)), (None, "b", "b", "a", "", True), id="rollback-queued"
        ),
        pytest.param(
            (replace(A, staged=True), replace(B, booted=True), C),
            ("a", "b", "b", "c", "", False),
            id="staged",
        ),
        pytest.param(
            (replace(A, booted=True), replace(B, stateroot="other")),
            (None, "a", "a", None, "b", False),
            id="another-stateroot",
        ),
    ],
)
def test_each_deployment_has_its_part(given, parts):
    assert names(ordered(*given)) == parts


BOOTED = replace(A, booted=True)
STAGED = replace(B, staged=True)


@pytest.mark.parametrize(
    ("given", "wanted", "commit", "outcome"),
    [
        pytest.param((BOOTED,), {}, "a", Outcome.UNCHANGED, id="same"),
        pytest.param((BOOTED,), {}, "b", Outcome.QUEUED, id="new"),
        pytest.param((BOOTED,), {"force": True}, "a", Outcome.QUEUED, id="forced"),
        pytest.param(
            (BOOTED,), {"kargs": KargsEdit(append=("x",))}, "a", Outcome.QUEUED, id="kargs"
        ),
        pytest.param((STAGED, BOOTED), {}, "b", Outcome.ALREADY_STAGED, id="staged"),
        pytest.param((STAGED, BOOTED), {}, "c", Outcome.QUEUED, id="newer-than-staged"),
        pytest.param((STAGED, BOOTED), {}, "a", Outcome.QUEUED, id="back-to-booted"),
        pytest.param((BOOTED,), {"target": OTHER}, "a", Outcome.QUEUED, id="other-name"),
        pytest.param((B, BOOTED), {}, "a", Outcome.QUEUED, id="rollback-queued"),
    ],
)
def test_what_is_left_to_do_follows_from_what_boots(given, wanted, commit, outcome):
    deployments = ordered(*given)
    asked = replace(Wanted(REFERENCE, REFERENCE), **wanted)
    assert compare(deployments, deployments.booted, asked, commit * 64) is outcome


def test_a_journal_entry_with_a_newline_carries_its_length():
    entry = journal_entry({"MESSAGE": "a\nb", "PRIORITY": "6"})
    assert entry == b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=6\n"


@pytest.mark.parametrize(
    ("text", "demanded"),
    [
        ("", False),
        ("[composefs]\nenabled = yes\n", True),
        ("[composefs]\nenabled=maybe\n", False),
        ("[composefs]\nenabled=verity\n", True),
        ("[root]\ntransient = true\n", False),
    ],
)
def test_only_a_composefs_without_which_nothing_boots_is_demanded(text, demanded):
    assert demands_composefs(text) is demanded


def test_a_configuration_that_is_no_key_file_is_refused():
    with pytest.raises(InvalidImageError):
        demands_composefs("nonsense")


def test_the_administrators_hook_wins_and_a_null_link_switches_one_off(tmp_path):
    own, shipped = tmp_path / "etc", tmp_path / "usr"
    for directory, hooks in ((own, ("10-a", "20-b")), (shipped, ("10-a", "30-c", "40-d", "50-e"))):
        directory.mkdir()
        for name in hooks:
            (directory / name).touch(mode=0o755)
    (own / "30-c").symlink_to("/dev/null")
    (shipped / "40-d").chmod(0o644)
    found = find_hooks((own, shipped))
    assert found == (own / "10-a", own / "20-b", shipped / "50-e")


def test_mount_points_and_media_are_told_apart(tmp_path):
    assert is_mount_point(Path("/"))
    assert not is_mount_point(tmp_path)
    assert not is_read_only_medium(tmp_path)


def test_a_plain_file_has_no_verity(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    assert not has_verity(path)
