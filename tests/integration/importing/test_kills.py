"""Killed at any moment, the program leaves a repository that the next run makes complete.

Each test compares with an undisturbed pull: refs name its commits or do not exist, what they name
is whole, and the next run ends with all of them.  Seeds are printed; ``BOOTC_ORCH_SEED`` repeats a
run, ``BOOTC_ORCH_KILLS`` sets the number of random instants.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cli import PROGRAM, bootc_orch
from support.images import layout_of
from support.injection import (
    Golden,
    Target,
    count_calls,
    descendants,
    fill,
    free_bytes,
    inject,
    kill,
    read_refs,
    seeded,
    small_filesystem,
    start,
    wait_until_gone,
)
from support.ociwriter import ImageWriter, gzipped
from support.ostree import init_repo, ostree, verify_state
from support.rawtar import archive, directory, file

pytestmark = [pytest.mark.root, pytest.mark.slow]

GENERATE = Path(__file__).parents[3] / "contrib/bench/generate"
KILLS = int(os.environ.get("BOOTC_ORCH_KILLS", "156"))
TINY_FILES = 2000
# Lesson 1: content of at most this many bytes is what a cut-off stream loses unnoticed.
TINY_BYTES = 450
MUTATING_CALLS = (
    "rename", "renameat", "renameat2", "link", "linkat", "mkdir", "mkdirat", "unlink", "unlinkat",
    "rmdir", "symlink", "symlinkat", "ftruncate", "fchmod", "fchown", "lchown", "fchownat",
    "fsync", "fdatasync", "syncfs", "write",
)  # fmt: skip
SWEEP_STEP = 8
SWEEP_SECONDS = 240
SWEEP_POINTS_MIN = 40
# Most writes are the interpreter's own, or wake a thread.
SWEEP_STEP_OF_WRITES = 48
INTERRUPT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Subject:
    """An image to pull, and what an undisturbed pull of it gives.

    Attributes:
        reference: The image.
        golden: What must be in the repository in the end.
        seconds: How long an undisturbed pull takes.
        start_seconds: How long it takes until a pull does anything at all.
    """

    reference: str
    golden: Golden
    seconds: float
    start_seconds: float

    def pull(self, repo: Path) -> list[str | Path]:
        """Return the arguments that pull the image."""
        return ["image", "pull", "--repo", repo, self.reference]

    def assert_converges(self, repo: Path) -> None:
        """Pull again, undisturbed, and assert that all is there and nothing else."""
        bootc_orch(*self.pull(repo))
        assert read_refs(repo) == self.golden.refs
        self.golden.assert_whole(repo)
        verify_state(repo)


def subject_of(reference: str, place: Path) -> Subject:
    repo = init_repo(place / "golden")
    before = time.monotonic()
    bootc_orch("--version")
    started = time.monotonic()
    bootc_orch("image", "pull", "--repo", repo, reference)
    ended = time.monotonic()
    verify_state(repo)
    return Subject(reference, Golden.of(repo), ended - started, started - before)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A small image of ten layers, for what is done hundreds of times."""
    place = tmp_path_factory.mktemp("small")
    layout = layout_of("derived", place / "layout")
    return subject_of(f"ostree-unverified-image:oci:{layout}", place)


@pytest.fixture(scope="module")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The worst case: one layer of very many very small files."""
    place = tmp_path_factory.mktemp("tiny")
    files = [
        file(b"usr/tiny-%04d" % number, b"%d\n" % number + bytes(number % TINY_BYTES))
        for number in range(TINY_FILES)
    ]
    image = ImageWriter(place / "layout", [gzipped(archive(directory(b"usr/"), *files))])
    image.write()
    return subject_of(f"ostree-unverified-image:{image.reference}", place)


@pytest.fixture(scope="module")
def realistic(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """An ostree commit in six layers with two derived ones, its files large and small."""
    place = tmp_path_factory.mktemp("realistic")
    subprocess.run([sys.executable, GENERATE, place, "chunked-1000-6-30"], check=True)
    return subject_of(f"ostree-unverified-image:oci:{place}/chunked-1000-6-30:app", place)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("target", list(Target), ids=str)
@pytest.mark.parametrize("image", ["tiny_files", "realistic"])
def test_killed_at_any_instant_the_next_run_converges(
    image: str, target: Target, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """P01, P06, P09, P12, P20."""
    subject: Subject = request.getfixturevalue(image)
    chance = seeded(f"{image} {target}")
    for number in range(-(-KILLS // 6)):
        repo = init_repo(tmp_path / f"repo-{number}")
        delay = chance.uniform(subject.start_seconds / 2, subject.seconds)
        print(f"{number}: {target} after {delay:.4f} s")
        kill_after(subject, repo, delay, target, chance)
        subject.golden.assert_whole(repo)
        subject.assert_converges(repo)
        shutil.rmtree(repo)


def kill_after(
    subject: Subject, repo: Path, delay: float, target: Target, chance: random.Random
) -> None:
    process = start(subject.pull(repo))
    time.sleep(delay)
    kill(process, target, chance)


@pytest.mark.timeout(300)
def test_killed_again_and_again_it_converges_in_the_end(realistic: Subject, tmp_path: Path) -> None:
    """P17: the recovery of one run is what the next kill hits."""
    chance = seeded("again")
    for number in range(4):
        repo = init_repo(tmp_path / f"repo-{number}")
        for _ in range(5):
            delay = chance.uniform(realistic.start_seconds / 2, realistic.seconds)
            kill_after(realistic, repo, delay, chance.choice(list(Target)), chance)
            realistic.golden.assert_whole(repo)
        realistic.assert_converges(repo)


@pytest.mark.timeout(1200)
def test_killed_at_system_calls_the_next_run_converges(small: Subject, tmp_path: Path) -> None:
    """P12, P13: at every eighth call that changes something, as many as there is time for."""
    first = init_repo(tmp_path / "counted")
    calls = count_calls(small.pull(first), MUTATING_CALLS, tmp_path / "calls")
    points = [point for call in calls for point in swept(call, calls[call])]
    assert len(points) >= SWEEP_STEP
    seeded("order").shuffle(points)
    deadline = time.monotonic() + SWEEP_SECONDS
    for done, (call, number) in enumerate(points):
        if done >= SWEEP_POINTS_MIN and time.monotonic() > deadline:
            print(f"{done} of {len(points)} points; the rest is for another seed")
            break
        repo = init_repo(tmp_path / "repo")
        print(f"{call} {number}")
        inject(small.pull(repo), call, f"signal=SIGKILL:when={number}")
        small.golden.assert_whole(repo)
        small.assert_converges(repo)
        shutil.rmtree(repo)


def swept(call: str, count: int) -> list[tuple[str, int]]:
    """Return the occurrences of *call*, of *count*, at which something happens."""
    step = SWEEP_STEP_OF_WRITES if call == "write" else SWEEP_STEP
    return [(call, number) for number in range(1 + seeded(call).randrange(step), count + 1, step)]


FAILURES = [
    pytest.param("ENOSPC", ["linkat", "renameat", "mkdirat", "symlinkat"], 73, id="D07"),
    pytest.param("EROFS", ["mkdirat", "renameat", "linkat"], 73, id="D14"),
    pytest.param("EIO", ["fsync", "syncfs"], 74, id="D13"),
]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("error", "calls", "status"), FAILURES)
def test_a_failing_system_call_is_reported_and_the_next_run_converges(
    error: str, calls: list[str], status: int, small: Subject, tmp_path: Path
) -> None:
    counted = count_calls(small.pull(init_repo(tmp_path / "counted")), calls, tmp_path / "calls")
    failed = 0
    for call in calls:
        for number in range(1, counted[call] + 1, SWEEP_STEP):
            repo = init_repo(tmp_path / "repo")
            print(f"{error} {call} {number}")
            done = inject(small.pull(repo), call, f"error={error}:when={number}+")
            assert "Traceback" not in done.stderr
            assert done.returncode in (0, status), done.stderr
            failed += done.returncode != 0
            small.golden.assert_whole(repo)
            small.assert_converges(repo)
            shutil.rmtree(repo)
    assert failed


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "spare_kilobytes", [64, 1024, 4096, 16000], ids=lambda size: f"D07-{size}k"
)
def test_a_full_disk_is_reported_and_leaves_the_repository_as_it_was(
    spare_kilobytes: int, realistic: Subject, tmp_path: Path
) -> None:
    with small_filesystem(tmp_path, 128) as disk:
        repo = init_repo(disk / "repo")
        filler = fill(disk, spare=spare_kilobytes * 1024)
        before = free_bytes(disk)
        result = bootc_orch(*realistic.pull(repo), status=73)
        assert result.stderr.count("error:") == 1
        assert "space" in result.stderr
        realistic.golden.assert_whole(repo)
        assert before - free_bytes(disk) < 1 << 20
        filler.unlink()
        realistic.assert_converges(repo)


def test_an_image_that_expands_beyond_the_disk_is_stopped(tmp_path: Path) -> None:
    """D07, C01: what it needs cannot be foreseen, and all of it is given back."""
    zeros = file(b"usr/zeros", bytes(128 << 20))
    image = ImageWriter(tmp_path / "layout", [gzipped(archive(directory(b"usr/"), zeros))])
    image.write()
    with small_filesystem(tmp_path, 96) as disk:
        repo = init_repo(disk / "repo")
        before = free_bytes(disk)
        reference = f"ostree-unverified-image:{image.reference}"
        result = bootc_orch("image", "pull", "--repo", repo, reference, status=73)
        assert result.stderr.count("error:") == 1
        assert read_refs(repo) == {}
        verify_state(repo)
        assert before - free_bytes(disk) < 1 << 20


def test_inodes_that_run_out_are_reported(tiny_files: Subject, tmp_path: Path) -> None:
    """D09."""
    with small_filesystem(tmp_path, 24, inodes=600) as disk:
        repo = init_repo(disk / "repo")
        result = bootc_orch(*tiny_files.pull(repo), status=73)
        assert result.stderr.count("error:") == 1
        tiny_files.golden.assert_whole(repo)


SIGNALS = [
    pytest.param(signal.SIGINT, True, 130, id="P03"),
    pytest.param(signal.SIGINT, False, 130, id="P03-parent"),
    pytest.param(signal.SIGTERM, False, 143, id="P02"),
    pytest.param(signal.SIGTERM, True, 143, id="P02-group"),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "group", "status"), SIGNALS)
def test_an_interrupt_ends_it_soon_and_leaves_nothing(
    number: signal.Signals, group: bool, status: int, realistic: Subject, tmp_path: Path
) -> None:
    chance = seeded(f"{number} {group}")
    for attempt in range(4):
        repo = init_repo(tmp_path / f"repo-{attempt}")
        process = start([*realistic.pull(repo), "--quiet"], stderr=subprocess.PIPE)
        time.sleep(chance.uniform(realistic.start_seconds, realistic.seconds * 0.7))
        children = descendants(process.pid)
        (os.killpg if group else os.kill)(process.pid, number)
        _, said = process.communicate(timeout=INTERRUPT_SECONDS)
        # Before the program has set its handlers, the signal itself is the status.
        assert process.returncode in (status, -number, 0), said.decode()
        assert said.count(b"\n") <= 1, said.decode()
        wait_until_gone(children)
        realistic.golden.assert_whole(repo)
        verify_state(repo)
        realistic.assert_converges(repo)


def test_a_second_interrupt_leaves_at_once(realistic: Subject, tmp_path: Path) -> None:
    """P04."""
    chance = seeded("twice")
    for attempt in range(4):
        repo = init_repo(tmp_path / f"repo-{attempt}")
        process = start(realistic.pull(repo), stderr=subprocess.PIPE)
        time.sleep(chance.uniform(realistic.start_seconds, realistic.seconds * 0.7))
        children = descendants(process.pid)
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.05)
        _, said = process.communicate(timeout=INTERRUPT_SECONDS)
        assert b"Traceback" not in said
        assert process.returncode in (130, -signal.SIGINT, 0)
        wait_until_gone(children)
        realistic.golden.assert_whole(repo)
        realistic.assert_converges(repo)


def test_output_that_nobody_reads_is_no_crash(small: Subject, tmp_path: Path) -> None:
    """P05."""
    repo = init_repo(tmp_path / "repo")
    for command in (small.pull(repo), ["image", "list", "--repo", repo]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [PROGRAM, *command], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(writer)
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr
        small.golden.assert_whole(repo)
    small.assert_converges(repo)


def test_closed_standard_streams_are_no_crash(small: Subject, tmp_path: Path) -> None:
    """P26, P25: descriptors 0 to 2 are not there, so files would get their numbers."""
    repo = init_repo(tmp_path / "repo")
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", PROGRAM, *small.pull(repo)]
    subprocess.run(command, check=False)
    small.golden.assert_whole(repo)
    small.assert_converges(repo)


@pytest.mark.timeout(300)
def test_many_pulls_of_one_image_agree(realistic: Subject, tmp_path: Path) -> None:
    """K01."""
    for attempt in range(2):
        repo = init_repo(tmp_path / f"repo-{attempt}")
        processes = [start(realistic.pull(repo)) for _ in range(8)]
        assert [process.wait(120) for process in processes] == [0] * 8
        realistic.assert_converges(repo)


@pytest.mark.timeout(300)
def test_garbage_collection_never_takes_what_a_pull_needs(
    realistic: Subject, small: Subject, tmp_path: Path
) -> None:
    """K02, K03: two pulls, while layers and objects are pruned without pause."""
    for attempt in range(3):
        repo = init_repo(tmp_path / f"repo-{attempt}")
        pulls = [start(realistic.pull(repo)), start(small.pull(repo))]
        while any(pull.poll() is None for pull in pulls):
            bootc_orch("image", "prune-layers", "--repo", repo)
            ostree("prune", f"--repo={repo}", "--refs-only", "--depth=0")
        assert [pull.returncode for pull in pulls] == [0, 0]
        verify_state(repo)
        assert read_refs(repo) == {**realistic.golden.refs, **small.golden.refs}
