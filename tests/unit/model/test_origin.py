from __future__ import annotations

import pytest

from bootc_orch.model.host.origin import Origin, OriginKind
from orch_frame.errors import InvalidImageError, StoreDamagedError

REFERENCE = "ostree-unverified-registry:quay.io/a/b:1"


def test_the_origin_of_an_image_is_byte_for_byte_bootcs():
    expected = f"[origin]\ncontainer-image-reference={REFERENCE}\n"
    assert str(Origin.for_container(REFERENCE)) == expected


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param("", OriginKind.NONE, id="empty"),
        pytest.param("[origin]\nrefspec=r:b/x\n", OriginKind.REFSPEC, id="refspec"),
        pytest.param("[origin]\nbaserefspec=r:b\n", OriginKind.REFSPEC, id="baserefspec"),
        pytest.param(
            f"[origin]\ncontainer-image-reference={REFERENCE}\n", OriginKind.CONTAINER, id="image"
        ),
        pytest.param(
            f"[origin]\ncontainer-image-reference={REFERENCE}\n[packages]\nrequested=vim\n",
            OriginKind.LAYERED,
            id="layered",
        ),
        pytest.param(
            "[origin]\nrefspec=r:b\n[overrides]\nremove=x\n", OriginKind.LAYERED, id="overrides"
        ),
    ],
)
def test_what_a_deployment_follows_is_told_by_its_groups(text, kind):
    assert Origin.parse(text).kind is kind


def test_comments_blanks_and_escapes_are_understood():
    origin = Origin.parse("# made by hand\n\n[origin]\n container-image-reference = a\\sb\\\\c \n")
    assert origin.container == "a b\\c"


def test_the_state_of_one_deployment_does_not_pass_to_the_next():
    origin = Origin.parse(
        "[origin]\nrefspec=b\nunlocked=hotfix\n\n[libostree-transient]\npinned=true\n"
    )
    assert (origin.pinned, origin.unlocked) == (True, "hotfix")
    assert str(origin.without_transient()) == "[origin]\nrefspec=b\n"


@pytest.mark.parametrize("text", ["key=value\n", "[origin]\nnonsense\n", "[origin]\n=x\n"])
def test_a_damaged_file_is_named(text):
    with pytest.raises(StoreDamagedError, match=r"x\.origin: line"):
        Origin.parse(text, source="x.origin")


@pytest.mark.parametrize("reference", ["docker://a\n[evil]", "a\tb", "a\x00b", "a\x85b"])
def test_a_reference_cannot_write_lines_of_its_own(reference):
    with pytest.raises(InvalidImageError):
        Origin.for_container(reference)


def test_a_leading_blank_survives_the_way_through_a_file():
    written = str(Origin.for_container(" x"))
    assert written.endswith("=\\sx\n")
    assert Origin.parse(written).container == " x"
