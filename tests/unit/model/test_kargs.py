from __future__ import annotations

import pytest

from bootc_orch.model.host.kargs import (
    KargsEdit,
    check_argument,
    edit_kargs,
    merge_image_kargs,
    own_arguments,
    parse_kargs_file,
    split_command_line,
)
from orch_frame.errors import InvalidImageError


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param("rw  root=/dev/sda1\n", ("rw", "root=/dev/sda1"), id="blanks"),
        pytest.param('a="b c" d', ('a="b c"', "d"), id="quotes"),
        pytest.param('"a b"=c', ('"a b"=c',), id="quoted-key"),
    ],
)
def test_a_command_line_is_split_as_the_kernel_splits_it(text, arguments):
    assert split_command_line(text) == arguments


def test_the_link_of_the_deployment_is_not_an_argument_of_ours():
    options = "root=LABEL=root ostree=/ostree/boot.0/os/ab/0 rw"
    assert own_arguments(options) == ("root=LABEL=root", "rw")


@pytest.mark.parametrize(
    "argument",
    [
        pytest.param("a\nb", id="X03-newline"),
        pytest.param("a b", id="blank"),
        pytest.param('a="b', id="open-quote"),
        pytest.param("a=" + "x" * 10_240, id="X03-10-KiB"),
        pytest.param("ostree=/ostree/boot.0/x/y/0", id="X03-ostree"),
        pytest.param("init=/bin/sh", id="X03-init"),
        pytest.param("a\u2028b", id="line-separator"),
        pytest.param("", id="empty"),
    ],
)
def test_what_would_break_a_boot_entry_is_refused(argument):
    with pytest.raises(InvalidImageError):
        check_argument(argument, source="10-x.toml")


def test_a_file_for_other_machines_gives_nothing():
    text = 'kargs = ["a=1", "b"]\nmatch-architectures = ["aarch64"]\n'
    assert parse_kargs_file(text, source="x.toml", machine="aarch64") == ("a=1", "b")
    assert parse_kargs_file(text, source="x.toml", machine="x86_64") == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("kargs = [", "not TOML", id="syntax"),
        pytest.param('kargs = "a"', "array of strings", id="string"),
        pytest.param("kargs = [1]", "array of strings", id="number"),
        pytest.param("kargs = []\nother = 1", "unknown key 'other'", id="unknown-key"),
        pytest.param("", "no kargs", id="empty"),
        pytest.param('kargs = ["a"]\nx = ' + "9" * 4400, "not TOML", id="digits"),
        pytest.param("kargs = [1e" + "9" * 4400 + "]", "array of strings", id="exponent"),
        pytest.param("kargs = " + "[" * 3000, "nested deeper", id="brackets"),
        pytest.param("kargs = " + "[" * 3000 + "]" * 3000, "nested deeper", id="arrays"),
        pytest.param("kargs = " + "{a=" * 3000 + "1" + "}" * 3000, "nested deeper", id="tables"),
        pytest.param("kargs = [" + "[{a=" * 900 + "1" + "}]" * 900, "nested deeper", id="both"),
        pytest.param('"""\n"""[' + "[" * 3000, "nested deeper", id="after-a-string"),
        pytest.param("a" + ".a" * 100_000 + " = 1", "more than 1000 dots", id="dotted-key"),
        pytest.param("[a" + '."a"' * 100_000 + "]", "more than 1000 dots", id="dotted-table"),
        pytest.param("kargs = [2026-02-30]", "not TOML", id="date"),
        pytest.param('kargs = ["' + "a" * 1_000_000, "not TOML", id="open-string"),
        pytest.param('kargs = ["""' + '"a' * 500_000, "not TOML", id="open-long-string"),
    ],
)
def test_a_file_that_cannot_be_honoured_is_refused(text, complaint):
    with pytest.raises(InvalidImageError, match=complaint):
        parse_kargs_file(text, source="x.toml", machine="x86_64")


def test_brackets_and_dots_in_strings_and_comments_are_text():
    many = "[." * 600
    strings = f"\"a={many}\", 'b={many}', \"\"\"c={many}\"\"\", '''d={many}'''"
    found = parse_kargs_file(f"# {many}\nkargs = [{strings}]", source="x.toml", machine="x86_64")
    assert found == tuple(f"{key}={many}" for key in "abcd")


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        pytest.param((), None, ("root=a", "quiet", "mine"), id="no-directory-changes-nothing"),
        pytest.param(("quiet",), (), ("root=a", "mine"), id="dropped-by-the-image"),
        pytest.param((), ("x=1",), ("root=a", "quiet", "mine", "x=1"), id="added-by-the-image"),
        pytest.param(("x=1",), ("x=2",), ("root=a", "quiet", "mine", "x=2"), id="changed"),
        pytest.param(("gone",), ("gone",), ("root=a", "quiet", "mine"), id="stays-deleted"),
    ],
)
def test_an_upgrade_carries_over_what_the_administrator_chose(old, new, merged):
    assert merge_image_kargs(("root=a", "quiet", "mine"), old=old, new=new) == merged


def test_edits_delete_then_replace_in_place_then_append():
    edit = KargsEdit(delete=("quiet", "console=tty0"), replace=("root=b",), append=("x", "x"))
    current = ("root=a", "quiet", "console=tty0", "console=ttyS0")
    assert edit_kargs(current, edit) == ("root=b", "console=ttyS0", "x", "x")
