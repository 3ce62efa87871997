"""A name that is empty names nothing, be it in a header, in a PAX record or in GNU's entry."""

from __future__ import annotations

import pytest
from support import rawtar

from bootc_orch.stream.derived import import_derived_layer
from bootc_orch.stream.object_format import Mode
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.stream.paths import PathRules
from bootc_orch.stream.pax import parse_records, xattrs_of
from bootc_orch.stream.trees import Trees
from orch_frame.errors import InvalidImageError

RULES = PathRules(allow_nonusr=True, keep_var=True)


def bring(tmp_path, *parts):
    for number in range(256):
        (tmp_path / f"objects/{number:02x}").mkdir(parents=True)
    trees = Trees(ObjectStore(tmp_path, Mode.ARCHIVE))
    return import_derived_layer([rawtar.archive(*parts)], trees, rules=RULES, labeler=None)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        pytest.param([rawtar.file(b"")], "an empty name", id="file"),
        pytest.param([rawtar.directory(b"")], "an empty name", id="directory"),
        pytest.param([rawtar.symlink(b"", b"a")], "an empty name", id="symbolic link"),
        pytest.param([rawtar.hardlink(b"", b"a")], "an empty name", id="hard link"),
        pytest.param([rawtar.symlink(b"a", b"")], "a target of 0 bytes", id="target of a link"),
        pytest.param([rawtar.hardlink(b"a", b"")], "an empty name", id="target of a hard link"),
        pytest.param(
            [rawtar.pax([(b"path", b"")]), rawtar.file(b"a")], "an empty name", id="PAX path"
        ),
        pytest.param(
            [rawtar.pax([(b"linkpath", b"")]), rawtar.symlink(b"a", b"b")],
            "a target of 0 bytes",
            id="PAX target",
        ),
        pytest.param(
            [rawtar.gnu_long(b""), rawtar.file(b"a")], "an empty name", id="GNU's long name"
        ),
        pytest.param(
            [rawtar.gnu_long(b"", b"K"), rawtar.symlink(b"a", b"b")],
            "a target of 0 bytes",
            id="GNU's long target",
        ),
        pytest.param([rawtar.file(b"/")], "is not a directory", id="file in the root's place"),
        pytest.param([rawtar.file(b"./.")], "is not a directory", id="file at a dot"),
    ],
)
def test_an_entry_without_a_name_is_refused(tmp_path, parts, complaint):
    with pytest.raises(InvalidImageError, match=complaint):
        bring(tmp_path, *parts)


@pytest.mark.parametrize("name", [b"/", b".", b"./"])
def test_a_directory_of_slashes_and_dots_is_the_root(tmp_path, name):
    _, report = bring(tmp_path, rawtar.directory(name), rawtar.file(b"a"))
    assert not report.filtered


@pytest.mark.parametrize("data", [b"5 =a\n", b"4 a\n", b"3 \n", b"4 =\n"])
def test_a_record_without_a_key_is_refused(data):
    assert len(data) == int(data[:1])
    with pytest.raises(InvalidImageError, match=r"without a key|of a wrong length"):
        parse_records(data)


def test_a_record_with_an_empty_value_is_kept():
    assert parse_records(rawtar.record(b"comment", b"")) == {b"comment": b""}


@pytest.mark.parametrize("key", [b"SCHILY.xattr.", b"LIBARCHIVE.xattr.", b"SCHILY.xattr.a\0b"])
def test_an_attribute_without_a_name_is_refused(key):
    with pytest.raises(InvalidImageError, match="without a name"):
        xattrs_of({key: b"eA=="}, b"member")


def test_an_attribute_with_an_empty_value_is_kept():
    assert xattrs_of({b"SCHILY.xattr.user.a": b""}, b"member") == ((b"user.a", b""),)
