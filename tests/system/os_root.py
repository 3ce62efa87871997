"""A Debian root that boots under ostree: kernel, dracut with its ostree module, podman, skopeo.

It is made once and kept, shaped for an image but without this program, as a tar archive.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from system.oci import tar_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = "forky"
PACKAGES = (
    "linux-image-cloud-amd64,dracut,ostree,ostree-boot,systemd,systemd-sysv,udev,dbus,kmod,"
    "e2fsprogs,util-linux,ca-certificates,iproute2,procps,podman,crun,netavark,skopeo,"
    "grub2-common,grub-pc-bin,grub-efi-amd64-bin,"
    "python3,python3-typer,python3-rich,python3-yaml,python3-tenacity,python3-isal,python3-sh"
)
LEFT_OUT = (
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*",
    "/usr/lib/grub/*/monolithic/*",
)  # fmt: skip
DRIVERS = "virtio_pci virtio_blk ext4 overlay erofs loop"
COMPOSEFS_CONF = "[composefs]\nenabled = yes\n"
# Where the directories of a root lead under ostree; made at boot, as /var is the machine's own.
LINKS = {
    "home": "var/home",
    "root": "var/roothome",
    "opt": "var/opt",
    "srv": "var/srv",
    "mnt": "var/mnt",
    "ostree": "sysroot/ostree",
}
TMPFILES = (
    "d /var/home 0755 root root -\nd /var/roothome 0700 root root -\n"
    "d /var/opt 0755 root root -\nd /var/srv 0755 root root -\nd /var/mnt 0755 root root -\n"
)


def cache_directory() -> Path:
    """Where what is slow to make is kept."""
    return Path(os.environ.get("BOOTC_ORCH_CACHE", "/var/cache/bootc-orch"))


def os_root() -> Path:
    """Return the directory that holds ``root.tar`` and ``composefs.tar``, made if need be.

    ``composefs.tar`` is a layer over the other that switches composefs on.
    """
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    target = cache_directory() / f"os-root-{recipe}"
    if target.exists():
        return target
    work = cache_directory() / f"os-root-{recipe}.tmp-{os.getpid()}"
    work.mkdir(parents=True)
    try:
        _make(work)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _make(work: Path) -> None:
    root = work / "root"
    _bootstrap(root)
    version = _kernel_into_modules(root)
    _initramfs(root, version)
    layer = work / "composefs"
    conf = root / "usr/lib/ostree/prepare-root.conf"
    conf.parent.mkdir(parents=True, exist_ok=True)
    plain = root / f"usr/lib/modules/{version}/initramfs.img"
    plain.rename(work / "initramfs.img")
    conf.write_text(COMPOSEFS_CONF)
    _initramfs(root, version)
    for path in (conf, plain):
        copy = layer / path.relative_to(root)
        copy.parent.mkdir(parents=True)
        path.rename(copy)
    shutil.move(work / "initramfs.img", plain)
    _shape(root)
    tar_of(root, work / "root.tar")
    tar_of(layer, work / "composefs.tar")
    shutil.rmtree(root)
    shutil.rmtree(layer)


def mirror() -> str:
    """The archive that this machine itself installs from."""
    lines = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(LABEL)", "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    sites = [line.split(" ", 1)[0] for line in lines if line.endswith(" Debian")]
    return sites[0]


def _bootstrap(root: Path) -> None:
    subprocess.run(
        [
            "mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}",
            "--aptopt=Acquire::Check-Valid-Until \"false\"",
            *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
            SUITE, root, mirror(),
        ],
        check=True,
    )  # fmt: skip


def _kernel_into_modules(root: Path) -> str:
    [modules] = (root / "usr/lib/modules").iterdir()
    (root / "boot" / f"vmlinuz-{modules.name}").rename(modules / "vmlinuz")
    return modules.name


def _initramfs(root: Path, version: str) -> None:
    with mounts(root):
        subprocess.run(
            [
                "chroot", root, "dracut", "--force", "--quiet",
                "--no-hostonly", "--no-early-microcode",
                "--modules", "base bash systemd systemd-initrd dracut-systemd kernel-modules "
                "rootfs-block fs-lib udev-rules initqueue usrmount shutdown ostree",
                "--force-drivers", DRIVERS, "--compress", "gzip",
                f"/usr/lib/modules/{version}/initramfs.img", version,
            ],
            check=True,
        )  # fmt: skip


@contextmanager
def mounts(root: Path) -> Iterator[None]:
    """Give *root* the kernel's filesystems while the block runs."""
    points = [root / name for name in ("proc", "sys", "dev")]
    for point in points:
        subprocess.run(["mount", "--rbind", "--make-rslave", f"/{point.name}", point], check=True)
    try:
        yield
    finally:
        for point in reversed(points):
            subprocess.run(["umount", "--recursive", "--lazy", point], check=True)


def _shape(root: Path) -> None:
    """Make a machine's root into an image's: nothing of one machine, /var empty."""
    for name in ("vmlinuz", "vmlinuz.old", "initrd.img", "initrd.img.old"):
        (root / name).unlink(missing_ok=True)
    for name in ("boot", "var", "run", "tmp", "media", *LINKS):
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in ("boot", "var", "run", "tmp", "sysroot"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    for name, target in LINKS.items():
        (root / name).symlink_to(target)
    for name in ("machine-id", "fstab"):
        (root / "etc" / name).unlink(missing_ok=True)
    (root / "etc/machine-id").touch()
    # At every boot it writes to /boot, which is read-only.
    (root / "etc/systemd/system/grub2-common.service").symlink_to("/dev/null")
    (root / "usr/lib/tmpfiles.d/ostree-roots.conf").write_text(TMPFILES)
    store = root / "usr/lib/bootc/storage"
    store.parent.mkdir(parents=True)
    store.symlink_to("../../../sysroot/ostree/bootc/storage")
    for cache in (root / "usr").rglob("__pycache__"):
        shutil.rmtree(cache)
