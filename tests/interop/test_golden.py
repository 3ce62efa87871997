"""Each image, pulled in each mode, gives exactly what bootc made of it in a ``bare`` repository.

bootc's own result in ``bare-user`` loses owners and unreadable modes; ours must not, so there is
one aim for all modes.  The image stands at the path where bootc had it, by a mount of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.cli import Result, at_place, bootc_orch
from support.images import (
    DEBIAN_IMAGES,
    Golden,
    debian_layout,
    golden,
    layout_of,
    ostree_layers_of,
    small_images,
)
from support.ostree import init_repo, metadata_keys, ostree, refs, show, tree, verify_state

pytestmark = pytest.mark.root

PLACE = "/var/tmp/img"
MODES = ("bare", "bare-user", "archive")
# bootc cannot read it; what it holds is what `derived` holds, compressed in another way.
SAME_TREE_AS = {"derived-multimember-gzip": "derived"}
KEYS = (
    "ostree.container.image-config",
    "ostree.importer.version",
    "ostree.manifest",
    "ostree.manifest-digest",
)
IMAGES = (
    *small_images(),
    *(pytest.param(name, marks=pytest.mark.debian_images) for name in DEBIAN_IMAGES),
)


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image after its pull."""

    name: str
    mode: str
    repo: Path
    result: Result

    @property
    def expected(self) -> Golden:
        """What bootc made of it, or of the image that holds the same."""
        return golden(SAME_TREE_AS.get(self.name, self.name))

    @property
    def merge(self) -> str:
        """The only image ref."""
        (ref,) = refs(self.repo, "ostree/container/image")
        return ref


def pull(name: str, folder: Path, mode: str, *options: str) -> Pulled:
    repo = init_repo(folder / "repo", mode)
    layout = layout_of(name, folder / "layout")
    result = bootc_orch(
        *("image", "pull", "--repo", repo, *options, f"ostree-unverified-image:oci:{PLACE}"),
        prefix=at_place(layout, PLACE),
    )
    return Pulled(name, mode, repo, result)


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=IMAGES)
def pulled(request: pytest.FixtureRequest, mode: str) -> Iterator[Pulled]:
    if request.param in DEBIAN_IMAGES and debian_layout() is None:
        pytest.skip("the Debian images are not here")
    with TemporaryDirectory(prefix="golden-") as folder:
        yield pull(request.param, Path(folder), mode, "--var-content=keep")


def test_each_layer_ref_has_the_content_of_bootcs(pulled: Pulled) -> None:
    found = {ref: show(pulled.repo, ref).content for ref in blob_refs(pulled.repo)}
    if pulled.name in SAME_TREE_AS:
        assert sorted(found.values()) == sorted(
            b["content"] for b in pulled.expected.blobs.values()
        )
    else:
        assert found == {ref: blob["content"] for ref, blob in pulled.expected.blobs.items()}


def test_commit_and_chunk_layers_are_bootcs_commits(pulled: Pulled) -> None:
    digests = ostree_layers_of(pulled.name)
    names = [
        f"ostree/container/blob/sha256_3A_{digest.removeprefix('sha256:')}" for digest in digests
    ]
    found = blob_refs(pulled.repo)
    assert [found[name] for name in names] == [pulled.expected.blobs[n]["commit"] for n in names]


def test_the_merge_commit_has_bootcs_content_parent_and_date(pulled: Pulled) -> None:
    commit = show(pulled.repo, pulled.merge)
    expected = pulled.expected
    assert (commit.content, commit.parent, commit.date) == (
        expected.merge_content,
        expected.merge_parent,
        expected.merge_date,
    )


def test_the_merge_commit_has_four_metadata_keys_in_order(pulled: Pulled) -> None:
    assert metadata_keys(pulled.repo, pulled.merge) == KEYS


def test_the_image_ref_is_bootcs(pulled: Pulled) -> None:
    assert pulled.merge == pulled.expected.image_ref


def test_the_merged_tree_is_bootcs(pulled: Pulled) -> None:
    assert tree(pulled.repo, pulled.merge) == pulled.expected.tree


def test_the_lines_that_scripts_read_are_bootcs(pulled: Pulled) -> None:
    said = pulled.result.stdout + pulled.result.stderr
    if pulled.name not in SAME_TREE_AS:
        assert pulled.expected.messages[0] in pulled.result.lines
    assert [line for line in pulled.expected.messages[1:] if line not in said] == []
    commit = show(pulled.repo, pulled.merge).checksum
    assert pulled.result.lines[-1] == f"Wrote: ostree-unverified-image:oci:{PLACE} => {commit}"


def test_the_repository_is_whole(pulled: Pulled) -> None:
    verify_state(pulled.repo)


def blob_refs(repo: Path) -> dict[str, str]:
    return refs(repo, "ostree/container/blob")


def ostree_version() -> tuple[int, int]:
    found = re.search(r"Version: '(\d+)\.(\d+)", ostree("--version"))
    assert found is not None
    return int(found[1]), int(found[2])


def places(lines: tuple[str, ...]) -> dict[str, str]:
    """The lines of ``ostree ls -C``, by path, without the checksums of directories' contents."""
    found = {}
    for line in lines:
        words, slash, path = line.partition(" /")
        if not slash:  # the rest of a name with a newline in it
            continue
        fields = words.split()
        if fields[0].startswith("d"):
            del fields[4]
        found[f"/{path}"] = " ".join(fields)
    return found


@pytest.mark.parametrize("name", ["derived", "derived-multi", "derived-docker"])
def test_where_var_goes_follows_the_version_of_ostree(name: str, tmp_path: Path) -> None:
    """From 2024.3 on it stays; before, what derived layers put there moves under /usr."""
    found = places(tree((pulled := pull(name, tmp_path, "bare")).repo, pulled.merge))
    expected = places(golden(name).tree)
    if ostree_version() < (2024, 3):
        moved = {path for path in expected if path.startswith("/var/")} - set(
            places(golden("base").tree)
        )
        assert moved
        assert "/usr/share/factory/var" in pulled.result.stderr.replace("usr/", "/usr/").replace(
            "//", "/"
        )
        for path in moved:
            expected[f"/usr/share/factory{path}"] = expected.pop(path)
        for path in ("/usr/share/factory", "/usr/share/factory/var"):
            expected[path] = found.get(path, "missing")
    assert found == expected
    verify_state(pulled.repo)
