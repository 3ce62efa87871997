"""What contrib/bound-images ships does what it says."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from generator import find_generator, run_generator
from world import World, command_line, image_id, remove_tree, run_container, short_directory

from bound_images.lint.findings import Severity
from bound_images.lint.run import lint as lint_root
from bound_images.rootfs import Root
from bound_images.units.scan import scan

CONTRIB = Path(__file__).resolve().parents[2] / "contrib" / "bound-images"
EXAMPLE = CONTRIB / "example"
pytestmark = pytest.mark.skipif(not CONTRIB.is_dir(), reason="contrib is not there")


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


@needs("systemd-analyze")
def test_the_unit_is_one_that_systemd_accepts(tmp_path):
    program = tmp_path / "bound-images"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = (CONTRIB / "bound-images.service").read_text()
    unit = tmp_path / "bound-images.service"
    unit.write_text(text.replace("ExecStart=bound-images", f"ExecStart={program}"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True
    )
    complaints = [line for line in done.stderr.splitlines() if "bound-images" in line]
    assert (done.returncode, complaints) == (0, [])


def test_the_unit_tries_again_only_what_may_pass():
    from test_parts import errors_with_statuses

    lines = (CONTRIB / "bound-images.service").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("RestartPreventExitStatus=")]
    prevented = {int(word) for word in line.partition("=")[2].split()}
    # 75 may pass; 77 is an answer that this program does not give.
    assert prevented == errors_with_statuses() - {75, 77}


@needs("systemd-tmpfiles")
@pytest.mark.root
def test_the_tmpfiles_entry_makes_the_mount_point(tmp_path):
    subprocess.run(
        ["systemd-tmpfiles", "--create", f"--root={tmp_path}", CONTRIB / "bound-images.conf"],
        check=True,
    )
    made = tmp_path / "run/bootc/storage"
    assert (made.is_dir(), made.stat().st_mode & 0o7777) == (True, 0o755)


@pytest.mark.root
def test_storage_conf_shows_the_store_to_every_podman(world, layout, registry):
    reference = registry.push(layout, layout.image(), "contrib/all")
    world.bind_image("all", reference)
    world.run("sync")
    directory = short_directory()
    try:
        text = (CONTRIB / "storage.conf").read_text()
        for old, new in (
            ("/usr/lib/bootc/storage", world.store),
            ("/var/lib/containers/storage", directory / "root"),
            ("/run/containers/storage", directory / "run"),
        ):
            assert old in text
            text = text.replace(old, str(new))
        (directory / "storage.conf").write_text(text)
        done = subprocess.run(
            ["podman", "images", "--format={{.Repository}}:{{.Tag}} {{.ReadOnly}}"],
            env={**os.environ, "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf")},
            capture_output=True,
            text=True,
        )
        assert f"{reference} true" in done.stdout.splitlines(), done.stderr
    finally:
        remove_tree(directory)


def example_root(path):
    """Return a root as the example's Containerfile makes it."""
    shutil.copytree(EXAMPLE / "rootfs", path, symlinks=True)
    return Root(path)


def test_the_example_binds_one_image_and_has_no_error(tmp_path):
    root = example_root(tmp_path / "root")
    (image,) = scan(root).images
    assert (image.name, image.canonical) == ("web.container", "quay.io/example/web:1")
    assert {finding.severity for finding in lint_root(root)} == {Severity.NOTE}


def test_the_drop_in_gives_the_store_to_containers_that_do_not_ask_for_it(tmp_path):
    world = World(tmp_path)
    world.bind("a.container", "[Container]\nImage=quay.io/a:1\nPull=never\n")
    drop_ins = world.root / "usr/share/containers/systemd/container.d"
    drop_ins.mkdir()
    shutil.copy(CONTRIB / "quadlet-drop-in.conf", drop_ins / "50-bound-images.conf")
    assert [f.rule for f in lint_root(Root(world.root))] == ["movable-tag"]


@pytest.mark.skipif(find_generator() is None, reason="podman's generator is not installed")
def test_the_generator_orders_containers_behind_the_unit(tmp_path):
    root = tmp_path / "root"
    example_root(root)
    drop_ins = root / "usr/share/containers/systemd/container.d"
    drop_ins.mkdir()
    shutil.copy(CONTRIB / "quadlet-drop-in.conf", drop_ins / "50-bound-images.conf")
    found = run_generator(find_generator(), root)
    assert found["web.container"]["names"] == ["quay.io/example/web:1"]
    done = subprocess.run(
        [find_generator(), "-dryrun"],
        env={"QUADLET_UNIT_DIRS": str(root / "usr/share/containers/systemd")},
        capture_output=True,
        text=True,
    )
    service = done.stdout.partition("web.service---")[2].partition("---")[0]
    assert "After=bound-images.service" in service.splitlines()


@pytest.mark.root
@pytest.mark.timeout(300)
def test_the_build_step_makes_store_lock_and_archive(layout, registry, tmp_path, consumer):
    image = layout.image(message="served")
    # A tag would be a note of lint's, and the step is content with that.
    reference = registry.push(layout, image, "contrib/web")
    example = tmp_path / "example"
    shutil.copytree(EXAMPLE, example, symlinks=True)
    unit = example / "rootfs/usr/share/containers/systemd/web.image"
    unit.write_text(
        unit.read_text().replace("quay.io/example/web:1", f"{reference}\nTLSVerify=false")
    )
    directory = short_directory()
    try:
        (directory / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{directory}/root"\n'
            f'runroot = "{directory}/run"\n'
        )
        script = directory / "bin/bound-images"
        script.parent.mkdir()
        words = " ".join(f"'{word}'" for word in command_line())
        script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        script.chmod(0o755)
        output = tmp_path / "output"
        done = subprocess.run(
            [example / "build-step", output, "--build-arg=BASE=scratch"],
            env={
                **os.environ,
                "PATH": f"{script.parent}:{os.environ['PATH']}",
                "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
    finally:
        remove_tree(directory)
    (locked,) = json.loads((output / "lock.json").read_text())["images"]
    assert locked["image_id"] == image_id(layout, image)
    assert (output / "images.tar").stat().st_size > 0
    started = run_container(output / "storage", reference, work=consumer)
    assert started.stdout == "served\n", started.stderr
