"""What a store does with objects whose writer was killed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bootc_orch.stream.objects import Attributes, Mode, ObjectStore


@pytest.fixture(params=[Mode.BARE_USER, Mode.ARCHIVE])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    for number in range(256):
        (tmp_path / f"objects/{number:02x}").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    return ObjectStore(tmp_path, request.param)


def test_objects_that_were_not_finished_are_discarded(store: ObjectStore) -> None:
    """Their names promise content that is there in part, as a kill in the middle leaves it."""
    secret = Attributes(0, 0, stat.S_IFREG | 0o600)
    whole = store.add_file(secret, b"whole"), store.add_metadata(b"tree", "dirtree")
    half = Path(store.file_path("0" * 64)), Path(store.path("1" * 64, "dirtree"))
    for path in half:
        path.touch(mode=0o600)
        path.write_bytes(b"ha")
    store.discard_unfinished()
    assert [path for path in half if path.exists()] == []
    assert store.has_file(whole[0])
    assert store.has(whole[1], "dirtree")
