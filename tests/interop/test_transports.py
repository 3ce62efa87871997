"""From wherever an image comes, the same tree and the same layers come out of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.cli import bootc_orch
from support.images import golden, layout_of
from support.ostree import refs, show, verify_state
from support.registry import Registry

pytestmark = pytest.mark.root

IMAGES = ("derived", "derived-docker", "plain", "selinux-derived")
# It has a zstd layer, which docker-archive cannot hold, and one with the same name twice, which
# containers-storage does not take.
DEMANDING = "derived-multi"


@pytest.fixture
def storage() -> Iterator[str]:
    """A storage root of containers-storage, as image names have it; its path must be short."""
    with TemporaryDirectory(prefix="cs-", dir="/var/tmp") as folder:
        yield f"[overlay@{folder}/root+{folder}/run]"
        subprocess.run(["umount", f"{folder}/root/overlay"], stderr=subprocess.DEVNULL, check=False)


def copy(source: Path, target: str) -> None:
    """Copy an image, as skopeo copies it."""
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--insecure-policy", f"oci:{source}", target],
        check=True,
        stdin=subprocess.DEVNULL,
    )


def assert_golden(repo: Path, name: str, reference: str, *options: str | Path) -> None:
    """Pull *reference* and compare with what bootc made of *name*."""
    bootc_orch("image", "pull", "--repo", repo, "--var-content=keep", *options, reference)
    (merge,) = refs(repo, "ostree/container/image")
    assert show(repo, merge).content == golden(name).merge_content
    layers = refs(repo, "ostree/container/blob")
    assert sorted(show(repo, layer).content for layer in layers) == sorted(
        blob["content"] for blob in golden(name).blobs.values()
    )
    verify_state(repo)


@pytest.mark.parametrize("name", [*IMAGES, DEMANDING])
def test_from_a_registry(
    name: str, tmp_path: Path, repo: Callable[[], Path], registry: Registry
) -> None:
    image = registry.push(f"oci:{layout_of(name, tmp_path / 'layout')}", "os")
    assert_golden(
        repo(), name, f"ostree-unverified-registry:{image}", "--insecure-skip-tls-verification"
    )


def test_from_a_registry_with_a_password_and_an_authority_of_its_own(
    tmp_path: Path, repo: Callable[[], Path], make_registry: Callable[..., Registry]
) -> None:
    registry = make_registry(password=True, tls=True)
    assert registry.authfile is not None
    assert registry.cert_dir is not None
    image = registry.push(f"oci:{layout_of('derived', tmp_path / 'layout')}", "os")
    assert_golden(
        *(repo(), "derived", f"ostree-unverified-registry:{image}"),
        *("--authfile", registry.authfile, "--cert-dir", registry.cert_dir),
    )


@pytest.mark.parametrize("name", IMAGES)
def test_from_containers_storage(
    name: str, tmp_path: Path, repo: Callable[[], Path], storage: str
) -> None:
    image = f"containers-storage:{storage}localhost/os:1"
    copy(layout_of(name, tmp_path / "layout"), image)
    assert_golden(repo(), name, f"ostree-unverified-image:{image}")


@pytest.mark.parametrize(
    ("transport", "name"),
    [
        *product(("oci-archive", "dir"), (*IMAGES, DEMANDING)),
        *product(("docker-archive",), IMAGES),
    ],
)
def test_from_a_file_or_a_directory(
    transport: str, name: str, tmp_path: Path, repo: Callable[[], Path]
) -> None:
    image = f"{transport}:{tmp_path / 'copy'}"
    copy(layout_of(name, tmp_path / "layout"), image)
    assert_golden(repo(), name, f"ostree-unverified-image:{image}")
