from __future__ import annotations

import pytest

from bootc_orch.model.host.bls import BootEntry, BootLink
from bootc_orch.model.safe_text import safe_stateroot
from orch_frame.errors import StoreDamagedError, UsageError
from orch_frame.text import escape_text

LINK = f"/ostree/boot.1/default/{'a' * 64}/0"
ENTRY = f"""\
# a comment
title Debian GNU/Linux (ostree:0)
version 2
options root=LABEL=root rw ostree={LINK}
linux /boot/ostree/default-aa/vmlinuz-6
"""


def test_an_entry_tells_its_place_and_its_deployment():
    entry = BootEntry.parse(ENTRY, name="ostree-2.conf")
    assert (entry.version, str(entry.link)) == (2, LINK)
    assert entry.get("linux") == "/boot/ostree/default-aa/vmlinuz-6"
    assert entry.get("initrd") is None


@pytest.mark.parametrize(
    "link",
    [
        "/ostree/boot.2/a/ab/0",
        f"/ostree/boot.0/a/ab/{'9' * 4401}",
        "/ostree/boot.0/a/xyz/0",
        "x",
        "",
    ],
)
def test_other_links_lead_nowhere(link):
    assert BootLink.parse(link) is None


@pytest.mark.parametrize(
    "text",
    [
        "title\n",
        "title a\x1b[31m\n",
        "tïtle x\n",
        f"version {'9' * 20}\n",
        f"version {'1' * 4401}\n",
    ],
)
def test_a_damaged_entry_is_named(text):
    with pytest.raises(StoreDamagedError, match=r"ostree-1\.conf"):
        BootEntry.parse(text, name="ostree-1.conf")


@pytest.mark.parametrize(
    ("text", "version"),
    [("9" * 19, 10**19 - 1), ("6.1-amd64", 0), ("1" * 4401 + "-x", 0), ("\u0663", 0), ("7", 7)],
)
def test_a_version_counts_if_it_is_a_number(text, version):
    assert BootEntry.parse(f"version {text}\n", name="x.conf").version == version


@pytest.mark.parametrize("name", ["", "../x", "-x", "a/b", "a\nb", ".", "a" * 200, "x."])
def test_a_stateroot_cannot_leave_its_directory(name):
    with pytest.raises(UsageError):
        safe_stateroot(name)


def test_control_characters_are_shown_as_escapes():
    assert escape_text("a\x1b[1mb\u202ec\n") == "a\\x1b[1mb\\u202ec\\n"
