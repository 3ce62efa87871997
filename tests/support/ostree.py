"""Look at a repository with ostree's own command: the witness that our code is measured by."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

CONTAINER_REFS = "ostree/container"


@dataclass(frozen=True, slots=True)
class Commit:
    """What ``ostree show`` says of a commit.

    Attributes:
        content: ``ContentChecksum``: the tree, whatever the commit's date and metadata.
        parent: None where there is none.
        date: In UTC, such as ``2025-01-01 00:00:00 +0000``.
    """

    checksum: str
    content: str
    parent: str | None
    date: str


def ostree(*argv: str | Path) -> str:
    """Run ``ostree`` with *argv* in UTC and return what it printed."""
    return subprocess.run(
        ["ostree", *map(str, argv)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"},
    ).stdout


def init_repo(path: Path, mode: str = "bare") -> Path:
    """Make an empty repository at *path* and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ostree("init", f"--repo={path}", f"--mode={mode}")
    return path


def show(repo: Path, rev: str) -> Commit:
    """Return what ``ostree show`` says of *rev*."""
    text = ostree("show", f"--repo={repo}", rev)
    fields = dict(
        re.findall(r"^(commit|Parent|ContentChecksum|Date):? +(\S.*)$", text, re.MULTILINE)
    )
    return Commit(
        checksum=fields["commit"],
        content=fields["ContentChecksum"],
        parent=fields.get("Parent"),
        date=fields["Date"],
    )


def metadata_keys(repo: Path, rev: str) -> tuple[str, ...]:
    """Return the keys of the metadata of *rev*, in the order in which the commit has them."""
    return tuple(re.findall(r"'([a-z0-9._-]+)': <", ostree("show", f"--repo={repo}", "--raw", rev)))


def tree(repo: Path, rev: str) -> tuple[str, ...]:
    """Return the lines of ``ostree ls -R -C -X``: mode, owner, checksum, xattrs and name."""
    return tuple(ostree("ls", f"--repo={repo}", "-R", "-C", "-X", rev).split("\n"))


def refs(repo: Path, prefix: str = CONTAINER_REFS) -> dict[str, str]:
    """Return the refs under *prefix*, each with its commit."""
    names = ostree("refs", f"--repo={repo}", "--list", prefix).split()
    return {name: (repo / "refs/heads" / name).read_text().strip() for name in names}


def verify_state(repo: Path) -> None:
    """Assert that *repo* is whole and that nothing is left over.

    A clean ``ostree fsck`` without partial commits, refs that resolve, a ``tmp`` that holds nothing
    but ``cache``, no process that still speaks of the repository.
    """
    ostree("fsck", f"--repo={repo}", "--quiet")
    assert [path.name for path in repo.glob("state/*.commitpartial")] == []
    assert sorted(path.name for path in (repo / "tmp").iterdir() if path.name != "cache") == []
    assert processes_naming(repo) == []


def processes_naming(path: Path) -> list[str]:
    """Return the command lines of live processes that have *path* as an argument or part of one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(path).encode() in command and entry.parent.name != str(os.getpid()):
            found.append(command.replace(b"\0", b" ").decode(errors="backslashreplace"))
    return found
