"""The fixtures themselves: a witness that cannot see is worse than none."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from support.images import golden, layout_of, manifest_digest_of, manifest_of, small_images
from support.ostree import ostree, show, tree, verify_state
from support.registry import Registry


def inspect(*argv: str | Path) -> int:
    command = ["skopeo", "inspect", "--no-creds", *map(str, argv)]
    if "--authfile" in argv:
        command.remove("--no-creds")
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_a_registry_gives_back_the_manifest_that_was_pushed(
    registry: Registry, oci_layout_of: Callable[[str], Path]
) -> None:
    name = registry.push(f"oci:{oci_layout_of('plain')}", "os")
    shown = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", "--format={{.Digest}}", f"docker://{name}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == manifest_digest_of("plain")
    assert registry.blob_path(manifest_digest_of("plain")).is_file()
    assert "GET /v2/os/manifests/latest" in registry.requests()


def test_a_registry_wants_its_authority_and_its_password(
    make_registry: Callable[..., Registry], oci_layout_of: Callable[[str], Path]
) -> None:
    registry = make_registry(password=True, tls=True)
    name = "docker://" + registry.push(f"oci:{oci_layout_of('plain')}", "os")
    assert registry.cert_dir is not None
    assert registry.authfile is not None
    trust = ("--cert-dir", registry.cert_dir)
    login = ("--authfile", registry.authfile)
    assert inspect(*trust, *login, name) == 0
    assert inspect(*trust, name) != 0
    assert inspect(*login, name) != 0


def test_every_fixture_image_can_be_read_from_a_layout_of_its_own(
    oci_layout_of: Callable[..., Path],
) -> None:
    for name in small_images():
        shown = subprocess.run(
            ["skopeo", "inspect", "--raw", f"oci:{oci_layout_of(name)}"],
            check=True,
            capture_output=True,
        )
        assert f"sha256:{sha256(shown.stdout).hexdigest()}" == manifest_digest_of(name)


def test_a_private_layout_can_be_damaged_without_harm_to_the_fixtures(tmp_path: Path) -> None:
    layout = layout_of("plain", tmp_path / "private", private=True)
    blobs = list((layout / "blobs/sha256").iterdir())
    assert len(blobs) == 2 + len(manifest_of("plain")["layers"])
    for blob in blobs:
        assert not blob.is_symlink()
        assert blob.stat().st_nlink == 1


@pytest.fixture
def committed(repo: Callable[[str], Path], tmp_path: Path) -> Path:
    """A repository in which one small tree stands under a container ref."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "hello").write_text("hello\n")
    path = repo("archive")
    ostree("commit", f"--repo={path}", "--branch=ostree/container/blob/x", files)
    return path


def test_a_whole_repository_passes(committed: Path) -> None:
    verify_state(committed)
    assert show(committed, "ostree/container/blob/x").parent is None
    assert [line.split()[-1] for line in tree(committed, "ostree/container/blob/x") if line] == [
        "/",
        "/hello",
    ]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda repo: next(repo.glob("objects/*/*.filez")).unlink(), id="object-gone"),
        pytest.param(
            lambda repo: (repo / "state" / f"{'0' * 64}.commitpartial").touch(), id="partial"
        ),
        pytest.param(lambda repo: (repo / "tmp/staging-x").mkdir(), id="leftover"),
        pytest.param(
            lambda repo: (repo / "refs/heads/ostree/container/blob/y").write_text("0" * 64),
            id="ref",
        ),
    ],
)
def test_a_damaged_repository_is_noticed(committed: Path, damage: Callable[[Path], object]) -> None:
    damage(committed)
    with pytest.raises((AssertionError, subprocess.CalledProcessError)):
        verify_state(committed)


def test_a_process_that_still_works_on_the_repository_is_noticed(committed: Path) -> None:
    command = ["sh", "-c", "read line", "sh", committed]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        with pytest.raises(AssertionError):
            verify_state(committed)
        process.kill()
    verify_state(committed)


def test_a_golden_result_names_each_layer_once() -> None:
    assert set(small_images()) >= {"base", "derived", "plain"}
    assert len(golden("derived-multi").blobs) == 13
