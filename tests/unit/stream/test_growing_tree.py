"""What a layer keeps in memory is bounded, and its links take time by their number."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from support.rawtar import archive, directory, file, hardlink, pax

from bootc_orch.stream import growing_tree
from bootc_orch.stream.derived import import_derived_layer
from bootc_orch.stream.object_format import Mode
from bootc_orch.stream.objects import ObjectStore
from bootc_orch.stream.paths import PathRules
from bootc_orch.stream.trees import Trees
from orch_frame.errors import LimitError

RULES = PathRules(allow_nonusr=True, keep_var=True)


@pytest.fixture
def trees(tmp_path):
    for number in range(256):
        (tmp_path / f"objects/{number:02x}").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    return Trees(ObjectStore(tmp_path, Mode.BARE_USER))


def imported(trees, parts):
    return import_derived_layer(
        [archive(directory(b"usr/"), *parts)], trees, rules=RULES, labeler=None
    )


def many(count, make):
    return [make(number) for number in range(count)]


HEAVY = {
    "files": lambda n: file(b"usr/%d" % n, b""),
    "directories": lambda n: directory(b"usr/%d/" % n),
    "implied-directories": lambda n: file(b"usr/%d/x" % n, b""),
    "links": lambda n: hardlink(b"usr/%d" % n, b"usr/x"),
    "long-names": lambda n: file(b"usr/%d" % n + b"n" * 200, b""),
    "long-targets": lambda n: hardlink(b"usr/%d" % n, b"usr/" + b"t/" * 100 + b"%d" % n),
    "attributes": lambda n: (
        pax([(b"SCHILY.xattr.user.a", b"%0400d" % n)]) + directory(b"usr/%d/" % n)
    ),
    "owners": lambda n: directory(b"usr/%d/" % n),
    "set-aside": lambda n: file(b"sysroot/ostree/repo/objects/aa/%d.file" % n, b""),
}


@pytest.mark.parametrize("kind", HEAVY)
def test_whatever_a_layer_has_much_of_it_is_bounded(trees, monkeypatch, kind):
    """Memory is measured, so that no kind of entry costs more than it is accounted for."""
    monkeypatch.setattr(growing_tree, "KEPT_BYTES_MAX", 1 << 19)
    data = archive(directory(b"usr/"), *many(3000, HEAVY[kind]))
    tracemalloc.start()
    try:
        with pytest.raises(LimitError, match="of memory"):
            import_derived_layer([data], trees, rules=RULES, labeler=None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 << 19


def test_a_directory_has_no_more_entries_than_ostree_takes(trees, monkeypatch):
    monkeypatch.setattr(growing_tree, "DIRTREE_BYTES_MAX", 10_000)
    imported(trees, many(200, HEAVY["files"]))
    with pytest.raises(LimitError, match="The directory /usr has too many entries: 300"):
        imported(trees, many(300, HEAVY["files"]))


def test_attributes_of_many_files_do_not_stay_in_memory(trees):
    """In an archive, which keeps them in a header: other file systems cannot have so long ones."""
    trees = Trees(ObjectStore(trees.store.repository, Mode.ARCHIVE))

    def with_attribute(number):
        return pax([(b"SCHILY.xattr.user.a", b"%060000d" % number)]) + file(b"usr/%d" % number, b"")

    pieces = (
        piece
        for part in (archive(directory(b"usr/"), end_blocks=0), *map(with_attribute, range(150)))
        for piece in [part]
    )
    tracemalloc.start()
    try:
        import_derived_layer(pieces, trees, rules=RULES, labeler=None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(
    "link",
    [
        pytest.param(lambda n: hardlink(b"usr/%d" % n, b"usr/x"), id="to-one-file"),
        pytest.param(lambda n: hardlink(b"usr/%d" % n, b"usr/%d" % (n + 1)), id="forward-chain"),
        pytest.param(
            lambda n: hardlink(b"usr/%d" % n, b"usr/%d" % (n - 1) if n else b"usr/x"),
            id="backward-chain",
        ),
    ],
)
def test_links_take_time_in_proportion_to_their_number(trees, link):
    def seconds(count):
        parts = [file(b"usr/x", b""), *many(count, link), file(b"usr/%d" % count, b"")]
        begin = time.process_time()
        imported(trees, parts)
        return time.process_time() - begin

    seconds(1000)
    few, many_more = seconds(2000), seconds(16_000)
    assert many_more < 8 * few * 3 + 0.2
