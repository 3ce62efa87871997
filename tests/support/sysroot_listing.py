"""List all files of an installed root filesystem so that two of them can be compared.

What two installations of one image cannot have in common has a name instead: the checksums of
commits, which record the time and the program that made them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bootc_orch.tools.immutable import is_immutable
from support.injection import read_refs

# A file that people read is listed with its text, any other with its checksum.
TEXT_BYTES = 4096
Entry = dict[str, Any]
Listing = dict[str, Entry]


def listing(root: Path) -> Listing:
    """Map every path below *root*, the root itself as ``.``, to what is there."""
    names = _names_of_commits(root / "ostree/repo")
    found = {}
    for path in [root, *_walk(root)]:
        relative = str(path.relative_to(root))
        found[_renamed(relative, names)] = _entry(path, names)
    return dict(sorted(found.items()))


def differences(ours: Listing, theirs: Listing) -> dict[str, str]:
    """Map each path that differs to how, ours first."""
    found = {}
    for path in sorted({*ours, *theirs}):
        if path not in theirs:
            found[path] = "only ours"
        elif path not in ours:
            found[path] = "only theirs"
        elif ours[path] != theirs[path]:
            keys = sorted({*ours[path], *theirs[path]})
            found[path] = "; ".join(
                f"{key}: {ours[path].get(key)!r} != {theirs[path].get(key)!r}"
                for key in keys
                if ours[path].get(key) != theirs[path].get(key)
            )
    return found


def write(path: Path, found: Listing) -> None:
    """Record a listing, one line a path."""
    lines = [f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def read(path: Path) -> Listing:
    """Read a listing that was recorded."""
    found: Listing = json.loads(path.read_text())
    return found


def _walk(root: Path) -> Iterator[Path]:
    for directory, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield Path(directory, name)


def _names_of_commits(repo: Path) -> dict[str, str]:
    """Name each commit for what it holds: the merged image, or a layer."""
    names = {}
    for ref, commit in read_refs(repo).items():
        kind, _, name = ref.removeprefix("ostree/container/").partition("/")
        if kind == "blob":
            names[commit] = f"LAYER-{name.removeprefix('sha256_3A_')[:12]}"
        elif kind == "image":
            names[commit] = "MERGE"
    return names


def _renamed(text: str, names: Mapping[str, str]) -> str:
    for commit, name in names.items():
        text = text.replace(commit, name).replace(f"{commit[:2]}/{commit[2:]}", name)
    return text


def _entry(path: Path, names: Mapping[str, str]) -> Entry:
    status = path.lstat()
    entry: Entry = {
        "type": stat.filemode(status.st_mode)[0],
        "mode": f"{stat.S_IMODE(status.st_mode):o}",
        "owner": f"{status.st_uid}:{status.st_gid}",
    }
    xattrs = os.listxattr(path, follow_symlinks=False)
    if xattrs:
        entry["xattrs"] = {
            name: os.getxattr(path, name, follow_symlinks=False).hex() for name in sorted(xattrs)
        }
    if path.is_symlink():
        entry["target"] = _renamed(str(path.readlink()), names)
    elif path.is_dir():
        entry["immutable"] = is_immutable(path)
    elif path.suffix not in (".commit", ".commitmeta"):
        entry |= _content(path, names)
    return entry


def _content(path: Path, names: Mapping[str, str]) -> Entry:
    data = path.read_bytes()
    text = data.decode(errors="replace")
    if len(data) <= TEXT_BYTES and re.fullmatch(r"[\t\n\x20-\x7e]*", text):
        return {"text": _renamed(text, names)}
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
