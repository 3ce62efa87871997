"""Everything that a check of a sysroot can find beyond its repository, told in whole."""

from __future__ import annotations

import os

import pytest
from support.handmade import image_metadata
from support.handmade_sysroot import BOOT_FILES, HandmadeSysroot

from bootc_orch.model.image.reference import ImageReference, OstreeImageReference
from bootc_orch.model.image.refs import image_ref
from bootc_orch.ops.checking.finding import Finding, Remedy, Severity
from bootc_orch.ops.checking.fsck_sysroot import check_sysroot, deployed_signatures
from bound_images import default_lock
from orch_frame.errors import OrchError

FOLLOWED = "ostree-unverified-registry:quay.io/a/b:1"
IMAGE = ImageReference.parse("docker://quay.io/a/b:1")
ORIGIN = f"[origin]\ncontainer-image-reference={FOLLOWED}\n"
TREE = {"usr": {"bin": {"true": b"program"}, "lib": {}}}


@pytest.fixture(autouse=True)
def root(monkeypatch):
    """Let whoever runs the test be taken for root: every file here is theirs."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def world(tmp_path):
    world = HandmadeSysroot(tmp_path)
    world.made.layer("one", {"a": b"1"})
    world.made.image(image_ref(IMAGE), ["one"], tree=TREE)
    return world


def deploy(world, number=0, **options):
    commit = world.made.commit(TREE, image_metadata(["one"]), timestamp=number)
    world.made.ref(f"ostree/0/1/{number}", commit)
    return world.deploy(commit, **{"origin": ORIGIN, **options})


def findings(world, *, contents=True):
    return check_sysroot(world.sysroot, contents=contents).findings


def test_a_sound_sysroot_has_no_findings_and_its_deployments_are_counted(world):
    deploy(world)
    deploy(world, 1)
    report = check_sysroot(world.sysroot)
    assert (report.findings, report.deployments, report.images) == ((), 2, 1)


def test_only_root_may_read_everything_in_a_sysroot(world, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(OrchError) as caught:
        check_sysroot(world.sysroot, contents=False)
    assert caught.value.summary == (
        f"Only root may read everything in {world.path}, which a check has to."
    )


def test_what_is_wrong_in_the_repository_comes_first(world):
    made = deploy(world)
    made.origin_path.unlink()
    world.made.ref("os/stable", "garbage")
    assert [finding.kind for finding in findings(world)] == ["damaged-ref", "missing-origin"]


def test_a_boot_entry_that_cannot_be_read_is_put_right_by_hand(world):
    deploy(world)
    deploy(world, 1)
    entry = world.entry(1)
    entry.write_text("nonsense\n")
    first, *others = findings(world)
    assert others == []  # what the entry boots is not called a leftover
    assert first == Finding(
        "damaged-boot-list",
        str(entry),
        f"{entry}: The boot entry {entry.name} has a damaged line: 'nonsense'.",
        Remedy.BY_HAND,
        advice="move that boot entry somewhere else; all but what it boots then works again",
    )


@pytest.mark.parametrize("key", ["linux", "initrd"])
@pytest.mark.parametrize("damage", ["missing", "empty", "a directory", "not named"])
def test_a_boot_file_that_is_not_there_has_its_entry_named(world, key, damage):
    deploy(world)
    text = world.entry().read_text()
    [line] = [one for one in text.splitlines() if one.startswith(f"{key} ")]
    name = line.removeprefix(f"{key} ")
    path = world.path / "boot" / name.lstrip("/")
    if damage == "not named":
        world.entry().write_text(text.replace(f"{line}\n", ""))
        name = None
    else:
        path.unlink()
    if damage == "empty":
        path.touch()
    if damage == "a directory":
        path.mkdir()
    detail = f"The boot entry ostree-0.conf names {key} {name}, which is not there."
    assert findings(world) == (
        Finding("missing-boot-file", "ostree-0.conf", detail, Remedy.REDEPLOY),
    )


def test_boot_files_may_be_named_from_the_root(world):
    deploy(world)
    text = world.entry().read_text()
    world.entry().write_text(text.replace(" /ostree/os-", " /boot/ostree/os-"))
    assert findings(world) == ()


@pytest.mark.parametrize("name", BOOT_FILES)
def test_boot_files_are_compared_with_the_checksum_of_their_link(world, name):
    deploy(world)
    [path] = (world.path / "boot/ostree").glob(f"*/{name}")
    path.write_bytes(b"another")
    damaged = Finding(
        "damaged-boot-file",
        "ostree-0.conf",
        "Kernel and initramfs of the boot entry ostree-0.conf are not what it was made for.",
        Remedy.REDEPLOY,
    )
    assert findings(world) == (damaged,)
    text = world.entry().read_text()
    for key in ("devicetree", "fdtdir"):  # part of the checksum as well then
        world.entry().write_text(f"{text}{key} /ostree/dtb\n")
        assert findings(world) == ()


def test_a_large_kernel_is_read_to_its_end(world):
    deploy(world, boot_files={"vmlinuz": bytes((2 << 20) + 5), "initramfs.img": b"initramfs"})
    assert findings(world) == ()


def test_a_deployment_whose_commit_is_gone_has_to_be_made_again(world):
    made = deploy(world, 1)
    (world.made.path / "refs/heads/ostree/0/1/1").unlink()
    world.made.object(f"{made.checksum}.commit").unlink()
    detail = f"The commit of deployment {made.name} is not in the repository."
    assert findings(world) == (Finding("missing-commit", made.name, detail, Remedy.REDEPLOY),)


@pytest.mark.parametrize(("content", "found"), [(b"", True), (b"nameserver ::1\n", False)])
def test_an_empty_resolv_conf_comes_from_an_image_build(world, content, found):
    commit = world.made.commit({"usr": {"etc": {"resolv.conf": content}}})
    made = world.deploy(commit, origin=ORIGIN)
    finding = Finding(
        "empty-resolv-conf",
        made.name,
        f"Deployment {made.name} has an empty usr/etc/resolv.conf, which comes from an image "
        "build.",
        Remedy.REDEPLOY,
        Severity.WARNING,
    )
    assert findings(world) == ((finding,) if found else ())


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, "usr/0"), (3, "usr/0, usr/1, usr/2"), (5, "usr/0, usr/1, usr/2 and 2 more")],
)
def test_files_that_are_not_those_of_the_commit_are_named(world, count, shown):
    commit = world.made.commit({"usr": {str(number): b"1" for number in range(5)}})
    made = world.deploy(commit, origin=ORIGIN)
    paths = tuple(f"usr/{number}" for number in range(count))
    for path in paths:
        (made.path / path).unlink()
    detail = f"Deployment {made.name} is not what its commit says: {shown}."
    assert findings(world) == (
        Finding("damaged-deployment", made.name, detail, Remedy.REPAIR, paths=paths),
    )


def test_directories_that_are_gone_have_a_remedy_of_their_own(world):
    made = deploy(world)
    (made.path / "usr/lib").rmdir()
    (made.path / "usr/bin/true").unlink()
    detail = f"Deployment {made.name} is not what its commit says:"
    assert findings(world) == (
        Finding(
            "damaged-deployment",
            made.name,
            f"{detail} usr/bin/true.",
            Remedy.REPAIR,
            paths=("usr/bin/true",),
        ),
        Finding(
            "missing-directory",
            made.name,
            f"{detail} usr/lib.",
            Remedy.REDEPLOY,
            paths=("usr/lib",),
        ),
    )


def test_a_damaged_object_is_a_damaged_file_of_the_deployment_only_where_contents_are_read(world):
    made = deploy(world)
    with (made.path / "usr/bin/true").open("ab") as file:
        file.write(b"more")
    assert [finding.kind for finding in findings(world)] == ["damaged-object", "damaged-deployment"]
    assert findings(world, contents=False) == ()


def test_a_deployment_without_an_origin_follows_nothing(world):
    made = deploy(world, origin=None)
    detail = f"Deployment {made.name} has no origin, so nothing says what it follows."
    assert findings(world) == (
        Finding(
            "missing-origin", made.name, detail, Remedy.REWRITE_ORIGIN, severity=Severity.WARNING
        ),
    )


@pytest.mark.parametrize(
    ("text", "reason", "advice"),
    [
        pytest.param(
            "nonsense",
            "line 1 is not a keyfile line.",
            "correct the file, or remove it: then nothing says what is followed",
            id="no keyfile",
        ),
        pytest.param(
            "[origin]\ncontainer-image-reference=nonsense\n",
            "'nonsense' does not say who vouches for the image.",
            "write ostree-image-signed:IMAGE, ostree-unverified-image:IMAGE, "
            "ostree-unverified-registry:NAME, ostree-remote-image:REMOTE:IMAGE or "
            "ostree-remote-registry:REMOTE:NAME",
            id="no reference",
        ),
    ],
)
def test_an_origin_that_cannot_be_understood_is_written_anew(world, text, reason, advice):
    made = deploy(world)
    made.origin_path.write_text(text)
    detail = f"The origin of deployment {made.name}, {made.origin_path}, is damaged: {reason}"
    assert findings(world) == (
        Finding("bad-origin", made.name, detail, Remedy.REWRITE_ORIGIN, advice=advice),
    )


def test_an_image_that_is_followed_but_not_stored_is_pulled(world):
    made = deploy(world)
    (world.made.path / "refs/heads" / image_ref(IMAGE)).unlink()
    detail = f"Deployment {made.name} follows {IMAGE}, which is not stored."
    assert findings(world) == (
        Finding("missing-image", made.name, detail, Remedy.PULL, severity=Severity.WARNING),
    )


def test_an_image_whose_ref_is_damaged_is_not_called_missing(world):
    deploy(world)
    world.made.ref(image_ref(IMAGE), "garbage")
    assert [finding.kind for finding in findings(world)] == ["damaged-ref"]


def test_a_system_that_follows_a_branch_of_ostree_needs_no_image(world):
    deploy(world, origin="[origin]\nrefspec=fedora:stable\n")
    assert findings(world) == ()


def test_app_images_that_cannot_be_checked_are_said_to_be_so(world):
    made = deploy(world)
    record = default_lock(world.sysroot.store_path, made.name)
    record.parent.mkdir(parents=True)
    record.write_text("nonsense")
    [finding] = findings(world)
    start = f"The app images of deployment {made.name} cannot be checked: "
    assert finding == Finding(
        "unchecked-bound-images", made.name, finding.detail, Remedy.SYNC, Severity.WARNING
    )
    assert finding.detail.startswith(start)
    assert len(finding.detail) > len(start)


def test_what_nothing_boots_is_left_over(world):
    made = deploy(world)
    leftover = made.path.with_name(f"{'0' * 64}.0")
    leftover.mkdir()
    (made.path.with_name("backup")).mkdir()
    assert findings(world) == (
        Finding(
            "leftover-deployment",
            leftover.name,
            f"Nothing boots the deployment {leftover}.",
            Remedy.CLEANUP,
            Severity.WARNING,
        ),
    )


def test_who_vouches_for_an_image_is_read_from_all_origins(world):
    signed = "ostree-image-signed:docker://quay.io/a/c:1"
    deploy(world)
    deploy(world, 1, origin=f"[origin]\ncontainer-image-reference={signed}\n", stateroot="other")
    deploy(world, 2, origin="[origin]\nrefspec=fedora:stable\n")
    references = [OstreeImageReference.parse(text) for text in (FOLLOWED, signed)]
    assert deployed_signatures(world.path) == {one.image: one.signature for one in references}
