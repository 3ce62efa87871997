"""How a commit is deployed, what proves it, and what the machine is told of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.scripted_ostree import IMAGE, OTHER_IMAGE

from bootc_orch.errors import CommandError
from bootc_orch.model.host.kargs import KargsEdit
from bootc_orch.model.host.origin import Origin
from bootc_orch.ops.deploying.composefs import require_composefs
from bootc_orch.ops.deploying.deploy import DeployRequest, deploy
from bootc_orch.ops.deploying.hooks import HookError, ask_hooks, run_hooks
from bootc_orch.ops.deploying.kargs import image_kargs, upgraded_kargs
from bootc_orch.ops.deploying.next_boot import announce_next_boot
from bootc_orch.ops.deploying.wanted import Wanted, base_deployment, plan_deployment
from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.tools.ostree.admin import DeployOptions
from orch_frame.errors import (
    InvalidImageError,
    NotFoundError,
    ReadOnlyError,
    SpaceError,
    StoreDamagedError,
    ToolError,
)

WANTED = Wanted(IMAGE, IMAGE)
ORIGIN = Origin.for_container(str(IMAGE))


def kargs_tree(**files):
    return {"usr": {"lib": {"bootc": {"kargs.d": {k: v.encode() for k, v in files.items()}}}}}


def request(commit, **options):
    return DeployRequest(commit, ORIGIN, DeployOptions(**{"stateroot": "os", **options}))


def test_a_deployment_is_asked_for_with_its_origin_and_every_argument(machine):
    commit = machine.image(1)
    made = deploy(machine.sysroot, request(commit, kargs=("a=1", "b"), retain=True))
    [(stateroot, origin, *rest)] = machine.ran("ostree", "admin", "deploy")
    assert stateroot == "--os=os"
    assert origin.startswith(f"--origin-file={machine.repo.path}/tmp/bootc-orch-origin-")
    assert rest == [
        "--no-prune", "--retain", "--karg-none", "--karg-append=a=1", "--karg-append=b", commit
    ]  # fmt: skip
    assert (made.origin, made.kargs, made.index) == (ORIGIN, ("a=1", "b"), 0)
    assert list((machine.repo.path / "tmp").iterdir()) == []


def test_what_shall_not_boot_next_is_returned_all_the_same(running):
    made = deploy(running.sysroot, request(running.image(2), kargs=(), default=False))
    assert (made.index, (made.path / "version").read_text()) == (1, "2")


@pytest.mark.parametrize(
    ("stderr", "kind", "summary"),
    [
        pytest.param(
            "error: No space left on device",
            SpaceError,
            "There is no space left to deploy in {root}.",
            id="space",
        ),
        pytest.param(
            "error: Read-only file system", ReadOnlyError, "{root} cannot be written.", id="medium"
        ),
        pytest.param("error: why", CommandError, "ostree exited with status 1.", id="other"),
    ],
)
def test_a_deployment_that_fails_is_told_by_what_ostree_printed(machine, stderr, kind, summary):
    machine.failing["ostree", "admin", "deploy"] = (1, stderr)
    with pytest.raises(kind) as caught:
        deploy(machine.sysroot, request(machine.image(1)))
    assert type(caught.value) is kind
    assert caught.value.summary == summary.format(root=machine.root)
    assert stderr in caught.value.details


def test_an_ostree_that_deploys_nothing_is_caught(machine, monkeypatch):
    monkeypatch.setattr(machine, "_deploy", lambda arguments: None)
    commit = machine.image(1)
    with pytest.raises(StoreDamagedError, match=f"^Commit {commit} was deployed, but nothing "):
        deploy(machine.sysroot, request(commit))
    other = machine.deploy(machine.image(2))
    with pytest.raises(StoreDamagedError, match=f"but {other.name} boots next"):
        deploy(machine.sysroot, request(commit))


def test_a_machine_that_runs_is_told_that_a_reboot_is_due_and_that_it_no_longer_is(running):
    announce_next_boot(running.sysroot)
    assert not running.note.exists()
    commit = running.image(2)
    running.stage(commit, locked=False)
    announce_next_boot(running.sysroot)
    digest = running.repo.commit(commit).text("ostree.manifest-digest")
    assert running.note.read_text() == f"bootc: Reboot required for image: {digest}\n"
    running.stage(commit, locked=True)
    announce_next_boot(running.sysroot)
    assert not running.note.exists()


def test_a_reboot_that_others_ask_for_stays_asked_for(running):
    running.note.write_text("the kernel was updated\n")
    announce_next_boot(running.sysroot)
    assert running.note.read_text() == "the kernel was updated\n"


def test_a_plain_ostree_system_is_announced_by_its_commit(running):
    commit = running.world.made.commit({"version": b"p"})
    running.stage(commit, locked=False)
    announce_next_boot(running.sysroot)
    assert running.note.read_text() == f"bootc: Reboot required for image: {commit}\n"


def test_a_sysroot_that_does_not_run_announces_nothing(machine):
    machine.deploy(machine.image(1))
    machine.note.write_text("bootc: Reboot required for image: sha256:1\n")
    announce_next_boot(machine.sysroot)
    assert machine.note.exists()


def base(machine, **wanted):
    deployments = machine.sysroot.deployments()
    return base_deployment(deployments, machine.sysroot, replace(WANTED, **wanted))


def test_an_update_takes_over_from_what_runs_or_from_what_its_stateroot_has(machine):
    commit = machine.image(1)
    booted = machine.deploy(commit)
    other = machine.deploy(commit, stateroot="other")
    machine.boot(booted)
    (machine.root / "ostree/deploy/empty").mkdir()
    assert base(machine) == replace(booted, booted=True)
    assert base(machine, stateroot="os") == replace(booted, booted=True)
    assert base(machine, stateroot="other") == other
    assert base(machine, stateroot="empty") is None
    with pytest.raises(NotFoundError) as caught:
        base(machine, stateroot="none")
    assert caught.value.hint == "Create it with: ostree admin os-init none"


def planned(machine, commit, wanted=WANTED):
    deployments = machine.sysroot.deployments()
    found = base_deployment(deployments, machine.sysroot, wanted)
    return plan_deployment(machine.repo, deployments, found, wanted, commit)


def test_the_arguments_of_the_new_image_join_those_of_what_boots_next(machine):
    old = machine.image(1, tree=bootable_with("a", "gone"))
    new = machine.image(2, tree=bootable_with("a", "new"))
    machine.boot(machine.deploy(old, options="root=x a gone mine"))
    edit = KargsEdit(append=("quiet",), delete=("mine",))
    assert planned(machine, new, replace(WANTED, kargs=edit)) == request(
        new, kargs=("root=x", "a", "new", "quiet"), stage=True
    )


def bootable_with(*arguments):
    text = f"kargs = {list(arguments)!r}\n".encode()
    return {"usr": {"lib": {"bootc": {"kargs.d": {"10.toml": text}}}}}


def test_the_arguments_of_what_is_staged_win_over_those_of_what_runs(running):
    running.stage(running.image(2), locked=False, kargs=("staged",))
    commit = running.image(3)
    assert planned(running, commit).options.kargs == ("staged",)


def test_a_stateroot_that_starts_afresh_takes_over_how_the_root_is_found(running):
    (running.root / "ostree/deploy/new").mkdir()
    commit = running.image(2, tree=bootable_with("a"))
    wanted = replace(WANTED, stateroot="new", retain=True)
    assert planned(running, commit, wanted).options == DeployOptions(
        "new", kargs=("root=/dev/vda", "a"), stage=True, retain=True
    )
    given = replace(wanted, kargs=KargsEdit(append=("root=LABEL=x",)))
    assert planned(running, commit, given).options.kargs == ("a", "root=LABEL=x")


def test_only_a_running_system_with_a_new_ostree_holds_a_download_back(running):
    commit = running.image(2)
    wanted = replace(WANTED, download_only=True)
    assert planned(running, commit, wanted).options.locked is True
    running.install_ostree("2023.7")
    assert planned(running, commit, wanted).options.locked is False
    (running.run / "ostree-booted").unlink()
    running.install_ostree("2023.8")
    options = planned(running, commit, wanted).options
    assert (options.stage, options.locked) == (False, False)


def test_a_sysroot_without_a_deployment_is_deployed_into_where_that_is_named(machine):
    (machine.root / "ostree/deploy/os").mkdir(exist_ok=True)
    commit = machine.image(1)
    wanted = Wanted(IMAGE, OTHER_IMAGE, stateroot="os")
    assert planned(machine, commit, wanted) == DeployRequest(
        commit, Origin.for_container(str(OTHER_IMAGE)), DeployOptions("os", kargs=())
    )


def tree_of(machine, tree):
    return CommitTree(machine.repo, machine.world.made.commit(tree))


def test_files_of_arguments_are_read_in_order_and_only_those_of_their_kind(machine):
    tree = tree_of(
        machine,
        kargs_tree(
            **{
                "20.toml": 'kargs = ["b"]\n',
                "10.toml": 'kargs = ["a"]\n',
                "15.toml": 'kargs = ["x"]\nmatch-architectures = ["aarch64"]\n',
                "30.conf": "nonsense",
            }
        ),
    )
    assert image_kargs(tree, machine="x86_64") == ("a", "b")
    assert image_kargs(tree, machine="aarch64") == ("a", "x", "b")


def test_an_image_without_such_files_asks_for_nothing_and_one_without_text_is_refused(machine):
    assert image_kargs(tree_of(machine, {"usr": {}})) is None
    bad = {"usr": {"lib": {"bootc": {"kargs.d": {"10.toml": b"\xff"}}}}}
    with pytest.raises(InvalidImageError, match=r"^usr/lib/bootc/kargs\.d/10\.toml is not UTF-8"):
        image_kargs(tree_of(machine, bad))


def test_an_image_that_says_nothing_of_arguments_changes_none(machine):
    made = machine.deploy(machine.image(1, tree=bootable_with("a")), options="a mine")
    assert upgraded_kargs(machine.repo, tree_of(machine, {"usr": {}}), made) == ("a", "mine")


def test_the_first_image_that_asks_for_arguments_gets_them(machine):
    made = machine.deploy(machine.image(1), options="mine")
    assert upgraded_kargs(machine.repo, tree_of(machine, bootable_with("a")), made) == ("mine", "a")


CONF = {"prepare-root.conf": b"[composefs]\nenabled = signed\n"}
OFF = {"prepare-root.conf": b"[composefs]\nenabled = no\n"}


@pytest.mark.parametrize(
    ("tree", "demanded"),
    [
        pytest.param({"usr": {"lib": {"ostree": CONF}}}, True, id="vendor"),
        pytest.param({"usr": {"etc": {"ostree": CONF}}}, True, id="etc"),
        pytest.param(
            {"usr": {"etc": {"ostree": OFF}, "lib": {"ostree": CONF}}}, False, id="etc-first"
        ),
        pytest.param({"etc": {"ostree": CONF}, "usr": {"lib": {"ostree": OFF}}}, True, id="own"),
        pytest.param({"usr": {}}, False, id="none"),
    ],
)
def test_the_first_configuration_says_whether_a_composefs_is_needed(machine, tree, demanded):
    machine.install_ostree("2023.3")
    found = tree_of(machine, tree)
    if demanded:
        with pytest.raises(ToolError, match=r"2023\.4 or newer is needed"):
            require_composefs(found)
    else:
        require_composefs(found)
    machine.install_ostree("2023.4")
    require_composefs(found)


def hook(directory, name, body):
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_hooks_see_the_root_and_the_facts_and_a_refusal_ends_them(tmp_path):
    seen = tmp_path / "seen"
    shown = tmp_path / "shown"
    tell = f'echo "$0 $1 $BOOTC_ORCH_ROOT $BOOTC_ORCH_IMAGE" >>{seen}'
    hooks = (
        hook(tmp_path, "10-a", tell),
        hook(tmp_path, "20-b", "echo 'not today' >&2; exit 3"),
        hook(tmp_path, "30-c", tell),
    )
    with pytest.raises(HookError) as caught:
        ask_hooks(hooks, shown, {"BOOTC_ORCH_IMAGE": "quay.io/a"})
    assert seen.read_text() == f"{hooks[0]} {shown} {shown} quay.io/a\n"
    error = caught.value
    assert (error.summary, error.details, error.path, error.exit_code) == (
        f"The hook {hooks[1]} refused the new system (status 3).",
        "not today",
        str(hooks[1]),
        1,
    )


def test_without_hooks_no_mount_namespace_is_entered(tmp_path):
    before = Path("/proc/thread-self/ns/mnt").readlink()
    run_hooks((), tmp_path, {})
    assert Path("/proc/thread-self/ns/mnt").readlink() == before
