"""A sysroot written by hand: deployments as ostree lays them out, without root and without ostree.

Its repository is of mode ``bare``, and the files of a deployment are hard links to its objects.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.tools.ostree.sysroot import Sysroot
from support.handmade import HandmadeRepo

KERNEL_VERSION = "6.1.0-test"
BOOT_FILES = {"vmlinuz": b"kernel", "initramfs.img": b"initramfs"}
BOOTABLE = {"usr": {"lib": {"modules": {KERNEL_VERSION: BOOT_FILES}}}}


class HandmadeSysroot:
    """A sysroot at *path* with no more deployments than a test makes.

    Attributes:
        made: Its repository.
        sysroot: As the program opens it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made = HandmadeRepo(path / "ostree/repo")
        (path / "boot/loader/entries").mkdir(parents=True)
        (path / "ostree/deploy").mkdir()
        self.sysroot = Sysroot(path)
        self._count = 0

    def deploy(
        self,
        commit: str,
        *,
        origin: str | None = None,
        options: str = "root=/dev/vda",
        boot_files: Mapping[str, bytes] = BOOT_FILES,
        stateroot: str = "os",
    ) -> Deployment:
        """Deploy *commit* behind the deployments that there are, and return the deployment.

        Args:
            commit: A commit of the repository.
            origin: The text of its origin file; None for no such file.
            options: Its kernel arguments, without the one that names it.
            boot_files: Kernel and initramfs, in this order.
            stateroot: Where it belongs.
        """
        name = f"{commit}.{self.next_serial(commit, stateroot)}"
        root = self.path / f"ostree/deploy/{stateroot}/deploy" / name
        self.check_out(self.made.repo.commit(commit).tree, root)
        if origin is not None:
            root.with_name(f"{root.name}.origin").write_text(origin)
        bootcsum = hashlib.sha256(b"".join(boot_files.values())).hexdigest()
        self._link(root, stateroot, bootcsum)
        self._entry(stateroot, bootcsum, options, boot_files)
        self._count += 1
        return self.sysroot.deployments().all[-1]

    def entry(self, number: int = 0) -> Path:
        """The file of the boot entry that was made as the *number*-th, from 0."""
        return self.path / f"boot/loader/entries/ostree-{number}.conf"

    def next_serial(self, commit: str, stateroot: str) -> int:
        """The number that the next deployment of *commit* has in its name."""
        folder = self.path / f"ostree/deploy/{stateroot}/deploy"
        return sum(path.is_dir() for path in folder.glob(f"{commit}.*"))

    def check_out(self, tree: str, target: Path) -> None:
        """Make the directory *target* of the dirtree *tree*."""
        target.mkdir(parents=True)
        entries = self.made.repo.dirtree(tree)
        for name, checksum in entries.files:
            source = self.made.repo.content_path(checksum.hex())
            os.link(source, target / name.decode(), follow_symlinks=False)
        for name, child, _ in entries.dirs:
            self.check_out(child.hex(), target / name.decode())

    def _link(self, root: Path, stateroot: str, bootcsum: str) -> None:
        link = self.path / f"ostree/boot.0/{stateroot}/{bootcsum}/{self._count}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(root, link.parent))

    def _entry(
        self, stateroot: str, bootcsum: str, options: str, boot_files: Mapping[str, bytes]
    ) -> None:
        folder = f"ostree/{stateroot}-{bootcsum}"
        (self.path / "boot" / folder).mkdir(parents=True, exist_ok=True)
        lines = [f"title test {self._count}", f"version {100 - self._count}"]
        for key, (name, data) in zip(("linux", "initrd"), boot_files.items(), strict=True):
            (self.path / "boot" / folder / name).write_bytes(data)
            lines.append(f"{key} /{folder}/{name}")
        link = f"/ostree/boot.0/{stateroot}/{bootcsum}/{self._count}"
        lines.append(f"options {options} ostree={link}")
        self.entry(self._count).write_text("\n".join(lines) + "\n")
