"""Policies that come with an image: what is shown to libselinux, and for how long it is asked."""

from __future__ import annotations

import stat
import struct
import time
from pathlib import Path

import pytest

from bootc_orch.stream.selinux import Labeler
from orch_frame import file_contexts
from orch_frame.errors import InvalidImageError, LimitError, ToolError
from orch_frame.file_contexts import check_rules, is_text

CONTEXT = "system_u:object_r:usr_t:s0"
FILE = stat.S_IFREG | 0o644


def labeler(directory: Path, *rules: str) -> Labeler:
    path = directory / "file_contexts"
    path.write_text("".join(f"{rule} {CONTEXT}\n" for rule in rules))
    try:
        return Labeler(path, "0" * 64, name="evil")
    except ToolError:
        pytest.skip("libselinux is not installed")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("file_contexts", True), ("file_contexts.local", True), ("file_contexts.subs_dist", True),
        ("file_contexts.homedirs", True), ("file_contexts.bin", False),
        ("file_contexts.local.bin", False), ("file_contexts.homedirs.bin", False),
        ("media", False), (".bin", False),
    ],
)  # fmt: skip
def test_compiled_files_of_a_policy_stay_behind(name, text):
    assert is_text(name) == text


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_compiled_file_is_refused_whatever_its_name_is(order):
    data = struct.pack(f"{order}I", 0xF97CFF8A) + b"\0" * 100
    with pytest.raises(InvalidImageError, match="of the SELinux policy x is compiled"):
        check_rules("file_contexts", data, policy="x")


ORDINARY = (
    "/.*", "/usr/lib(/.*)?", r"/usr/(local/)?.*\.so(\.[^/]*)*", "/home/[^/]+/.+", "/dev/[0-9]+",
    r"/usr/lib/.*/program\+\+(/.*)?", r"/etc/\.pwd\.lock", "/opt/(.*/)?lib(/.*)?",
)  # fmt: skip
HEAVY = ("/usr/(x+x+)+y", "/(a*)*b", "/x*x*x*x*x*y", "/(a+){2,}", "/.*/.*/.*", "/(.*|b)+c")


def test_the_rules_of_a_real_policy_are_let_pass(monkeypatch):
    monkeypatch.setattr(file_contexts, "MAX_HEAVY_RULES", 1)
    text = "# (x+)+\n\n" + "".join(f"{rule} -- {CONTEXT}\n" for rule in ORDINARY)
    check_rules("file_contexts", text.encode(), policy="x")


@pytest.mark.parametrize("rule", HEAVY)
def test_rules_that_repeat_repetitions_are_counted(monkeypatch, rule):
    monkeypatch.setattr(file_contexts, "MAX_HEAVY_RULES", 1)
    check_rules("file_contexts", f"{rule} {CONTEXT}\n".encode(), policy="x")
    with pytest.raises(LimitError, match="file_contexts of the SELinux policy x has 2 rules"):
        check_rules("file_contexts", f"{rule} {CONTEXT}\n".encode() * 2, policy="x")


@pytest.mark.parametrize(
    "data", [b"/x y\n" * (file_contexts.MAX_RULES + 1), b"#" * (file_contexts.MAX_BYTES + 1)]
)
def test_a_policy_larger_than_any_real_one_is_refused(data):
    with pytest.raises(LimitError, match="SELinux policy x has more than"):
        check_rules("file_contexts.local", data, policy="x")


@pytest.mark.parametrize(
    "line", [b"/" + b"(" * 100_000, b"/" + b"(a*" * 50_000, b"/" + b"\\" * 100_000, b"/a*" * 50_000]
)
def test_rules_are_counted_in_a_time_that_their_length_bounds(line):
    began = time.monotonic()
    check_rules("file_contexts", line, policy="x")
    assert time.monotonic() - began < 5


def test_a_policy_that_takes_too_long_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(file_contexts, "BASE_SECONDS", 0.5)
    policy = labeler(tmp_path, *["/usr/(x+x+)+y"] * 20)
    names = [b"/usr/" + b"x" * 40 + b"yz%d" % number for number in range(1000)]
    began = time.monotonic()
    with pytest.raises(LimitError, match="The SELinux policy evil takes too long"):
        [policy.label(name, FILE) for name in names]
    assert time.monotonic() - began < 60


def test_many_quick_answers_cost_nothing_of_the_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(file_contexts, "BASE_SECONDS", 0.0)
    policy = labeler(tmp_path, "/usr(/.*)?")
    for number in range(2000):
        assert policy.label(b"/usr/%d" % number, FILE) == f"{CONTEXT}\0".encode()
