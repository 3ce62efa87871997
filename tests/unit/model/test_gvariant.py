"""Metadata objects serialise to the bytes that ostree stores."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootc_orch.model.gvariant import (
    Commit,
    Dirmeta,
    Dirtree,
    FileHeader,
    Variant,
    archive_header,
    content_header,
    decode_dict,
    decode_strings,
    decode_xattrs,
    encode_dict,
    encode_dirtree,
    encode_xattrs,
    is_chunk_dirtree,
)
from orch_frame.errors import InvalidImageError

DIRMETA = "446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488"


@pytest.mark.parametrize(
    ("attributes", "data", "checksum"),
    [
        pytest.param(
            {"uid": 0, "gid": 0, "mode": 0o100644},
            b"",
            "cc700d46f407c6c5ab2d5dde474366a928b7398277e61162e7f8ec06f469f07e",
            id="empty",
        ),
        pytest.param(
            {
                "uid": 0,
                "gid": 0,
                "mode": 0o100755,
                "xattrs": encode_xattrs(((b"user.foo\0", b"bar"),)),
            },
            b"bash\n",
            "d6653aa6540bfd5cf64a744568101fb3017a45647534b2722cb509cbcbbec1ea",
            id="xattr",
        ),
        pytest.param(
            {"uid": 0, "gid": 0, "mode": 0o120777, "target": b"bash"},
            b"",
            "d98430476b1fbdc3086073c4427ac225f021515f46f049d356c67fb38b37cc77",
            id="symlink",
        ),
        pytest.param(
            {"uid": 10, "gid": 20, "mode": 0o100600},
            b"pol\n",
            "36eacb2b2a09960080f985192a952ed91e64d94f0eea94a696e0e79455cd73b0",
            id="owner",
        ),
    ],
)
def test_content_checksums_are_those_of_ostree(attributes, data, checksum):
    assert sha256(content_header(**attributes) + data).hexdigest() == checksum


def test_dirmeta_and_dirtree_checksums_are_those_of_ostree():
    assert sha256(Dirmeta(0, 0, 0o40755).encode()).hexdigest() == DIRMETA
    assert Dirtree((), ()).encode() == b"\0"
    tree = Dirtree(
        (
            (
                b"bash",
                bytes.fromhex("d6653aa6540bfd5cf64a744568101fb3017a45647534b2722cb509cbcbbec1ea"),
            ),
            (
                b"denormal",
                bytes.fromhex("b4d44a0f3715ba4db5f2dc5af2be124646d98129b5e3a3f27345f34ddb31e524"),
            ),
            (
                b"sh",
                bytes.fromhex("d98430476b1fbdc3086073c4427ac225f021515f46f049d356c67fb38b37cc77"),
            ),
        ),
        (),
    )
    data = tree.encode()
    assert len(data) == 120
    assert (
        sha256(data).hexdigest()
        == "b3b0d5aabc87b9293b2922cc9d25460420dd6e647bd8c6e7569ca6064911a2f4"
    )
    assert Dirtree.decode(data) == tree


def test_a_commit_with_every_field_has_the_checksum_of_ostree():
    binding = b"test/os\0\x08"
    commit = Commit(
        metadata=(
            ("version", Variant.string("42.0")),
            ("ostree.linux", Variant.string("6.1")),
            ("ostree.bootable", Variant.boolean(True)),
            ("ostree.ref-binding", Variant("as", binding)),
        ),
        parent=None,
        timestamp=1704164645,
        tree="54f212c8c922762255c9511ac885463f66aa11a98ea6769e14abfe99d0cdd0bb",
        meta=DIRMETA,
        subject="subj",
    )
    data = commit.encode()
    assert len(data) == 190
    assert (
        sha256(data).hexdigest()
        == "9a73cb2383d8bf84c01ef67a7c142bd5971ae5842d43d523c72f84b76ebb9c4b"
    )
    assert Commit.decode(data) == commit
    assert commit.text("version") == "42.0"


def test_the_commit_of_an_empty_object_set_is_known():
    tree = sha256(b"\0").hexdigest()
    data = Commit((), None, 0, tree, DIRMETA).encode()
    assert len(data) == 86
    assert (
        sha256(data).hexdigest()
        == "6109d33e99f48e9b90cdf8ad037b8e5d20ef899697cfd3eb492cf78800aed498"
    )


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_read_but_never_crash(data):
    for decode in (
        Commit.decode,
        Dirtree.decode,
        Dirmeta.decode,
        FileHeader.decode_archive,
        decode_dict,
        decode_xattrs,
    ):
        try:
            decode(data)
        except InvalidImageError:
            continue


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.text()),
        max_size=8,
    )
)
def test_dictionaries_survive_a_round_trip(pairs):
    entries = tuple((key, Variant.string(value.replace("\0", ""))) for key, value in pairs)
    assert decode_dict(encode_dict(entries)) == entries


@given(st.lists(st.tuples(st.binary(min_size=1), st.binary(max_size=400)), max_size=6))
def test_extended_attributes_survive_a_round_trip(pairs):
    xattrs = tuple((name + b"\0", value) for name, value in pairs)
    assert decode_xattrs(encode_xattrs(xattrs)) == xattrs


def test_an_archive_header_is_read_back():
    xattrs = ((b"user.a\0", b"1"),)
    data = archive_header(
        size=5, uid=1, gid=2, mode=0o100644, target=b"", xattrs=encode_xattrs(xattrs)
    )
    assert FileHeader.decode_archive(data[8:]) == FileHeader(5, 1, 2, 0o100644, b"", xattrs)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 700])
def test_a_chunk_is_known_by_the_bytes_of_its_directory(count):
    sums = sorted(sha256(b"%d" % number).digest() for number in range(count))
    chunk = [(checksum.hex().encode(), checksum) for checksum in sums]
    assert is_chunk_dirtree(encode_dirtree(chunk, ()))
    assert not is_chunk_dirtree(encode_dirtree([*chunk, (b"z", bytes(32))], ()))
    assert not is_chunk_dirtree(encode_dirtree(chunk, [(b"d", bytes(32), bytes(32))]))
    if count:
        other = [(bytes(64).hex().encode()[:64], sums[0]), *chunk[1:]]
        assert not is_chunk_dirtree(encode_dirtree(other, ()))


def test_one_other_byte_makes_a_chunk_of_none():
    sums = [bytes([number]) * 32 for number in range(2)]
    data = encode_dirtree([(checksum.hex().encode(), checksum) for checksum in sums], ())
    assert is_chunk_dirtree(data)
    for position, byte in enumerate(data):
        changed = data[:position] + bytes([byte ^ 1]) + data[position + 1 :]
        assert not is_chunk_dirtree(changed), position


@pytest.mark.parametrize("end", [24, 26, 255])
def test_an_archive_header_whose_target_ends_outside_of_it_is_refused(end):
    header = archive_header(size=5, uid=1, gid=2, mode=0o100644, xattrs=b"", target=b"")[8:]
    assert (header[-1], len(header)) == (25, 26)
    with pytest.raises(InvalidImageError, match="has an offset outside of it"):
        FileHeader.decode_archive(header[:-1] + bytes([end]))


def test_a_table_of_offsets_has_whole_entries():
    """Two-byte offsets: the table of this array is three bytes long."""
    names = b"a\0" * 150
    table = len(names).to_bytes(2, "little")
    with pytest.raises(InvalidImageError, match="offset table of a wrong size"):
        decode_strings(names + b"\0" + table)
