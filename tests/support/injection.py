"""Interrupt a run of the program at any moment, and judge what is left in the repository."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import signal
import stat
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from support.cli import PROGRAM
from support.ostree import ostree

SEED_VARIABLE = "BOOTC_ORCH_SEED"
ORPHAN_SECONDS = 5.0
STRACE_LINE = re.compile(r"^(\d+) +(\w+)\(", re.MULTILINE)
LS_LINE = re.compile(
    r"^[-dl]\d{5} +\d+ +\d+ +\d+ ([0-9a-f]{64})(?: ([0-9a-f]{64}))? /", re.MULTILINE
)


class Target(StrEnum):
    """Who is killed."""

    PARENT = "parent"
    CHILD = "child"
    TREE = "tree"


def seeded(name: str) -> random.Random:
    """Return the chance of the test *name*, from a seed that is printed, and can be set.

    A failed test is run again with the same instants by ``BOOTC_ORCH_SEED=…``.
    """
    seed = os.environ.get(SEED_VARIABLE) or str(random.SystemRandom().randrange(1 << 32))
    print(f"{SEED_VARIABLE}={seed}")
    return random.Random(f"{seed} {name}")


def start(argv: Sequence[str | Path], **options: object) -> subprocess.Popen[bytes]:
    """Start the program in a session of its own, its output thrown away."""
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    return subprocess.Popen(
        [str(word) for word in (PROGRAM, *argv)],
        start_new_session=True,
        **{**quiet, **options},  # type: ignore[call-overload]
    )


def kill(process: subprocess.Popen[bytes], target: Target, chance: random.Random) -> None:
    """Send SIGKILL to whom *target* says; wait until all of the run is gone, or fail.

    Where there is no child at that instant, the program itself is killed.
    """
    children = descendants(process.pid)
    victims = [process.pid]
    if target is Target.CHILD and children:
        victims = [chance.choice(children)]
    elif target is Target.TREE:
        victims = [process.pid, *children]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    process.wait(60)
    wait_until_gone(children)


def wait_until_gone(pids: Sequence[int]) -> None:
    """Wait until none of *pids* lives; nobody may outlive the program for long."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while left := [pid for pid in pids if _alive(pid)]:
        assert time.monotonic() < deadline, f"orphans: {left}"
        time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    """Return the children of *pid*, their children, and so on."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text(errors="replace").rsplit(")", 1)[1].split()
            parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


@dataclass(frozen=True, slots=True)
class Golden:
    """What an undisturbed pull leaves.

    Attributes:
        refs: The refs, each with its commit.
        objects: For each commit what it consists of: path in the repository, and fingerprint.
    """

    refs: Mapping[str, str]
    objects: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, repo: Path) -> Golden:
        """Record what is in *repo*."""
        refs = read_refs(repo)
        return cls(refs, {commit: _objects(repo, commit) for commit in set(refs.values())})

    def assert_whole(self, repo: Path) -> None:
        """Assert that every ref in *repo* is one of ours and that nothing it names is missing.

        ``ostree fsck`` must not be asked: it would mark what it finds incomplete, before the
        program could recover.
        """
        for name, commit in read_refs(repo).items():
            assert self.refs.get(name) == commit, f"{name} names {commit}"
            for path, fingerprint in self.objects[commit].items():
                assert _fingerprint(repo / path) == fingerprint, f"{path} of {name} is damaged"


def read_refs(repo: Path) -> dict[str, str]:
    """Read the ref files as they are; an empty or odd one stands out."""
    heads = repo / "refs/heads"
    return {
        str(path.relative_to(heads)): path.read_text().removesuffix("\n")
        for path in heads.rglob("*")
        if path.is_file()
    }


def count_calls(argv: Sequence[str | Path], calls: Sequence[str], log: Path) -> Counter[str]:
    """Run the program under strace; return how often its busiest thread made each of *calls*."""
    trace = f"trace={','.join(f'?{call}' for call in calls)}"
    subprocess.run(
        ["strace", "-f", "-o", log, "-e", trace, PROGRAM, *argv],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    busiest: Counter[str] = Counter()
    for (_, call), count in Counter(STRACE_LINE.findall(log.read_text(errors="replace"))).items():
        busiest[call] = max(busiest[call], count)
    return busiest


def inject(argv: Sequence[str | Path], call: str, what: str) -> subprocess.CompletedProcess[str]:
    """Run the program and tamper with the system call *call*.

    Args:
        argv: Arguments of the program.
        call: Name of the system call.
        what: How, in strace's words, such as ``signal=SIGKILL:when=8`` or ``error=EIO:when=3+``.
    """
    return subprocess.run(
        [
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
            "-e", f"inject={call}:{what}", PROGRAM, *argv,
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        timeout=120,
    )  # fmt: skip


@contextlib.contextmanager
def small_filesystem(place: Path, megabytes: int, *, inodes: int | None = None) -> Iterator[Path]:
    """Mount an ext4 file system of *megabytes* below *place* for the block."""
    image, mountpoint = place / "disk.img", place / "disk"
    mountpoint.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    options = () if inodes is None else ("-N", str(inodes))
    _run("mkfs.ext4", "-q", "-F", "-m", "0", *options, image)
    _run("mount", "-o", "loop", image, mountpoint)
    try:
        yield mountpoint
    finally:
        _run("umount", mountpoint)
        image.unlink()


def fill(directory: Path, *, spare: int) -> Path:
    """Write a file in *directory* that leaves *spare* bytes of its file system free."""
    filler = directory / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free_bytes(directory) - spare)
    return filler


def free_bytes(directory: Path) -> int:
    """Return how many bytes are free where *directory* is."""
    state = os.statvfs(directory)
    return state.f_bavail * state.f_frsize


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def _objects(repo: Path, commit: str) -> dict[str, str]:
    listing = ostree("ls", f"--repo={repo}", "-R", "-C", commit)
    paths = {_object_path(commit, "commit")}
    for first, second in LS_LINE.findall(listing):
        if second:
            paths |= {_object_path(first, "dirtree"), _object_path(second, "dirmeta")}
        else:
            paths.add(_object_path(first, "file"))
    return {path: _fingerprint(repo / path) for path in paths}


def _object_path(checksum: str, suffix: str) -> str:
    return f"objects/{checksum[:2]}/{checksum[2:]}.{suffix}"


def _fingerprint(path: Path) -> str:
    """Return all that counts of an object: type, mode, owner, content; or that it is missing."""
    try:
        state = path.lstat()
    except FileNotFoundError:
        return "missing"
    link = stat.S_ISLNK(state.st_mode)
    data = os.fsencode(path.readlink()) if link else path.read_bytes()
    xattrs = {name: os.getxattr(path, name, follow_symlinks=False) for name in _xattr_names(path)}
    digest = hashlib.sha256(data + repr(xattrs).encode()).hexdigest()
    return f"{state.st_mode:o} {state.st_uid} {state.st_gid} {digest}"


def _xattr_names(path: Path) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))


def _alive(pid: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()[0]
            != "Z"
        )
    except OSError:
        return False
