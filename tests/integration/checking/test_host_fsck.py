"""Damage of every kind is named by ``fsck``, and ``repair`` fetches only what is bad."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.cli import UNPRIVILEGED, Result, at_place, bootc_orch
from support.host import KERNEL, System, make_os
from support.registry import Registry

from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import IMAGE_PREFIX, image_ref
from bootc_orch.tools.ostree.repo import Repo

pytestmark = pytest.mark.root


@dataclass(frozen=True, slots=True)
class Sick:
    """A repository with an image of two layers from a registry, and what damages it.

    Attributes:
        repo: The repository.
        registry: Where the image came from.
        image: Its reference.
    """

    repo: Repo
    registry: Registry
    image: str

    @property
    def ref(self) -> str:
        [ref] = self.repo.refs(IMAGE_PREFIX)
        return ref

    @property
    def commit(self) -> str:
        return self.repo.refs(IMAGE_PREFIX)[self.ref]

    @property
    def layer_refs(self) -> list[str]:
        return sorted(self.repo.refs("ostree/container/blob"))

    def tree(self) -> str:
        return self.repo.commit(self.commit).tree

    def file(self) -> Path:
        """The content object of one file of the image: its kernel."""
        tree = self.repo.dirtree(self.tree())
        for part in ("usr", "lib", "modules", KERNEL):
            [checksum] = [child for name, child, _ in tree.dirs if name == part.encode()]
            tree = self.repo.dirtree(checksum.hex())
        return self.repo.content_path(dict(tree.files)[b"vmlinuz"].hex())


@pytest.fixture
def sick(tmp_path: Path, registry: Registry, repo: Callable[..., Path]) -> Sick:
    name = registry.push(make_os(tmp_path / "os"), "os")
    path = repo("bare")
    reference = f"ostree-unverified-registry:{name}"
    bootc_orch("image", "pull", path, reference, "--insecure-skip-tls-verification")
    return Sick(Repo(path), registry, f"docker://{name}")


def flip_a_bit(world: Sick) -> None:
    with world.file().open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))


def truncate(world: Sick) -> None:
    os.truncate(world.file(), 3)


def change_the_mode(world: Sick) -> None:
    world.file().chmod(0o600)


def delete_a_file(world: Sick) -> None:
    world.file().unlink()


def delete_a_dirtree(world: Sick) -> None:
    world.repo.object_path(world.tree(), "dirtree").unlink()


def delete_the_merge_commit(world: Sick) -> None:
    world.repo.object_path(world.commit, "commit").unlink()


def delete_a_layer_ref(world: Sick) -> None:
    (world.repo.path / "refs/heads" / world.layer_refs[0]).unlink()


def delete_a_layer_commit(world: Sick) -> None:
    ref = world.layer_refs[0]
    world.repo.object_path(world.repo.refs("ostree/container/blob")[ref], "commit").unlink()


def spoil_a_layer_ref(world: Sick) -> None:
    (world.repo.path / "refs/heads" / world.layer_refs[0]).write_text("garbage\n")


def spoil_the_image_ref(world: Sick) -> None:
    (world.repo.path / "refs/heads" / world.ref).write_text("")


DAMAGE = {
    "D18-bit": (flip_a_bit, "damaged-object"),
    "D18-truncated": (truncate, "damaged-object"),
    "D18-mode": (change_the_mode, "damaged-object"),
    "D18-deleted": (delete_a_file, "damaged-object"),
    "D18-dirtree": (delete_a_dirtree, "damaged-object"),
    "D18-merge-commit": (delete_the_merge_commit, "damaged-image"),
    "X11-layer-ref": (delete_a_layer_ref, "missing-layer"),
    "D18-layer-commit": (delete_a_layer_commit, "damaged-object"),
    "D19-layer-ref": (spoil_a_layer_ref, "damaged-ref"),
    "D19-image-ref": (spoil_the_image_ref, "damaged-ref"),
}


def fsck(path: Path, status: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bootc_orch("fsck", "--repo", path, "--json", status=status).json[
        "fsck"
    ]["findings"]
    return found


def test_a_sound_repository_has_no_findings(sick):
    assert fsck(sick.repo.path, 0) == []


@pytest.mark.parametrize(("damage", "kind"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named_and_healed(sick, damage, kind):
    commit = sick.commit
    damage(sick)
    findings = fsck(sick.repo.path, 65)
    assert kind in [finding["kind"] for finding in findings]
    assert all(finding["remedy"] for finding in findings)
    bootc_orch("repair", "--repo", sick.repo.path, "--insecure-skip-tls-verification")
    assert fsck(sick.repo.path, 0) == []
    assert sick.commit == commit
    assert list((sick.repo.path / "state").glob("*.commitpartial")) == []


@pytest.mark.parametrize("text", ["garbage\n", "", "0" * 63], ids=["garbage", "empty", "short"])
@pytest.mark.parametrize("part", ["image", "layer"])
def test_a_damaged_ref_is_set_anew_by_the_next_pull(sick, part, text):
    """As after a power cut; ostree itself refuses to overwrite such a ref."""
    refs = sick.repo.refs()
    ref = sick.ref if part == "image" else sick.layer_refs[0]
    (sick.repo.path / "refs/heads" / ref).write_text(text)
    reference = sick.image.replace("docker://", "ostree-unverified-registry:")
    argv = ("image", "pull", sick.repo.path, reference, "--insecure-skip-tls-verification")
    result = bootc_orch(*argv)
    assert f"Ref {ref} of {sick.repo.path} is damaged" in result.stderr
    assert sick.repo.refs() == refs
    assert fsck(sick.repo.path, 0) == []


def test_a_damaged_ref_of_another_image_stops_no_pull(sick, tmp_path):
    refs = sick.repo.refs()
    for ref in (sick.ref, sick.layer_refs[0]):
        (sick.repo.path / "refs/heads" / ref).write_text("")
    other = make_os(tmp_path / "other", 2)
    result = bootc_orch("image", "pull", sick.repo.path, f"ostree-unverified-image:{other}")
    assert "Unused layers are not removed." in result.stderr
    assert {"damaged-ref"} == {finding["kind"] for finding in fsck(sick.repo.path, 65)}
    bootc_orch("repair", "--repo", sick.repo.path, "--insecure-skip-tls-verification")
    assert fsck(sick.repo.path, 0) == []
    assert refs.items() <= sick.repo.refs().items()


def test_an_image_can_have_the_name_of_a_directory_that_is_left_of_others(repo, tmp_path):
    path = repo("bare")
    inner = make_os(tmp_path / "os/inner")
    bootc_orch("image", "pull", path, f"ostree-unverified-image:{inner}")
    bootc_orch("image", "remove", "--repo", path, inner)
    outer = make_os(tmp_path / "os")
    directory = path / "refs/heads" / image_ref(ImageReference.parse(outer))
    assert directory.is_dir()
    bootc_orch("image", "pull", path, f"ostree-unverified-image:{outer}")
    assert directory.is_file()
    assert fsck(path, 0) == []


def test_a_copy_sets_damaged_refs_anew(sick, repo):
    other = Repo(repo("archive"))
    argv = ("image", "copy", "--src-repo", sick.repo.path, "--dest-repo", other.path, sick.image)
    bootc_orch(*argv)
    refs = other.refs()
    for ref in (sick.ref, sick.layer_refs[0]):
        (other.path / "refs/heads" / ref).write_text("garbage\n")
    bootc_orch(*argv)
    assert other.refs() == refs
    assert fsck(other.path, 0) == []


def test_a_compressed_object_that_cannot_be_decompressed_is_one_that_is_damaged(
    tmp_path, registry, repo
):
    name = registry.push(make_os(tmp_path / "os"), "os")
    path = repo("archive")
    reference = f"ostree-unverified-registry:{name}"
    bootc_orch("image", "pull", path, reference, "--insecure-skip-tls-verification")
    world = Sick(Repo(path), registry, f"docker://{name}")
    with world.file().open("r+b") as file:
        file.seek(int.from_bytes(file.read(8)[:4], "big"), os.SEEK_CUR)
        file.write(b"\xff" * 8)
    assert [finding["kind"] for finding in fsck(path, 65)] == ["damaged-object"]
    bootc_orch("repair", "--repo", path, "--insecure-skip-tls-verification")
    assert fsck(path, 0) == []


def test_a_mark_on_a_whole_commit_is_taken_away(sick):
    """D20: the mark is no error, but in the way."""
    (sick.repo.path / "state").mkdir(exist_ok=True)
    mark = sick.repo.path / "state" / f"{sick.commit}.commitpartial"
    mark.touch()
    assert [finding["kind"] for finding in fsck(sick.repo.path, 0)] == ["false-mark"]
    bootc_orch("repair", "--repo", sick.repo.path)
    assert not mark.exists()


def test_only_the_layer_concerned_is_fetched_again(tmp_path, registry, repo):
    image = make_os(tmp_path / "os", 1, more_layers=({"usr/share/a": b"a"}, {"usr/share/b": b"b"}))
    name = registry.push(image, "os")
    path = repo("bare")
    reference = f"ostree-unverified-registry:{name}"
    bootc_orch("image", "pull", path, reference, "--insecure-skip-tls-verification")
    delete_a_layer_commit(Sick(Repo(path), registry, name))
    before = len([line for line in registry.requests() if "/blobs/" in line])
    bootc_orch("repair", "--repo", path, "--insecure-skip-tls-verification")
    fetched = {line for line in registry.requests()[0:] if "/blobs/" in line}
    again = [line for line in registry.requests() if "/blobs/" in line][before:]
    assert len(fetched) >= 3
    # Its config, which is read twice, and one layer.
    assert len({line for line in again if line.startswith("GET")}) == 2
    assert fsck(path, 0) == []


def test_what_cannot_be_had_again_is_said_and_left(sick):
    delete_a_file(sick)
    before = sick.repo.refs()
    for blob in (sick.registry.directory / "storage").rglob("data"):
        blob.unlink()
    result = bootc_orch(
        "repair", "--repo", sick.repo.path, "--insecure-skip-tls-verification", "--json",
        "--retries", "0", status=65,
    )  # fmt: skip
    [failed] = result.json["repaired"]["failed"]
    assert failed["image"] == sick.image
    assert sick.repo.refs() == before


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A sysroot with version 1 deployed."""
    installed = System.installed(tmp_path / "sysroot", make_os(tmp_path / "os"))
    yield installed
    installed.release()


def findings(system: System, status: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = system.run("fsck", "--json", status=status).json["fsck"][
        "findings"
    ]
    return found


def kinds(system: System, status: int) -> list[str]:
    return [finding["kind"] for finding in findings(system, status)]


def test_a_sound_sysroot_has_no_findings(system):
    assert kinds(system, 0) == []


def test_what_boots_is_checked_against_what_it_was_made_of(system):
    [kernel] = (system.path / "boot/ostree").glob("*/vmlinuz-*")
    good = kernel.read_bytes()
    kernel.unlink()
    kernel.write_bytes(b"another kernel")
    assert kinds(system, 65) == ["damaged-boot-file"]
    kernel.write_bytes(b"")
    assert kinds(system, 65) == ["missing-boot-file"]
    kernel.unlink()
    assert kinds(system, 65) == ["missing-boot-file"]
    kernel.write_bytes(good)
    assert kinds(system, 0) == []


def test_origins_and_leftovers_are_looked_at(system):
    root = system.root()
    origin = root.with_name(f"{root.name}.origin")
    good = origin.read_text()
    origin.unlink()
    assert kinds(system, 0) == ["missing-origin"]
    origin.write_text("[origin]\ncontainer-image-reference=nonsense\n")
    assert kinds(system, 65) == ["bad-origin"]
    origin.write_text("[origin]\ncontainer-image-reference=ostree-unverified-registry:x.org/y:1\n")
    assert kinds(system, 0) == ["missing-image"]
    origin.write_text("nonsense")
    assert kinds(system, 65) == ["bad-origin"]
    origin.write_text(good)
    leftover = root.with_name("0" * 64 + ".0")
    leftover.mkdir()
    assert kinds(system, 0) == ["leftover-deployment"]


@pytest.mark.parametrize("text", ["nonsense", "[origin]\ncontainer-image-reference=nonsense\n"])
def test_a_bad_origin_is_named_with_its_deployment_and_its_file(system, text):
    root = system.root()
    origin = root.with_name(f"{root.name}.origin")
    origin.write_text(text)
    [finding] = findings(system, 65)
    assert finding["subject"] == root.name
    assert f"deployment {root.name}, {origin}, is damaged" in finding["detail"]
    assert finding["detail"].count(str(origin)) == 1


def default_entry(system: System) -> Path:
    return max((system.path / "boot/loader/entries").glob("ostree-*.conf"))


def test_one_damaged_boot_entry_hides_no_other_deployment(tmp_path, system):
    """ostree refuses to deploy onto it, so the remedy is to take the entry away."""
    system.switch(make_os(tmp_path / "second", 2))
    old = system.root(1)
    (old / "usr/share/version").unlink()
    entry = default_entry(system)
    good = entry.read_text()
    entry.write_text("nonsense\n")
    first, second = findings(system, 65)
    assert (first["kind"], first["subject"]) == ("damaged-boot-list", str(entry))
    assert str(entry) in first["detail"]
    assert "move that boot entry" in first["remedy"]
    assert (second["kind"], second["subject"]) == ("damaged-deployment", old.name)
    entry.rename(tmp_path / "aside")
    assert "damaged-boot-list" not in kinds(system, 65)
    (tmp_path / "aside").unlink()
    entry.write_text(good)
    system.run("repair")
    assert kinds(system, 0) == []


def test_the_deployments_beside_a_damaged_boot_entry_are_repaired(tmp_path, system):
    system.switch(make_os(tmp_path / "second", 2))
    old = system.root(1)
    (old / "usr/share/version").unlink()
    entry = default_entry(system)
    entry.write_text("nonsense\n")
    system.run("repair", status=65)
    assert kinds(system, 65) == ["damaged-boot-list"]
    assert (old / "usr/share/version").read_bytes() == b"1\n"


def test_who_may_not_read_everything_is_told_to_be_root(system):
    for argv in (("fsck",), ("fsck", "--fast"), ("repair", "--plan")):
        refused = bootc_orch(*argv, "--sysroot", system.path, prefix=UNPRIVILEGED, status=1)
        assert "Run the command as root" in refused.stderr
        assert "writ" not in refused.stderr


def as_a_user(path: Path, *options: str, status: int = 0) -> Result:
    """Check *path* as someone who may come to it, which the directories of tests do not allow."""
    prefix = (*at_place(path, "/srv/checked"), *UNPRIVILEGED)
    return bootc_orch("fsck", "--repo", "/srv/checked", *options, prefix=prefix, status=status)


def test_an_ordinary_user_checks_what_is_readable_to_all(sick, repo):
    """In a bare one, files that only root may read would be taken for damaged."""
    copy = repo("archive")
    argv = ("image", "copy", "--src-repo", sick.repo.path, "--dest-repo", copy, sick.image)
    bootc_orch(*argv)
    refused = as_a_user(sick.repo.path, status=1)
    assert "Run the command as root" in refused.stderr
    for result in (as_a_user(copy, "--json"), as_a_user(sick.repo.path, "--fast", "--json")):
        assert result.json["fsck"]["findings"] == []
