"""Bad input through the command line, one test for each row of the table; its id is the row's.

What is bad is refused with exit status 65 and one error that names the image, the layer and the
path, and leaves the repository as it was.  What is only odd is taken in, with a known result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.bad_images import IMAGE_CASES, ImageCase
from support.bad_ostree import GOOD_OSTREE_CASE, OSTREE_CASES
from support.bad_tars import LOWER, MISMATCH, PLAIN, TAR_CASES, TarCase
from support.cli import Result, bootc_orch
from support.ociwriter import ImageWriter, digest_of, gzipped
from support.ostree import init_repo, ostree, refs, verify_state
from support.rawtar import archive, directory, file

pytestmark = pytest.mark.root

BAD_DATA = 65
IMAGE_REFS = "ostree/container/image"
# Everything that could move a cursor or forge a line; a line's own end is none of it.
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class World:
    """An empty repository, alone in its directory.

    Attributes:
        repo: The repository.
    """

    repo: Path

    def pull(self, reference: str, *, status: int) -> Result:
        """Pull *reference*; ``keep`` gives the same tree with every ostree."""
        result = bootc_orch(
            *("image", "pull", "--json", "--var-content=keep", "--repo", self.repo),
            f"ostree-unverified-image:{reference}",
            status=status,
        )
        verify_state(self.repo)
        assert [path.name for path in self.repo.parent.iterdir()] == ["repo"]
        return result

    def pull_refused(self, reference: str, classes: Sequence[str]) -> dict[str, Any]:
        """Pull what must be refused, assert what holds for every refusal, return the error.

        Its key ``text`` holds what a person reads.
        """
        before = refs(self.repo)
        result = self.pull(reference, status=BAD_DATA)
        error: dict[str, Any] = json.loads(result.stdout)["error"]
        assert error["class"] in classes, result.stderr
        assert error["exit"] == BAD_DATA
        assert reference in error["image"]
        assert reference in result.stderr
        assert result.stderr.count("error:") == 1
        assert CONTROL.findall(result.stderr) == []
        assert refs(self.repo) == before
        return {**error, "text": result.stderr}

    def pull_good(self, reference: str) -> tuple[str, str]:
        """Pull what is good; return its merge commit and what was said on standard error."""
        result = self.pull(reference, status=0)
        [commit] = refs(self.repo, IMAGE_REFS).values()
        return commit, result.stderr

    def listing(self, commit: str) -> str:
        """Return what ``ostree ls`` says of *commit*."""
        return ostree("ls", f"--repo={self.repo}", "-R", commit)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(init_repo(tmp_path / "world/repo"))


def write_over(over: str, path: Path, tars: Sequence[bytes]) -> str:
    """Write an image of *tars* over the layers that *over* names; return its reference."""
    lower = [LOWER] if over == PLAIN else []
    image = ImageWriter(path, [gzipped(tar) for tar in (*lower, *tars)])
    if over != PLAIN:
        image.put_on(over)
    image.write()
    return image.reference


def params(cases: Sequence[TarCase] | Sequence[ImageCase], *, refused: bool) -> list[Any]:
    return [pytest.param(case, id=case.id) for case in cases if bool(case.refused) == refused]


def has(listing: str, line: str) -> bool:
    """Say whether *listing* has ``MODE PATH``, whatever owner, size and link target."""
    mode, path = line.split(" ", 1)
    pattern = rf"^{re.escape(mode)} +\d+ +\d+ +\d+ {re.escape(path)}(?: -> .*)?$"
    return re.search(pattern, listing, re.MULTILINE) is not None


@pytest.mark.parametrize("case", params(TAR_CASES, refused=True))
def test_a_bad_layer_is_refused(case: TarCase, world: World, tmp_path: Path) -> None:
    reference = write_over(case.over, tmp_path / "image", [case.tar])
    assert case.refused is not None
    error = world.pull_refused(reference, [case.refused])
    assert error["layer"] == digest_of(gzipped(case.tar).data)
    for text in (error["layer"], *case.says):
        assert text in error["text"]


@pytest.mark.parametrize("case", params(TAR_CASES, refused=False))
def test_an_odd_layer_is_taken_in(case: TarCase, world: World, tmp_path: Path) -> None:
    commit, said = world.pull_good(write_over(case.over, tmp_path / "image", [case.tar]))
    listing = world.listing(commit)
    for line in case.tree:
        assert has(listing, line), f"{line!r} is not in\n{listing}"
    for path in case.absent:
        assert not re.search(rf" {re.escape(path)}(?: -> .*)?$", listing, re.MULTILINE)
    for path, data in case.contents:
        assert ostree("cat", f"--repo={world.repo}", commit, path).encode() == data
    for text in case.says:
        assert text in said


@pytest.mark.parametrize("case", params((*IMAGE_CASES, *OSTREE_CASES), refused=True))
def test_a_bad_image_is_refused(case: ImageCase, world: World, tmp_path: Path) -> None:
    error = world.pull_refused(case.write(tmp_path / "image"), case.refused)
    for text in case.says:
        assert text in error["text"]


@pytest.mark.parametrize("case", params((*IMAGE_CASES, GOOD_OSTREE_CASE), refused=False))
def test_an_odd_image_is_taken_in(case: ImageCase, world: World, tmp_path: Path) -> None:
    commit, _ = world.pull_good(case.write(tmp_path / "image"))
    listing = world.listing(commit)
    assert [path for path in case.tree if f" {path}\n" not in listing] == []


def test_a_layer_is_taken_by_its_diff_id_only_if_that_was_verified(
    world: World, tmp_path: Path
) -> None:
    """First comes an image that lies about a diff_id, then the honest owner of that diff_id."""
    honest = gzipped(archive(directory(b"usr/"), file(b"usr/honest")))
    evil = gzipped(archive(directory(b"usr/"), file(b"usr/evil")))
    liar = ImageWriter(tmp_path / "liar", [gzipped(LOWER), evil])
    liar.config["rootfs"]["diff_ids"][1] = honest.diff_id
    liar.write()
    error = world.pull_refused(liar.reference, [MISMATCH])
    assert error["layer"] == digest_of(evil.data)
    owner = ImageWriter(tmp_path / "owner", [gzipped(LOWER), honest])
    owner.write()
    commit, _ = world.pull_good(owner.reference)
    listing = world.listing(commit)
    assert has(listing, "-00644 /usr/honest")
    assert "/usr/evil" not in listing


def test_blob_bytes_that_are_not_those_of_the_digest_are_refused(
    world: World, tmp_path: Path
) -> None:
    """R08 for a layout on disk: right length, wrong bytes, and a tar that is good as such."""
    layer = gzipped(archive(directory(b"usr/"), file(b"usr/x", b"right\n")))
    wrong = gzipped(archive(directory(b"usr/"), file(b"usr/x", b"wrong\n")))
    image = ImageWriter(tmp_path / "image", [gzipped(LOWER), layer])
    image.write()
    digest = digest_of(layer.data)
    blob = tmp_path / "image/blobs/sha256" / digest.removeprefix("sha256:")
    blob.write_bytes(wrong.data.ljust(len(layer.data), b"\0")[: len(layer.data)])
    error = world.pull_refused(image.reference, [MISMATCH, "invalid-image"])
    assert error["layer"] == digest
