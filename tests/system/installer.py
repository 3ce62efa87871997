"""Run commands in the root of an OS image, as an installation medium would: its tools, its program.

Each runs in mount and network namespaces of its own, with a registry over the images on loopback.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from system.os_images import Images
from system.os_root import os_root

ENTER = """\
set -euo pipefail
root=$1 script=$2
shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
for path; do
    mkdir -p "$root$path"
    mount --rbind "$path" "$root$path"
done
ip link set lo up
exec chroot "$root" /bin/bash -euxc "$script"
"""
REGISTRY_SCRIPT = """\
python3 /usr/libexec/test-registry.py 5000 app={app} os={os} &
for try in $(seq 50); do (: >/dev/tcp/127.0.0.1/5000) 2>/dev/null && break; sleep 0.1; done
"""
STATE = ("var/tmp", "var/roothome", "var/home", "var/lib", "var/cache", "var/log")


class Installer:
    """The unpacked root of an image, with the program in it.

    Attributes:
        root: Where it is.
        images: What its registry serves.
    """

    def __init__(self, directory: Path, images: Images, program: Path) -> None:
        self.root = directory
        self.images = images
        directory.mkdir()
        subprocess.run(["tar", "-C", directory, "-xpf", os_root() / "root.tar"], check=True)
        subprocess.run(["cp", "-a", f"{program}/.", directory], check=True)
        for name in STATE:
            (directory / name).mkdir(parents=True)

    def run(self, script: str, *, binds: Sequence[Path] = ()) -> str:
        """Run *script* in bash, with *binds* and the images at the paths that they have here."""
        shown = [*binds, self.images.os, self.images.app]
        registry = REGISTRY_SCRIPT.format(app=self.images.app, os=self.images.os)
        done = subprocess.run(
            [
                "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
                "--propagation", "private",
                "bash", "-c", ENTER, "enter", self.root, f"{registry}\n{script}\nkill %1",
                *shown,
            ],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
