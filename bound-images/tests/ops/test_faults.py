"""Passwords, certificates, dead registries, full disks, kills, and two at once."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from world import (
    PASSWORD,
    USER,
    Registry,
    bound_images,
    command_line,
    free_port,
    image_id,
    layer,
    make_certificates,
)

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
SECRETS = (PASSWORD, PASSWORD.replace(":", "%3A"), "Pa55")


@pytest.fixture(scope="module")
def locked_registry(tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("locked"), password=True) as running:
        yield running


@pytest.fixture(scope="module")
def tls_registry(tmp_path_factory):
    certificates = tmp_path_factory.mktemp("tls") / "certificates"
    make_certificates(certificates)
    with Registry(tmp_path_factory.mktemp("tls-data"), certificate=certificates) as running:
        yield running


def assert_no_secret(*texts):
    for text in texts:
        for secret in SECRETS:
            assert secret not in text


def test_credentials_of_the_unit_reach_the_registry_and_nothing_else(
    world, layout, locked_registry
):
    reference = locked_registry.push(layout, layout.image(), "app/creds")
    world.bind_image("creds", reference, f"Creds={USER}:{PASSWORD}")
    seen = []
    stop = threading.Event()

    def sample():
        while not stop.wait(0.002):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    seen.append((process / "cmdline").read_bytes())
                    seen.append((process / "environ").read_bytes())

    thread = threading.Thread(target=sample)
    thread.start()
    done = world.run("sync", "-vv", "--json")
    stop.set()
    thread.join()
    assert any(b"podman" in line and b"pull" in line for line in seen)
    assert_no_secret(done.stdout, done.stderr, json.dumps(world.lock()))
    assert not [line for line in seen if b"Pa55" in line]
    listed = world.json("list")["images"][0]["options"]
    assert listed == {"Creds": "********", "TLSVerify": False}


def test_an_authentication_file_of_the_root_is_used(world, layout, locked_registry):
    reference = locked_registry.push(layout, layout.image(), "app/authfile")
    write_auth_file(world.root / "etc/app/auth.json", locked_registry)
    world.bind_image("auth", reference, "AuthFile=/etc/app/auth.json")
    world.run("sync")
    world.run("check")


def test_the_authentication_file_of_the_host_image_is_used(world, layout, locked_registry):
    reference = locked_registry.push(layout, layout.image(), "app/ostree-auth")
    write_auth_file(world.root / "etc/ostree/auth.json", locked_registry)
    world.bind_image("auth", reference)
    world.run("sync")


def test_an_authentication_file_can_be_given(world, layout, locked_registry):
    reference = locked_registry.push(layout, layout.image(), "app/option-auth")
    write_auth_file(world.path / "auth.json", locked_registry)
    world.bind_image("auth", reference)
    world.run("sync", "--authfile", world.path / "auth.json")


def write_auth_file(path, registry):
    import base64

    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": {registry.host: {"auth": token}}}))


@pytest.mark.parametrize("creds", [f"{USER}:{PASSWORD}-wrong", None], ids=["wrong", "none"])
def test_a_refused_login_is_exit_76_and_shows_no_secret(world, layout, locked_registry, creds):
    reference = locked_registry.push(layout, layout.image(), "app/refused")
    world.bind_image("refused", reference, *([f"Creds={creds}"] if creds else []))
    done = world.run("sync", "--json", "-v", status=76)
    debugged = bound_images("sync", "--root", str(world.root), "-vv")
    assert_no_secret(debugged.stdout, debugged.stderr)
    error = json.loads(done.stdout)["error"]
    assert (error["class"], error["image"]) == ("auth", reference)
    assert_no_secret(done.stdout, done.stderr)
    assert not list(world.state.glob("*.json"))


def test_an_own_authority_is_trusted_through_certdir(world, layout, tls_registry):
    reference = tls_registry.push(layout, layout.image(), "app/tls")
    certificates = world.root / "etc/app/certs"
    certificates.mkdir(parents=True)
    (certificates / "ca.crt").write_bytes((tls_registry.certificate / "ca.crt").read_bytes())
    world.bind("tls.image", f"[Image]\nImage={reference}\nCertDir=/etc/app/certs\n")
    world.run("sync")
    world.run("check")


def test_an_unknown_authority_is_exit_76(world, layout, tls_registry):
    reference = tls_registry.push(layout, layout.image(), "app/tls-unknown")
    world.bind("tls.image", f"[Image]\nImage={reference}\n")
    error = world.json("sync", status=76)["error"]
    assert "CertDir" in error["hint"]


def test_tlsverify_false_accepts_an_unknown_authority(world, layout, tls_registry):
    reference = tls_registry.push(layout, layout.image(), "app/tls-off")
    world.bind_image("tls", reference)
    world.run("sync")


def test_an_unreachable_registry_is_exit_75_after_the_retries(world):
    world.bind_image("gone", f"127.0.0.1:{free_port()}/app/gone:1", "Retry=2", "RetryDelay=100ms")
    began = time.monotonic()
    done = world.run("sync", "--json", status=75)
    assert json.loads(done.stdout)["error"]["class"] == "network"
    assert done.stderr.count("Retrying") == 2
    assert time.monotonic() - began < 30


def test_a_registry_that_comes_back_in_time_is_no_failure(world, layout, tmp_path):
    image = layout.image()
    registry = Registry(tmp_path / "late")
    with registry:
        reference = registry.push(layout, image, "app/late")
    world.bind_image("late", reference, "Retry=20", "RetryDelay=500ms")
    running = start(world)
    time.sleep(2)
    with registry:
        assert finish(running) == 0
    world.run("check")


def test_a_full_disk_is_exit_73_and_nothing_is_half_recorded(world, layout, registry, tmp_path):
    noise = os.urandom(12 << 20)
    reference = registry.push(layout, layout.image(layer({"noise": noise})), "app/big")
    world.bind_image("big", reference)
    with small_file_system(tmp_path / "disk", megabytes=24) as disk:
        store = disk / "bootc/storage"
        where = ("--store", store)
        plan = world.json("sync", "--plan", *where)["plan"]
        assert plan["bytes_needed"] > plan["bytes"] > len(noise)
        error = world.json("sync", *where, status=73)["error"]
        assert error["class"] == "space"
        assert not list((disk / "bootc/bound-images").glob("*.json"))
        assert not list((disk / "bootc/bound-images").glob("spool-*"))


def test_a_disk_that_fills_up_in_the_middle_is_exit_73(world, layout, registry, tmp_path):
    # Zeros compress well: the plan sees no reason to refuse.
    zeros = bytes(60 << 20)
    reference = registry.push(layout, layout.image(layer({"zeros": zeros})), "app/zeros")
    small = registry.push(layout, layout.image(message="small"), "app/small")
    world.bind_image("zeros", reference)
    with small_file_system(tmp_path / "disk", megabytes=32) as disk:
        where = ("--store", disk / "bootc/storage")
        error = world.json("sync", *where, status=73)["error"]
        assert error["class"] == "space"
        assert not list((disk / "bootc/bound-images").glob("*.json"))
        (world.root / "usr/lib/bootc/bound-images.d/zeros.image").unlink()
        world.bind_image("small", small)
        world.run("sync", *where)
        world.run("check", *where)


@contextlib.contextmanager
def small_file_system(path, *, megabytes):
    path.mkdir()
    image = path.with_suffix(".img")
    with image.open("wb") as stream:
        stream.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def cut_power(path):
    """Have the file system at *path* forget what is not on the disk, and mount it again."""
    descriptor = os.open(path, os.O_RDONLY)
    # EXT4_IOC_SHUTDOWN without a flush of the journal.
    fcntl.ioctl(descriptor, 0x8004587D, struct.pack("I", 2))
    os.close(descriptor)
    subprocess.run(["umount", "-l", path], check=True)
    subprocess.run(["mount", "-o", "loop", path.with_suffix(".img"), path], check=True)
    for mark in path.rglob("unfinished"):
        mark.write_text("a boot before this one\n")


def test_what_sync_said_was_done_survives_a_power_cut(world, layout, registry, tmp_path):
    image = layout.image(layer({f"file-{n}": os.urandom(50_000) for n in range(100)}))
    world.bind_image("durable", registry.push(layout, image, "app/durable"))
    with small_file_system(tmp_path / "disk", megabytes=64) as disk:
        where = ("--store", disk / "bootc/storage")
        world.run("sync", *where)
        cut_power(disk)
        world.run("check", *where)
        world.run("verify", *where)


@pytest.fixture(scope="session")
def usual_seconds():
    """How long the sync of one test takes, once a first one was timed."""
    return []


@pytest.mark.parametrize("part", [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1])
def test_after_a_power_cut_in_mid_pull_the_next_sync_converges(
    world, layout, registry, tmp_path, part, usual_seconds
):
    whole = layout.image(layer({"whole": os.urandom(50_000)}), message="whole")
    image = layout.image(
        *[layer({f"{k}-{n}": os.urandom(50_000) for n in range(40)}) for k in range(4)]
    )
    with small_file_system(tmp_path / "disk", megabytes=64) as disk:
        where = ("--store", disk / "bootc/storage")
        world.bind_image("whole", registry.push(layout, whole, "app/whole", tag=str(part)))
        world.run("sync", *where)
        world.bind_image("cut", registry.push(layout, image, "app/cut", tag=str(part)))
        if not usual_seconds:
            began = time.monotonic()
            world.run("sync", "--store", tmp_path / "other/storage")
            usual_seconds.append(time.monotonic() - began)
        running = start(world, *where)
        time.sleep(usual_seconds[0] * part)
        started = children(running)
        running.kill()
        finish(running)
        wait_until(lambda: none_left(started))
        cut_power(disk)
        fetched = registry.fetched(layout_layer(layout, whole))
        world.run("sync", *where)
        world.run("verify", *where)
        assert registry.fetched(layout_layer(layout, whole)) == fetched
        assert not list(disk.rglob("unfinished"))


def layout_layer(layout, image):
    """Return the digest of the topmost layer of *image*."""
    return json.loads(layout.data(image))["layers"][-1]["digest"]


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1])
def test_a_power_cut_while_images_are_removed_leaves_a_store_that_can_be_filled(
    world, layout, registry, tmp_path, delay
):
    kept, gone = (layout.image(layer({n: os.urandom(9999)}), message=n) for n in ("a", "b"))
    with small_file_system(tmp_path / "disk", megabytes=64) as disk:
        where = ("--store", disk / "bootc/storage")
        world.bind_image("kept", registry.push(layout, kept, "app/kept"))
        world.bind_image("gone", registry.push(layout, gone, "app/gone"))
        world.run("sync", *where)
        unit = world.root / "usr/lib/bootc/bound-images.d/gone.image"
        target = unit.readlink()
        unit.unlink()
        world.run("sync", *where)
        running = start(world, *where, "--keep-root", world.root, command="prune")
        wait_until((disk / "bootc/bound-images/unfinished").exists)
        time.sleep(delay)
        started = children(running)
        running.kill()
        finish(running)
        wait_until(lambda: none_left(started))
        cut_power(disk)
        unit.symlink_to(target)
        world.run("sync", *where)
        world.run("verify", *where)


def start(world, *arguments, command="sync"):
    command = [*command_line(), command, "--root", str(world.root), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    process.communicate(timeout=120)
    return process.returncode


def children(process):
    """Return the ids of the processes that *process* has started and that still run."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == process.pid and fields[0] != "Z":
                found.add(int(path.parent.name))
    return found


def none_left(pids):
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("delay", [0.3, 0.6, 0.9, 1.2, 1.6])
def test_after_a_kill_in_mid_pull_the_next_sync_converges(world, layout, registry, delay):
    layers = [layer({f"file-{n}": os.urandom(2 << 20)}) for n in range(4)]
    image = layout.image(*layers)
    reference = registry.push(layout, image, f"app/killed-{int(delay * 10)}")
    world.bind_image("killed", reference)
    running = start(world)
    time.sleep(delay)
    started = children(running)
    running.send_signal(signal.SIGKILL)
    finish(running)
    wait_until(lambda: none_left(started))
    world.run("sync")
    world.run("verify")
    assert world.ids() == {image_id(layout, image)}
    assert not list(world.state.glob("spool-*"))


def test_a_killed_podman_is_a_failure_and_the_next_sync_converges(world, layout, registry):
    image = layout.image(*[layer({f"file-{n}": os.urandom(4 << 20)}) for n in range(4)])
    world.bind_image("killed", registry.push(layout, image, "app/killed-child"))
    running = start(world, "--retries", "0")
    wait_until(lambda: any("pull" in command for command in podmans(running)))
    for pid, command in podmans(running).items():
        if "pull" in command:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    finish(running)
    assert running.returncode in (1, 75)
    world.run("sync")
    world.run("verify")


def podmans(process):
    """The podmans that *process* has started; other tests run at the same time."""
    found = {}
    for pid in children(process):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[0].endswith("podman"):
                found[pid] = words
    return Commands(found)


class Commands(dict):
    """{pid: words}; iterating gives the words."""

    def __iter__(self):
        return iter(self.values())


def test_a_termination_ends_the_children_and_is_exit_143(world, layout, registry):
    image = layout.image(*[layer({f"file-{n}": os.urandom(4 << 20)}) for n in range(4)])
    world.bind_image("ended", registry.push(layout, image, "app/ended"))
    running = start(world)
    wait_until(lambda: children(running))
    started = children(running)
    running.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 143, errors
    assert "Traceback" not in errors
    assert time.monotonic() - began < 10
    wait_until(lambda: none_left(started))
    assert not list(world.state.glob("*.json"))
    world.run("sync")


def test_two_at_once_wait_for_each_other_and_both_succeed(world, layout, registry):
    image = layout.image(layer({"file": os.urandom(8 << 20)}))
    world.bind_image("both", registry.push(layout, image, "app/both"))
    first, second = start(world), start(world)
    outputs = [process.communicate(timeout=120) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert any("Waiting for the lock of" in errors for _, errors in outputs)
    assert sorted(out.split("\t")[0] for out, _ in outputs) == ["fetch", "keep"]


def test_a_held_lock_is_exit_75(world, layout, registry):
    world.bind_image("held", registry.push(layout, layout.image(), "app/held"))
    world.run("sync")
    with (world.state / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        error = world.json("sync", "--lock-timeout", "0.3", status=75)["error"]
    assert error["class"] == "locked"


def test_a_store_that_cannot_be_written_is_exit_73(world, layout, registry, tmp_path):
    world.bind_image("ro", registry.push(layout, layout.image(), "app/read-only"))
    with small_file_system(tmp_path / "disk", megabytes=24) as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        error = world.json("sync", "--store", disk / "bootc/storage", status=73)["error"]
    assert error["class"] == "read-only"


def test_a_mount_that_is_read_only_for_others_is_written_and_stays_so_for_them(
    world, layout, registry
):
    world.bind_image("host", registry.push(layout, layout.image(), "app/read-only-mount"))
    sysroot = world.root / "sysroot"
    subprocess.run(["mount", "--bind", sysroot, sysroot], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", sysroot], check=True)
        world.run("sync")
        world.run("check")
        world.run("prune", "--keep-root", world.root)
        with pytest.raises(OSError, match="Read-only"):
            (sysroot / "x").touch()
    finally:
        subprocess.run(["umount", "-l", sysroot], check=True)


@pytest.mark.parametrize("missing", ["podman", "skopeo"])
def test_a_missing_program_is_exit_69(world, layout, registry, tmp_path, missing):
    name = registry.push(layout, layout.image(message="a"), "app")
    world.bind_image("app", name)
    for program in {"podman", "skopeo"} - {missing}:
        (tmp_path / program).symlink_to(shutil.which(program))
    error = world.json("sync", status=69, env={"PATH": str(tmp_path)})["error"]
    assert error["class"] == "tool"
    assert missing in error["message"]


def test_the_result_goes_to_a_closed_pipe_without_a_traceback(world):
    script = f'{" ".join(command_line()[:1])} "$@" | true'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *command_line()[1:], "list", "--root", str(world.root)],
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_an_unknown_option_is_exit_2():
    assert bound_images("list", "--no-such-option").returncode == 2
