"""Host commands on sysroots in directories, with the real ostree."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.cli import UNPRIVILEGED, bootc_orch
from support.host import HOST_SCHEMA, KERNEL, MakeOs, System, make_os
from support.injection import small_filesystem
from support.registry import Registry

from bootc_orch.tools.ostree.admin import SET_DEFAULT_SINCE
from bootc_orch.tools.ostree.repo import ostree_version

pytestmark = pytest.mark.root


@pytest.fixture
def system(tmp_path: Path, os_image: MakeOs) -> Iterator[System]:
    """A sysroot with version 1 deployed."""
    installed = System.installed(tmp_path / "sysroot", os_image(), "--karg", "quiet")
    yield installed
    installed.release()


def test_boot_entries_that_a_boot_loader_may_not_follow_are_warned_of(tmp_path, os_image):
    """An ostree before 2023.2 leaves out ``/boot``, whatever the repository is told."""
    argv = (
        "--source-imgref", os_image(), "--root-mount-spec", "LABEL=root", "--bound-images", "skip",
        "--skip-finalize",
    )  # fmt: skip
    with small_filesystem(tmp_path / "a", 48) as root, small_filesystem(tmp_path / "b", 16) as boot:
        result = bootc_orch("install", "to-filesystem", root, *argv)
        [entry] = System(root).boot_entries()
        prefixed = "\nlinux /boot/ostree/" in entry
        assert prefixed == (ostree_version() >= (2023, 2))
        assert ("knows no sysroot.bootprefix" in result.stderr) == (not prefixed)
        System(root).release()
        second = tmp_path / "second"
        (second / "boot").mkdir(parents=True)
        own_boot = ("sh", "-c", f'mount --bind {boot} {second}/boot && exec "$@"', "sh")
        prefix = ("unshare", "--mount", "--propagation", "private", *own_boot)
        result = bootc_orch("install", "to-filesystem", second, *argv, prefix=prefix)
        assert "bootprefix" not in result.stderr
        System(second).release()


def test_an_installed_sysroot_is_laid_out_as_bootcs(system, os_image):
    [entry] = system.entries()
    commit = entry["ostree"]["checksum"]
    config = (system.repo / "config").read_text()
    for line in ("bootloader=none", "bootprefix=true", "readonly=true"):
        assert line in config
    origin = system.root().with_name(f"{commit}.0.origin")
    name = entry["image"]["image"]["image"]
    assert origin.read_text() == (
        f"[origin]\ncontainer-image-reference=ostree-unverified-image:oci:{name}\n"
    )
    refs = subprocess.check_output(["ostree", f"--repo={system.repo}", "refs"], text=True).split()
    [image_ref] = [ref for ref in refs if ref.startswith("ostree/container/image/")]
    revision = subprocess.check_output(
        ["ostree", f"--repo={system.repo}", "rev-parse", image_ref], text=True
    )
    assert revision.strip() == commit
    assert [ref for ref in refs if ref.startswith("ostree/container/blob/sha256_3A_")]
    assert [ref for ref in refs if ref.startswith(("ostree/0/", "ostree/1/"))]
    [boot] = system.boot_entries()
    assert boot.splitlines()[:2] == ["title Test System (ostree:0)", "version 1"]
    options = boot.splitlines()[2].split()
    assert options[:4] == ["options", "root=LABEL=root", "rw", "quiet"]
    assert options[4].startswith("ostree=/ostree/boot.1/default/")
    assert (system.path / "boot/loader").readlink() == Path("loader.1")
    assert not (system.path / ".bootc-aleph.json").exists()
    system.check()


@pytest.mark.parametrize(
    ("prepare", "argv", "complaint"),
    [
        pytest.param(lambda root: (root / "x").touch(), (), "is not empty", id="not-empty"),
        pytest.param(lambda root: root.rmdir(), (), "no directory", id="missing"),
        pytest.param(lambda root: None, ("--stateroot", "../x"), "stateroot", id="X06-stateroot"),
        pytest.param(lambda root: None, ("--karg", "a\nb"), "control character", id="X03-karg"),
        pytest.param(lambda root: None, ("--karg", "ostree=x"), "itself", id="karg-ostree"),
        pytest.param(lambda root: None, ("--root-mount-spec", "a b"), "one kernel", id="spec"),
        pytest.param(
            lambda root: None, ("--bootloader-device", "/dev/null"), "no boot loader", id="device"
        ),
    ],
)
def test_install_refuses_what_it_cannot_use(tmp_path, os_image, prepare, argv, complaint):
    root = tmp_path / "root"
    root.mkdir()
    prepare(root)
    result = bootc_orch(
        "install", "to-filesystem", root, "--source-imgref", os_image(),
        "--root-mount-spec", "", *argv, status=2,
    )  # fmt: skip
    assert complaint in result.stderr


def test_install_refuses_a_boot_loader_whose_installer_is_missing(tmp_path, os_image):
    root = tmp_path / "root"
    root.mkdir()
    result = bootc_orch(
        "install", "to-filesystem", root, "--source-imgref", os_image(),
        "--root-mount-spec", "", "--bootloader", "bootupd", status=69,
    )  # fmt: skip
    assert "bootupctl is not installed" in result.stderr
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        pytest.param({"labels": {"containers.bootc": "1"}}, None, id="good"),
        pytest.param({"files": {f"usr/lib/modules/{KERNEL}/initramfs.img": None}}, "initramfs",
                     id="X02-no-initramfs"),
        pytest.param({"files": {"usr/lib/modules/7/vmlinuz": b"x"}}, "2 kernels", id="X02-two"),
        pytest.param({"files": {"usr/lib/bootc/kargs.d/a.toml": b'kargs = ["a\\nb"]'}},
                     "control character", id="X03-newline"),
        pytest.param({"files": {"usr/lib/bootc/kargs.d/a.toml": b'kargs = ["init=/x"]'}},
                     "the deployment itself", id="X03-init"),
        pytest.param({"files": {"usr/lib/bootc/kargs.d/a.toml": b"krags = []"}},
                     "unknown key", id="kargs-unknown-key"),
    ],
)  # fmt: skip
def test_an_image_that_would_not_boot_is_refused_before_anything_changes(
    system, os_image, options, complaint
):
    image = os_image(2, **options)
    before = system.snapshot()
    if complaint is None:
        system.switch(image)
        assert system.versions() == ["2", "1"]
        return
    result = system.switch(image, status=65)
    assert complaint in result.stderr
    assert system.snapshot() == before
    system.check()


def test_an_upgrade_merges_etc_and_keeps_var(system, os_image):
    first = system.root()
    (first / "etc/edited.conf").write_text("mine\n")
    (first / "etc/local.conf").write_text("local\n")
    state = system.path / "ostree/deploy/default/var/state"
    state.write_text("kept\n")
    system.switch(os_image(2, files={"etc/new.conf": b"new\n"}))
    second = system.root()
    assert second != first
    found = {path.name: path.read_text() for path in (second / "etc").glob("*.conf")}
    assert found == {
        "edited.conf": "mine\n",
        "local.conf": "local\n",
        "new.conf": "new\n",
        "untouched.conf": "from image 2\n",
    }
    assert state.read_text() == "kept\n"
    assert system.versions() == ["2", "1"]
    system.check()


def test_upgrade_follows_the_image_and_says_when_there_is_nothing_new(tmp_path, os_image):
    layout = tmp_path / "followed"
    system = System.installed(tmp_path / "sysroot", make_os(layout, 1))
    try:
        result = system.run("upgrade", "--unchanged-exit-77", status=77)
        assert "No update available." in result.lines
        layout.rename(tmp_path / "old")
        make_os(layout, 2)
        result = system.run("upgrade", "--check")
        assert f"Update available for: ostree-unverified-image:oci:{layout}" in result.lines
        assert "  Version: 2" in result.lines
        assert system.versions() == ["1"]
        assert system.entries()[0]["cachedUpdate"]["version"] == "2"
        result = system.run("upgrade")
        assert result.lines[-3:-1] == [
            f"Queued for next boot: ostree-unverified-image:oci:{layout}",
            "  Version: 2",
        ]
        assert system.versions() == ["2", "1"]
    finally:
        system.release()


def test_switching_to_the_same_image_changes_nothing(system, os_image):
    image = os_image(2)
    system.switch(image)
    before = system.snapshot()
    assert system.switch(image).lines == ["Image specification is unchanged."]
    assert system.snapshot() == before


def test_kernel_arguments_are_carried_over_three_ways(system, os_image):
    kargs = "usr/lib/bootc/kargs.d/10-x.toml"
    system.switch(os_image(2, files={kargs: b'kargs = ["a=1", "b"]'}))
    assert system.kargs() == "root=LABEL=root rw quiet a=1 b"
    system.run("kargs", "--delete", "b", "--append", "mine=1")
    assert system.kargs() == "root=LABEL=root rw quiet a=1 mine=1"
    system.switch(os_image(3, files={kargs: b'kargs = ["a=2", "b"]'}))
    assert system.kargs() == "root=LABEL=root rw quiet mine=1 a=2"
    system.switch(os_image(4))
    assert system.kargs() == "root=LABEL=root rw quiet mine=1 a=2"
    system.check()


def test_rollback_swaps_the_two_systems_and_back(system, os_image):
    system.switch(os_image(2))
    (system.root() / "etc/local.conf").write_text("of version 2\n")
    system.run("rollback")
    assert system.versions() == ["1", "2"]
    if ostree_version() >= SET_DEFAULT_SINCE:
        assert not (system.root() / "etc/local.conf").exists()
    system.run("rollback")
    assert system.versions() == ["2", "1"]
    assert (system.root() / "etc/local.conf").read_text() == "of version 2\n"
    system.check()


def test_a_sysroot_with_one_deployment_has_nothing_to_roll_back_to(system):
    before = system.snapshot()
    assert "no rollback" in system.run("rollback", status=66).stderr
    assert system.snapshot() == before


def test_a_pinned_deployment_outlives_the_two_that_follow_it(system, os_image):
    system.run("pin", "0")
    assert system.entries()[0]["pinned"] is True
    for number in (2, 3):
        system.switch(os_image(number))
    assert system.versions() == ["3", "2", "1"]
    system.run("unpin", "2")
    system.switch(os_image(4))
    assert system.versions() == ["4", "3"]
    system.check()


def test_cleanup_removes_the_rollback_with_all_that_only_it_needs(system, os_image):
    system.switch(os_image(2))
    assert len(bootc_orch("image", "list", "--repo", system.repo, "--json").json["images"]) == 2
    assert any("Removed deployment" in line for line in system.run("cleanup", "--rollback").lines)
    assert system.versions() == ["2"]
    assert len(bootc_orch("image", "list", "--repo", system.repo, "--json").json["images"]) == 1
    assert len(bootc_orch("layers", "--repo", system.repo, "--json").json["layers"]) == 1
    system.check()


def test_status_needs_no_privileges_and_is_a_valid_document(system, os_image):
    system.switch(os_image(2))
    result = bootc_orch("status", "--json", "--sysroot", system.path, prefix=UNPRIVILEGED)
    assert result.json == system.status()
    jsonschema.Draft202012Validator(HOST_SCHEMA).validate(result.json)
    human = system.run("status", "--format", "humanreadable", "-v")
    assert "Version: 2" in human.stdout


def test_status_of_a_machine_that_is_no_ostree_system_is_an_answer(tmp_path):
    document = bootc_orch("status", "--json").json
    jsonschema.Draft202012Validator(HOST_SCHEMA).validate(document)
    assert document["status"]["booted"] is None
    assert bootc_orch("status", "--format-version", "2", status=2).stdout == ""


def test_the_status_of_a_root_that_is_not_there_is_no_answer(tmp_path):
    assert "no directory" in bootc_orch("status", "--sysroot", tmp_path / "x", status=66).stderr


def damaged_origin(text: bytes) -> Callable[[System, dict[str, Any]], Path]:
    def damage(system: System, ostree: dict[str, Any]) -> Path:
        root = system.path / "ostree/deploy" / ostree["stateroot"] / "deploy"
        path = root / f"{ostree['checksum']}.{ostree['deploySerial']}.origin"
        path.write_bytes(text)
        return path

    return damage


def damaged_entry(change: Callable[[bytes], bytes]) -> Callable[[System, dict[str, Any]], Path]:
    def damage(system: System, ostree: dict[str, Any]) -> Path:
        [path] = (
            path
            for path in (system.path / "boot/loader/entries").iterdir()
            if "version 1\n" in path.read_text()
        )
        path.write_bytes(change(path.read_bytes()))
        return path

    return damage


@pytest.mark.parametrize(
    ("damage", "hint"),
    [
        pytest.param(damaged_origin(b"\xff\xfe"), "Correct the file", id="origin-binary"),
        pytest.param(damaged_origin(b"garbage\n"), "Correct the file", id="origin-garbage"),
        pytest.param(
            damaged_origin(b"[origin]\ncontainer-image-reference=banana\n"),
            "Correct container-image-reference=",
            id="origin-reference",
        ),
        pytest.param(damaged_entry(lambda old: b""), "Move that boot entry", id="entry-empty"),
        pytest.param(damaged_entry(lambda old: b"\xff"), "Move that boot entry", id="entry-binary"),
        pytest.param(
            damaged_entry(lambda old: old.replace(b"/default/", b"/nowhere/")),
            "Move that boot entry",
            id="entry-dangling",
        ),
    ],
)
def test_status_shows_all_but_what_is_damaged_and_the_rest_says_what_to_do(
    system, os_image, damage, hint
):
    system.switch(os_image(2))
    path = damage(system, system.entries()[1]["ostree"])
    shown = system.run("status", "--json")
    jsonschema.Draft202012Validator(HOST_SCHEMA).validate(shown.json)
    assert shown.json["status"]["otherDeployments"][0]["image"]["version"] == "2"
    assert path.name in shown.stderr
    assert hint in shown.stderr
    refused = system.run("cleanup", status=65)
    assert path.name in refused.stderr
    assert f"hint: {hint}" in refused.stderr


@pytest.mark.parametrize(
    ("command", "argv", "complaint"),
    [
        pytest.param("upgrade", ("--check", "--plan"), "exclude each other", id="check-plan"),
        pytest.param("upgrade", ("--check", "--karg", "a=b"), "exclude", id="check-karg"),
        pytest.param("upgrade", ("--tag", ""), "is not a tag", id="empty-tag"),
        pytest.param("upgrade", ("--tag", "a b"), "is not a tag", id="tag"),
        pytest.param("kargs", ("--append", "init=/bin/sh"), "deployment itself", id="karg"),
        pytest.param(
            "deploy",
            ("--imgref", "ostree-unverified-image:oci:/x", "--enforce-container-sigpolicy"),
            "exclude each other",
            id="imgref-policy",
        ),
        pytest.param(
            "deploy",
            ("--imgref", "ostree-unverified-image:oci:/x", "--write-commitid-to", "/gone/x"),
            "/gone is no directory",
            id="commitid",
        ),
    ],
)
def test_options_that_could_only_be_ignored_are_refused(system, command, argv, complaint):
    before = system.snapshot()
    assert complaint in system.run(command, *argv, status=2).stderr
    assert system.snapshot() == before


@pytest.mark.parametrize("argv", [("pin", "0"), ("cleanup",), ("kargs", "--append", "a=b")])
def test_without_privileges_it_is_said_that_root_is_needed(system, argv):
    refused = bootc_orch(*argv, "--sysroot", system.path, prefix=UNPRIVILEGED, status=73)
    assert "hint: Run the command as root." in refused.stderr


def test_an_update_is_planned_and_looked_for_without_privileges(tmp_path, registry):
    name = registry.push(make_os(tmp_path / "os-1", 1), "os")
    argv = ("--insecure-skip-tls-verification", "--sysroot")
    system = System.installed(tmp_path / "sysroot", f"docker://{name}", argv[0])
    try:
        registry.push(make_os(tmp_path / "os-2", 2), "os")
        before = system.snapshot()
        how = {"prefix": UNPRIVILEGED, "env": {"HOME": "/"}}
        plan = bootc_orch("upgrade", "--plan", "--json", *argv, system.path, **how).json["plan"]
        assert len(plan["fetch"]) == 1
        found = bootc_orch("upgrade", "--check", *argv, system.path, **how)
        assert "  Version: 2" in found.lines
        assert "not noted for status, which only root can do" in found.stderr
        refused = bootc_orch("upgrade", *argv, system.path, status=73, **how)
        assert "Run the command as root" in refused.stderr
        assert system.snapshot() == before
    finally:
        system.release()


def test_a_newer_version_is_not_looked_for_without_asking(system):
    """Where nothing may be fetched, neither "not stored" nor "no changes" would be true."""
    assert "Leave out --offline" in system.run("upgrade", "--check", "--offline", status=2).stderr


def test_deploy_starts_afresh_in_another_stateroot(system, os_image, tmp_path):
    subprocess.run(["ostree", "admin", "os-init", f"--sysroot={system.path}", "other"], check=True)
    digest = tmp_path / "commit"
    system.run(
        "deploy", "--imgref", f"ostree-unverified-image:{os_image(2)}", "--stateroot", "other",
        "--karg", "root=LABEL=other", "--write-commitid-to", digest,
    )  # fmt: skip
    first, second = system.entries()
    assert (first["ostree"]["stateroot"], second["ostree"]["stateroot"]) == ("other", "default")
    assert first["ostree"]["checksum"] == digest.read_text()
    assert system.kargs() == "root=LABEL=other"
    system.check()


@pytest.mark.parametrize("verb", ["upgrade", "switch", "rollback"])
def test_soft_reboots_are_refused(system, verb):
    target = ("--transport", "oci", "/nowhere") if verb == "switch" else ()
    result = system.run(verb, *target, "--soft-reboot", "auto", status=69)
    assert "Soft reboots are not supported" in result.stderr


def plain_ostree(path: Path, tree: Path) -> System:
    """A sysroot that follows a plain ostree branch."""
    path.mkdir()
    repo = path / "ostree/repo"
    admin = ["ostree", "admin", f"--sysroot={path}"]
    subprocess.run(["ostree", "admin", "init-fs", "--modern", path], check=True)
    subprocess.run([*admin, "os-init", "default"], check=True)
    subprocess.run(
        ["ostree", "commit", f"--repo={repo}", "--branch=test/os", f"--tree=dir={tree}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(
        [*admin, "deploy", "--os=default", "--karg=root=LABEL=root", "--karg=rw", "test/os"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return System(path)


@pytest.fixture
def plain(tmp_path: Path, os_image: MakeOs) -> Iterator[System]:
    """A sysroot that follows the branch ``test/os``."""
    source = System.installed(tmp_path / "source", os_image())
    tree = tmp_path / "tree"
    commit = source.entries()[0]["ostree"]["checksum"]
    subprocess.run(["ostree", "checkout", f"--repo={source.repo}", commit, tree], check=True)
    source.release()
    system = plain_ostree(tmp_path / "plain", tree)
    yield system
    system.release()


def test_a_plain_ostree_system_moves_to_an_image_in_place_and_back(plain, os_image):
    [before] = plain.entries()
    assert (before["image"], before["refspec"]) == (None, "test/os")
    (plain.root() / "etc/edited.conf").write_text("mine\n")
    assert "follows the ostree branch test/os" in plain.run("upgrade", status=1).stderr
    plain.switch(os_image(2))
    new, old = plain.entries()
    assert new["image"]["version"] == "2"
    assert (plain.root() / "etc/edited.conf").read_text() == "mine\n"
    assert plain.kargs() == "root=LABEL=root rw"
    assert old["ostree"]["checksum"] == before["ostree"]["checksum"]
    refs = subprocess.check_output(["ostree", f"--repo={plain.repo}", "refs"], text=True).split()
    assert "test/os" not in refs
    plain.run("rollback")
    assert plain.entries()[0]["ostree"]["checksum"] == before["ostree"]["checksum"]
    plain.check()


def test_the_branch_is_kept_when_asked(plain, os_image):
    plain.switch(os_image(2), "--retain")
    refs = subprocess.check_output(["ostree", f"--repo={plain.repo}", "refs"], text=True).split()
    assert "test/os" in refs


def test_changes_by_rpm_ostree_are_shown_and_refused(plain, os_image):
    [origin] = (plain.path / "ostree/deploy/default/deploy").glob("*.origin")
    origin.write_text("[origin]\nbaserefspec=test/os\n\n[packages]\nrequested=vim;\n")
    [entry] = plain.entries()
    assert entry["incompatible"] is True
    before = plain.snapshot()
    result = plain.switch(os_image(2), status=1)
    assert "packages or overrides of rpm-ostree (packages)" in result.stderr
    assert plain.snapshot() == before


def test_progress_for_programs_is_valid_to_the_end(system, os_image, tmp_path):
    image = os_image(2).partition(":")[2]
    lines = tmp_path / "progress"
    script = f'exec 3>{lines}; exec "$0" "$@"'
    bootc_orch(
        "switch", "--transport", "oci", image, "--sysroot", system.path, "--progress-fd", "3",
        prefix=("sh", "-c", script),
    )  # fmt: skip
    schema = json.loads((Path(__file__).parents[2] / "schemas/progress-v0.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    events = [json.loads(line) for line in lines.read_text().splitlines()]
    for event in events:
        validator.validate(event)
    assert events[0] == {"type": "Start", "version": "0.1.0"}
    tasks = list(dict.fromkeys(event["task"] for event in events[1:]))
    assert tasks == ["pulling", "importing", "staging"]


def test_download_only_fetches_all_and_stages_nothing_where_nothing_is_booted(tmp_path):
    layout = tmp_path / "followed"
    system = System.installed(tmp_path / "sysroot", make_os(layout, 1))
    try:
        layout.rename(tmp_path / "old")
        make_os(layout, 2)
        result = system.run("upgrade", "--download-only")
        assert f"Downloaded, not staged: ostree-unverified-image:oci:{layout}" in result.lines
        assert system.versions() == ["1"]
        layout.rename(tmp_path / "gone")
        system.run("upgrade", "--from-downloaded")
        assert system.versions() == ["2", "1"]
    finally:
        system.release()


@pytest.mark.parametrize("reachable", [True, False])
def test_what_was_downloaded_is_staged_with_the_app_images_of_then(tmp_path, registry, reachable):
    """Also where an app image has moved on since, or its registry is gone."""
    layout = tmp_path / "followed"
    system = System.installed(tmp_path / "sysroot", make_os(layout, 1))
    try:
        layout.rename(tmp_path / "old")
        make_os(layout, 2, **_binding(registry))
        registry.push(make_os(tmp_path / "app-1", 1), "app")
        then = _digest(registry)
        system.run("upgrade", "--download-only")
        registry.push(make_os(tmp_path / "app-2", 2), "app")
        assert _digest(registry) != then
        if not reachable:
            shutil.rmtree(registry.directory / "storage")
        system.run("cleanup")
        asked = len(registry.requests())
        argv = ("upgrade", "--from-downloaded", "--retries", "0")
        [planned] = system.run(*argv, "--plan", "--json").json["plan"]["bound_images"]
        assert (planned["action"], planned["size"]) == ("keep", 0)
        system.run(*argv)
        assert len(registry.requests()) == asked
        [app] = system.entries()[0]["boundImages"]
        assert app["imageDigest"] == then
    finally:
        system.release()


@pytest.mark.parametrize("how", ["command line", "configuration"])
def test_app_images_wait_for_a_lock_no_longer_than_is_said(tmp_path, registry, how):
    layout = make_os(tmp_path / "os-2", 2, **_binding(registry))
    system = System.installed(tmp_path / "sysroot", make_os(tmp_path / "os-1", 1))
    (tmp_path / "config.yaml").write_text("lock_timeout: 1\n")
    said = {
        "command line": (("switch",), ("--lock-timeout", "1")),
        "configuration": (("--config", tmp_path / "config.yaml", "switch"), ()),
    }
    before, after = said[how]
    lock = system.path / "ostree/bootc/bound-images/lock"
    lock.parent.mkdir(parents=True)
    try:
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            started = time.monotonic()
            refused = bootc_orch(
                *before, "--transport", "oci", layout.partition(":")[2], *after,
                "--sysroot", system.path, status=75,
            )  # fmt: skip
        assert time.monotonic() - started < 30
        assert str(lock.parent) in refused.stderr
        assert system.versions() == ["1"]
    finally:
        system.release()


def _binding(registry: Registry) -> dict[str, dict[str, bytes] | dict[str, str]]:
    """What an OS image needs to be bound to the app image of *registry*."""
    unit = f"[Image]\nImage={registry.name('app')}\nTLSVerify=false\n".encode()
    return {
        "files": {"usr/share/containers/systemd/app.image": unit},
        "links": {
            "usr/lib/bootc/bound-images.d/app.image": "/usr/share/containers/systemd/app.image"
        },
    }


def _digest(registry: Registry) -> str:
    command = ["skopeo", "inspect", "--tls-verify=false", "--format={{.Digest}}"]
    return subprocess.check_output(
        [*command, f"docker://{registry.name('app')}"], text=True
    ).strip()


def test_a_plan_tells_bytes_and_space_and_changes_nothing(system, os_image):
    image = os_image(2).partition(":")[2]
    before = system.snapshot()
    command = ("switch", "--transport", "oci", image, "--plan", "--json")
    plan = system.run(*command).json["plan"]
    assert plan["bytes"] == sum(layer["size"] for layer in plan["fetch"]) > 0
    assert plan["bound_images"] is None
    assert plan["space"]["root"]["free"] > plan["space"]["root"]["needed"] == plan["bytes"]
    assert system.snapshot() == before
    bootc_orch("image", "pull", system.repo, f"ostree-unverified-image:oci:{image}")
    plan = system.run(*command).json["plan"]
    assert (plan["bytes"], plan["bound_images"], plan["deployed"]) == (0, [], False)
    assert system.versions() == ["1"]


def test_what_is_on_disk_is_what_bootc_leaves(system):
    """File by file, but for objects and the tree of the deployment."""
    commit = system.entries()[0]["ostree"]["checksum"]
    [boot] = (system.path / "boot/ostree").iterdir()
    bootcsum = boot.name.removeprefix("default-")
    modern = ostree_version() >= (2024, 5)
    entry = "ostree-1.conf" if modern else "ostree-1-default.conf"
    [record] = (system.path / "ostree/repo/extensions/bootc-orch/layers").iterdir()
    expected = {
        "boot/boot",
        "boot/loader",
        f"boot/loader.1/entries/{entry}",
        f"boot/ostree/default-{bootcsum}/initramfs-{KERNEL}.img",
        f"boot/ostree/default-{bootcsum}/vmlinuz-{KERNEL}",
        "ostree/boot.1",
        f"ostree/boot.1.1/default/{bootcsum}/0",
        f"ostree/deploy/default/deploy/{commit}.0.origin",
        "ostree/deploy/default/var/.ostree-selabeled",
        "ostree/deploy/default/var/lock",
        "ostree/deploy/default/var/run",
        "ostree/repo/.bootc-orch.lock",
        "ostree/repo/.lock",
        "ostree/repo/config",
        str(record.relative_to(system.path)),
    }
    found = {
        str(path.relative_to(system.path))
        for path in system.path.rglob("*")
        if path.is_symlink() or path.is_file()
    }
    ignored = (
        "ostree/repo/objects/",
        "ostree/repo/refs/",
        f"ostree/deploy/default/deploy/{commit}.0/",
    )
    assert {name for name in found if not name.startswith(ignored)} == expected
