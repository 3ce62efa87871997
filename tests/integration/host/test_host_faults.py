"""A transaction that fails at any step leaves what boots as it was, and a second try succeeds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cli import PROGRAM, bootc_orch
from support.host import System, make_os

pytestmark = pytest.mark.root
# Each is the program, or ostree's verb, with which a step of the transaction starts.
BEFORE = ("skopeo", "pull-local", "deploy")
AFTER = ("cleanup", "prune")
# Where ``ostree admin deploy`` is killed: at which of the system calls that change the disk.
POINTS = (
    *(("renameat", when) for when in range(1, 10)),
    *(("symlinkat", when) for when in (1, 3, 5)),
    *(("syncfs", when) for when in (1, 2, 3)),
    *((call, when) for call in ("mkdirat", "linkat", "unlinkat") for when in (1, 9)),
)


@dataclass(frozen=True, slots=True)
class World:
    """A system with version 1 deployed, and the image of version 2.

    Attributes:
        system: The system.
        image: The image.
        shims: A directory at the head of PATH.
    """

    system: System
    image: str
    shims: Path

    def shim(self, program: str, body: str) -> None:
        """Put a script before *program*; ``$real`` is the program itself."""
        real = subprocess.check_output(["sh", "-c", f"command -v {program}"], text=True).strip()
        path = self.shims / program
        path.write_text(f"#!/bin/sh\nreal={real}\n{body}\n")
        path.chmod(0o755)

    def switch(self, *argv: str | Path, status: int | None = 0) -> str:
        transport, _, name = self.image.partition(":")
        result = bootc_orch(
            "switch", "--transport", transport, name, "--sysroot", self.system.path,
            "--retries", "0", *argv,
            status=status, env=self.environment,
        )  # fmt: skip
        return result.stderr

    @property
    def environment(self) -> dict[str, str]:
        """The shims at the head of PATH, and a place for temporary files."""
        place = self.shims.parent / "tmp"
        place.mkdir(exist_ok=True)
        return {"PATH": f"{self.shims}:{os.environ['PATH']}", "TMPDIR": str(place)}

    def leftovers(self) -> list[str]:
        """Names of what was meant to be temporary."""
        places = (self.shims.parent / "tmp", self.system.repo / "tmp")
        return [path.name for place in places for path in place.glob("bootc-orch-*")]

    def heal(self) -> None:
        for path in self.shims.iterdir():
            path.unlink()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    system = System.installed(tmp_path / "sysroot", make_os(tmp_path / "os-1", 1))
    shims = tmp_path / "shims"
    shims.mkdir()
    yield World(system, make_os(tmp_path / "os-2", 2), shims)
    system.release()


def assert_second_try_succeeds(world: World) -> None:
    world.heal()
    world.switch()
    assert world.system.versions() == ["2", "1"]
    world.system.check()


@pytest.mark.parametrize("verb", ["pull-local", "deploy"])
def test_a_step_that_fails_changes_nothing_that_boots(world, verb):
    before = world.system.snapshot()
    world.shim(
        "ostree",
        f'case "$*" in {verb}*|"admin {verb}"*) echo "error: it broke" >&2; exit 1;; esac\n'
        'exec "$real" "$@"',
    )
    assert "it broke" in world.switch(status=1)
    assert world.system.snapshot() == before
    assert_second_try_succeeds(world)


def test_no_source_to_pull_from_changes_nothing(world):
    before = world.system.snapshot()
    world.shim("skopeo", "echo 'connection refused' >&2; exit 1")
    world.switch(status=None)
    assert world.system.snapshot() == before
    assert_second_try_succeeds(world)


def kill_at(world: World, verb: str) -> None:
    """Send SIGKILL to the program and all its children when the step's program starts."""
    marker = world.shims.parent / "started"
    program = "skopeo" if verb == "skopeo" else "ostree"
    match = "experimental-image-proxy" if verb == "skopeo" else verb
    world.shim(
        program, f'case " $* " in *" {match} "*) : >{marker}; sleep 60;; esac\nexec "$real" "$@"'
    )
    transport, _, name = world.image.partition(":")
    process = subprocess.Popen(
        [
            str(PROGRAM), "switch", "--transport", transport, name,
            "--sysroot", str(world.system.path),
        ],
        env={**os.environ, **world.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not marker.exists() and time.monotonic() < deadline:
        assert process.poll() is None, f"{verb} was never started"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    world.heal()


@pytest.mark.parametrize("verb", BEFORE)
def test_a_kill_before_the_deployment_changes_nothing_and_converges(world, verb):
    before = world.system.snapshot()
    kill_at(world, verb)
    assert world.system.snapshot() == before
    assert_second_try_succeeds(world)
    assert world.leftovers() == []


@pytest.mark.parametrize("verb", AFTER)
def test_a_kill_after_the_deployment_leaves_the_new_system_to_boot(world, verb):
    kill_at(world, verb)
    assert world.system.versions() == ["2", "1"]
    world.system.run("cleanup")
    world.system.check()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_kill_at_any_change_that_a_deployment_makes_leaves_valid_entries(world, tmp_path):
    """P13, P16: ``ostree admin deploy`` dies at one of its system calls, and is run again."""
    other = make_os(tmp_path / "os-3", 3)
    killed = 0
    for call, when in POINTS:
        world.shim(
            "ostree",
            f'case "$*" in "admin deploy"*) exec strace -f -o /dev/null -e trace={call} '
            f'-e inject={call}:signal=SIGKILL:when={when} "$real" "$@";; esac\nexec "$real" "$@"',
        )
        [before, *_] = world.system.versions()
        image, wanted = (other, "3") if before == "2" else (world.image, "2")
        transport, _, name = image.partition(":")
        result = bootc_orch(
            "switch", "--transport", transport, name, "--sysroot", world.system.path,
            status=None, env={"PATH": f"{world.shims}:{os.environ['PATH']}"},
        )  # fmt: skip
        killed += "killed by signal 9" in result.stderr
        world.system.check()
        assert world.system.versions()[0] in (before, wanted), (call, when)
        world.heal()
        world.system.switch(image)
        assert world.system.versions()[0] == wanted
        world.system.check()
    assert killed > len(POINTS) // 2


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("call", ["mkdirat", "linkat", "symlinkat", "renameat"])
def test_a_disk_that_is_full_while_deploying_leaves_the_old_list(world, call):
    """D08: the deployment itself finds no space, at its first and at each later change."""
    before = world.system.versions(), world.system.boot_entries()
    world.shim(
        "ostree",
        f'case "$*" in "admin deploy"*) exec strace -f -o /dev/null -e trace={call} '
        f'-e inject={call}:error=ENOSPC:when=2+ "$real" "$@";; esac\nexec "$real" "$@"',
    )
    assert "no space left" in world.switch(status=73)
    assert (world.system.versions(), world.system.boot_entries()) == before
    world.system.check()
    assert_second_try_succeeds(world)


def test_a_hook_that_refuses_stops_before_staging(world, tmp_path):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    hook = hooks / "50-check"
    hook.write_text(
        "#!/bin/sh\n"
        'cat "$1/usr/share/version"; touch "$1/usr/x" 2>/dev/null && echo writable >&2\n'
        'echo "$BOOTC_ORCH_DIGEST is not wanted" >&2; exit 3\n'
    )
    hook.chmod(0o755)
    before = world.system.snapshot()
    errors = world.switch("--hooks", hooks, status=1)
    assert f"The hook {hook} refused the new system (status 3)." in errors
    assert "sha256:" in errors
    assert "is not wanted" in errors
    assert "writable" not in errors
    assert world.system.snapshot() == before
    hook.write_text('#!/bin/sh\ntest "$(cat "$1/usr/share/version")" = 2\n')
    world.switch("--hooks", hooks)
    assert world.system.versions() == ["2", "1"]
    world.system.check()


def test_a_hook_that_others_can_change_stops_before_staging(world, tmp_path):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    ran = tmp_path / "ran"
    for name in ("10-ours", "20-theirs"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (hooks / name).chmod(0o755)
    os.chown(hooks / "20-theirs", 1000, 1000)
    before = world.system.snapshot()
    errors = world.switch("--hooks", hooks, status=65)
    assert f"The hook {hooks / '20-theirs'} is not run: it belongs to the user 1000." in errors
    assert not ran.exists()
    assert world.system.snapshot() == before
    os.chown(hooks / "20-theirs", 0, 0)
    world.switch("--hooks", hooks)
    assert ran.exists()


@pytest.fixture
def small_boot(tmp_path: Path) -> Iterator[Path]:
    """A root whose /boot is a filesystem of 6 MiB."""
    root = tmp_path / "small"
    (root / "boot").mkdir(parents=True)
    image = tmp_path / "boot.img"
    with image.open("wb") as file:
        file.truncate(6 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, root / "boot"], check=True)
    subprocess.run(["rmdir", root / "boot/lost+found"], check=True)
    yield root
    subprocess.run(["umount", root / "boot"], check=True)


def test_a_full_boot_is_found_before_staging(small_boot, tmp_path):
    """X01: a kernel that does not fit is refused, and the old entry stays valid."""
    system = System.installed(small_boot, make_os(tmp_path / "a", 1), "--skip-finalize")
    try:
        before = system.snapshot()
        kernel = {"usr/lib/modules/6.1.0-test/vmlinuz": os.urandom(7 << 20)}
        errors = system.switch(make_os(tmp_path / "b", 2, files=kernel), status=73).stderr
        assert "boot has" in errors
        assert "cleanup --rollback" in errors
        assert system.snapshot() == before
        system.check()
        system.switch(make_os(tmp_path / "c", 2))
        assert system.versions() == ["2", "1"]
    finally:
        system.release()


@pytest.fixture
def small_root(tmp_path: Path) -> Iterator[Path]:
    """A root of 48 MiB."""
    root = tmp_path / "small"
    root.mkdir()
    image = tmp_path / "root.img"
    with image.open("wb") as file:
        file.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, root], check=True)
    yield root
    subprocess.run(["umount", root], check=True)


@pytest.mark.parametrize("mebibytes", [60, 30])
def test_a_full_root_is_survived(small_root, tmp_path, mebibytes):
    """D07, D08: foreseen before the pull, or met in the middle of it."""
    system = System.installed(small_root, make_os(tmp_path / "a", 1), "--skip-finalize")
    try:
        filler = small_root / "ostree/deploy/default/var/filler"
        filler.write_bytes(bytes(12 << 20))
        before = system.snapshot()
        big = {"usr/share/big": os.urandom(mebibytes << 20)}
        system.switch(make_os(tmp_path / "b", 2, files=big), status=73)
        assert system.snapshot() == before
        filler.unlink()
        system.switch(make_os(tmp_path / "c", 2))
        assert system.versions() == ["2", "1"]
        system.check()
    finally:
        system.release()


def test_a_missing_app_image_stops_before_staging(world, tmp_path, registry):
    """The new root is bound to an app image that no registry has; P11, B08."""
    unit = f"[Image]\nImage={registry.name('app')}\nTLSVerify=false\n".encode()
    image = make_os(
        tmp_path / "bound",
        2,
        files={"usr/share/containers/systemd/app.image": unit},
        links={"usr/lib/bootc/bound-images.d/app.image": "/usr/share/containers/systemd/app.image"},
    )
    before = world.system.snapshot()
    result = world.system.switch(image, "--retries", "0", status=None)
    assert result.status in (66, 75)
    assert registry.name("app") in result.stderr
    assert world.system.snapshot() == before
    registry.push(make_os(tmp_path / "app", 1), "app")
    result = world.system.switch(image)
    assert "Bound images stored: 1" in result.stdout
    [app] = world.system.entries()[0]["boundImages"]
    assert app["image"] == registry.name("app")
    world.system.check()
