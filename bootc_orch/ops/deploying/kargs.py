"""The kernel arguments that images ask for and deployments have."""

from __future__ import annotations

import platform
from pathlib import Path

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.model.host.kargs import KARGS_DIRECTORY, merge_image_kargs, parse_kargs_file
from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import InvalidImageError


def image_kargs(tree: CommitTree, *, machine: str | None = None) -> tuple[str, ...] | None:
    """Return what the image's ``kargs.d`` asks for on *machine*; None if it has no such directory.

    Files are read in the order of their names; other suffixes than ``.toml`` are passed over.

    Raises:
        InvalidImageError: a file there cannot be understood.
    """
    folder = tree.directory(KARGS_DIRECTORY)
    if folder is None:
        return None
    found: list[str] = []
    for raw, _ in folder.files:
        name = raw.decode(errors="backslashreplace")
        if name.endswith(".toml"):
            source = f"{KARGS_DIRECTORY}/{name}"
            text = _text(tree.read(f"{KARGS_DIRECTORY}/{name}"), source)
            found += parse_kargs_file(text, source=source, machine=machine or platform.machine())
    return tuple(found)


def upgraded_kargs(repo: Repo, tree: CommitTree, replaced: Deployment) -> tuple[str, ...]:
    """Carry the arguments of *replaced* over to the image of *tree*.

    Raises:
        InvalidImageError: a ``kargs.d`` file of either image cannot be understood.
    """
    old = image_kargs(CommitTree(repo, replaced.checksum)) or ()
    return merge_image_kargs(replaced.kargs, old=old, new=image_kargs(tree))


def _text(data: bytes | None, source: str) -> str:
    try:
        return (data or b"").decode()
    except UnicodeDecodeError as error:
        raise InvalidImageError(f"{source} is not UTF-8.", path=str(Path(source))) from error
