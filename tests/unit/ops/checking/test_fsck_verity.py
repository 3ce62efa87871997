"""Objects without fs-verity matter only where the configuration demands it."""

from __future__ import annotations

import errno
import fcntl

import pytest
from support.handmade import HandmadeRepo, Link

from bootc_orch.ops.checking.finding import Finding, Remedy, Severity
from bootc_orch.ops.checking.fsck_verity import check_verity


@pytest.fixture
def made(tmp_path):
    made = HandmadeRepo(tmp_path / "repo")
    made.commit({"a": b"1", "link": Link("a")})
    return made


def demand(made, text):
    with (made.path / "config").open("a") as config:
        config.write(text)


def answer(monkeypatch, number):
    """Have the kernel answer as a filesystem does whose files have, or cannot have, fs-verity."""

    def ioctl(*_):
        if number:
            raise OSError(number, "from the kernel")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)


@pytest.mark.parametrize("value", ["yes", "true", "1", "Yes"])
def test_every_object_needs_it_where_it_is_demanded(made, monkeypatch, value):
    answer(monkeypatch, errno.ENODATA)
    demand(made, f"[ex-integrity]\nfsverity={value}\n")
    name = f"{made.file(b'1')}.file"
    assert list(check_verity(made.repo)) == [
        Finding(
            "missing-verity", name, f"Object {name} has no fs-verity (1 in all).", Remedy.VERITY
        )
    ]


@pytest.mark.parametrize(
    "text",
    ["", "[ex-integrity]\nfsverity=no\n", "[ex-integrity]\nfsverity=maybe\n", "[ex-integrity\n"],
)
def test_nothing_is_looked_at_where_it_is_not_demanded(made, monkeypatch, text):
    answer(monkeypatch, errno.ENODATA)
    demand(made, text)
    assert list(check_verity(made.repo)) == []


def test_objects_that_have_it_are_no_findings(made, monkeypatch):
    answer(monkeypatch, 0)
    demand(made, "[ex-integrity]\nfsverity=yes\n")
    assert list(check_verity(made.repo)) == []


@pytest.mark.parametrize("number", [errno.ENOTTY, errno.EOPNOTSUPP])
def test_a_filesystem_that_does_not_know_it_is_named_once(made, monkeypatch, number):
    answer(monkeypatch, number)
    made.file(b"2")
    demand(made, "[ex-integrity]\nfsverity=yes\n")
    assert list(check_verity(made.repo)) == [
        Finding(
            "no-verity",
            str(made.path),
            "The repository demands fs-verity, which its filesystem does not have.",
            Remedy.VERITY,
            Severity.WARNING,
        )
    ]


def test_of_many_objects_ten_are_named_with_the_count_of_all(made, monkeypatch):
    answer(monkeypatch, errno.ENODATA)
    names = sorted(f"{made.file(bytes([number]))}.file" for number in range(12))
    made.object(f"{made.file(b'1')}.file").unlink()
    demand(made, "[ex-integrity]\nfsverity=yes\n")
    found = list(check_verity(made.repo))
    assert [finding.subject for finding in found] == names[:10]
    assert found[0].detail == f"Object {names[0]} has no fs-verity (12 in all)."
