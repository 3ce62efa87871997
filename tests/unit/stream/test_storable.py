"""What can be stored is decided in one place, for all modes of repositories."""

from __future__ import annotations

import errno
import os

import pytest

from bootc_orch.model.gvariant import encode_xattrs
from bootc_orch.stream import storable
from bootc_orch.stream.storable import (
    XATTRS_BYTES_MAX,
    check_names,
    check_serialized_xattrs,
    check_target,
    check_xattrs,
    set_xattrs,
)
from orch_frame.errors import InvalidImageError, LimitError

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param((), id="none"),
        pytest.param(((b"user.a\0", b"1"), (b"user.b\0", b"2")), id="in-order"),
        pytest.param(((b"security.capability\0", CAPABILITY),), id="capability"),
        pytest.param(((b"security.selinux\0", b"a:b:c:s0\0"), (b"user.a\0", b"1")), id="label"),
        pytest.param(((b"system.posix_acl_access\0", b"\2\0\0\0"),), id="acl"),
        pytest.param(((b"user." + b"n" * 250 + b"\0", b"1"),), id="longest-name"),
    ],
)
def test_attributes_that_the_kernel_takes_can_be_stored(pairs):
    check_xattrs(pairs, of="x")
    check_serialized_xattrs(encode_xattrs(pairs), of="x")


@pytest.mark.parametrize("link", [False, True])
def test_an_answer_for_files_is_none_for_links(link):
    """The answers are remembered."""
    data = encode_xattrs(((b"user.note\0", b"1"),))
    for _ in range(2):
        check_serialized_xattrs(data, of="x")
        with pytest.raises(InvalidImageError, match=r"y is a symbolic link.*user\.note"):
            check_serialized_xattrs(data, of="y", link=True)


def test_the_attributes_of_a_file_fit_into_one_attribute():
    """As ``bare-user`` keeps them."""
    overhead = len(encode_xattrs(((b"user.a\0", bytes(60_000)),))) - 60_000
    longest = ((b"user.a\0", bytes(XATTRS_BYTES_MAX - overhead)),)
    check_xattrs(longest, of="x")
    with pytest.raises(LimitError, match="x has 65525 bytes"):
        check_xattrs(((b"user.a\0", longest[0][1] + b"+"),), of="x")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        pytest.param([b"a", b"caf\xe9"], r"caf\\xe9, not UTF-8", id="latin"),
        pytest.param([b"\xc3", b"\xa9"], "not UTF-8", id="halves-of-a-character"),
        pytest.param([b"\xed\xa0\x80"], "not UTF-8", id="surrogate"),
        pytest.param([b"n" * 256], "256 bytes", id="long"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused(names, complaint):
    check_names([b"a", "caf\u00e9".encode(), b"n" * 255], of="x")
    with pytest.raises((InvalidImageError, LimitError), match=f"x has .*{complaint}"):
        check_names(names, of="x")


@pytest.mark.parametrize("target", [b"", b"t" * 4096, b"caf\xe9"])
def test_a_target_that_no_link_can_have_is_refused(target):
    check_target(b"t" * 4095, of="x")
    with pytest.raises(InvalidImageError, match="x links to"):
        check_target(target, of="x")


@pytest.mark.parametrize(
    "code", [errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.E2BIG, errno.ENOSPC]
)
def test_what_the_kernel_never_takes_is_a_fault_of_the_image(tmp_path, monkeypatch, code):
    def refuse(*_, **__):
        raise OSError(code, "no")

    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(InvalidImageError, match=r"security\.ima of 1 bytes cannot be kept"):
        set_xattrs(str(tmp_path / "x"), ((b"security.ima\0", b"v"),))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_what_may_work_later_is_none(tmp_path, monkeypatch, code):
    def refuse(*_, **__):
        raise OSError(code, "no")

    monkeypatch.setattr(os, "setxattr", refuse)
    monkeypatch.setattr(storable, "_has_space", lambda file: False)
    with pytest.raises(OSError, match="no"):
        set_xattrs(str(tmp_path / "x"), ((b"user.a\0", b"v"),))
