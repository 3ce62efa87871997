"""Kernel and initramfs of a tree: that there are exactly one of each, and space for them.

Source: libostree's ``usr/lib/modules/VERSION/{vmlinuz,initramfs.img}``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from bootc_orch.model.safe_text import safe_text
from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import InvalidImageError, SpaceError

MODULES = "usr/lib/modules"
INITRAMFS_NAMES = (b"initramfs.img", b"initrd.img")
RESERVE = 1 << 20


@dataclass(frozen=True, slots=True)
class BootFiles:
    """What a deployment puts into ``/boot``.

    Attributes:
        version: The kernel's version.
        objects: The checksums of its files.
        size: Their length in bytes.
    """

    version: str
    objects: frozenset[str]
    size: int


def find_boot_files(repo: Repo, tree: CommitTree) -> BootFiles:
    """Find kernel and initramfs.

    Raises:
        InvalidImageError: there is not exactly one kernel, or it has no initramfs, or its version
            cannot stand in a boot entry.
    """
    found = list(_kernels(tree))
    if len(found) != 1:
        raise InvalidImageError(
            f"The image has {len(found)} kernels in {MODULES}; a bootable one has one.",
            path=MODULES,
        )
    version, files = found[0]
    initramfs = next((files[name] for name in INITRAMFS_NAMES if name in files), None)
    if initramfs is None:
        raise InvalidImageError(
            f"The image has no initramfs in {MODULES}/{version}.", path=f"{MODULES}/{version}"
        )
    objects = frozenset({files[b"vmlinuz"].hex(), initramfs.hex()})
    return BootFiles(version, objects, sum(repo.content_size(one) for one in objects))


def _kernels(tree: CommitTree) -> Iterator[tuple[str, dict[bytes, bytes]]]:
    """Yield the version of each kernel, with the files in its directory and their checksums."""
    modules = tree.directory(MODULES)
    for name, _, _ in modules.dirs if modules else ():
        version = name.decode(errors="backslashreplace")
        folder = tree.directory(f"{MODULES}/{version}")
        files = dict(folder.files) if folder else {}
        if b"vmlinuz" in files:
            yield safe_text(version, what="The version of the kernel"), files


def boot_bytes_needed(sysroot: Sysroot, repo: Repo, files: BootFiles) -> int:
    """Return how much *files* take in ``/boot``: nothing if a deployment has the same ones."""
    stored = any(_has(repo, one.checksum, files) for one in sysroot.deployments().all)
    return 0 if stored else files.size


def require_boot_space(sysroot: Sysroot, repo: Repo, files: BootFiles) -> None:
    """Make sure that ``/boot`` can take *files*.

    Raises:
        SpaceError: it cannot.
    """
    needed = boot_bytes_needed(sysroot, repo, files)
    boot = os.statvfs(sysroot.path / "boot")
    free = boot.f_bavail * boot.f_frsize
    if needed and free < needed + RESERVE:
        raise SpaceError(
            f"{sysroot.path / 'boot'} has {free} bytes free, but kernel and initramfs "
            f"{files.version} need {needed}.",
            hint="Remove the rollback deployment with: bootc-orch cleanup --rollback",
            path=str(sysroot.path / "boot"),
        )


def _has(repo: Repo, commit: str, files: BootFiles) -> bool:
    try:
        return find_boot_files(repo, CommitTree(repo, commit)).objects == files.objects
    except InvalidImageError:
        return False
