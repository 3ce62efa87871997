"""Install an image with the reference implementation, and record what it leaves.

usage: python -m support.bootc_install    in ``tests``, as root, with ``bootc`` on PATH

bootc looks at the root it runs in as if that were the image: it wants ``prepare-root.conf`` there,
reads ``/proc/1/root``, and keeps its own containers/storage; so it gets namespaces of its own.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from support.host import make_os
from support.images import FIXTURES
from support.injection import small_filesystem
from support.sysroot_listing import Listing, listing, write

RECORDED = FIXTURES / "sysroots/bootc-install.json"
# Where the image is for both: its name stands in refs and origins.
PLACE = "/var/tmp/installed-os"
ARGUMENTS = (
    "--source-imgref", f"oci:{PLACE}", "--target-transport", "oci", "--target-imgref", PLACE,
    "--root-mount-spec", "LABEL=root", "--bound-images", "skip", "--bootloader", "none",
    "--disable-selinux", "--karg", "console=ttyS0", "--karg", "quiet",
)  # fmt: skip
MEGABYTES = 128
_SCRIPT = """
set -e
mkdir -p /run/udev "$1"
mount --bind "$0" "$1"
mount -t proc proc /proc
for place in /etc/ostree /var/lib/containers; do
    mkdir -p $place
    mount -t tmpfs tmpfs $place
done
printf '[composefs]\\nenabled = no\\n' >/etc/ostree/prepare-root.conf
shift
exec bootc install to-filesystem --skip-fetch-check "$@"
"""


def sample_os(layout: Path) -> str:
    """Write the image that is installed: layers, links, kernel arguments, content for ``/var``."""
    return make_os(
        layout,
        files={
            "usr/lib/bootc/kargs.d/10-os.toml": b'kargs = ["os.karg=1"]\n',
            "usr/share/large": bytes(range(256)) * 64,
            "usr/share/empty": b"",
        },
        links={"usr/share/link": "version", "opt": "var/opt"},
        more_layers=({"usr/share/second": b"2\n", "usr/lib/.wh.absent": b""},),
    )


def install_with_bootc(layout: Path, root: Path) -> Listing:
    """Install the image in *layout* into the filesystem mounted at *root*; list what is there."""
    namespaces = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child")
    subprocess.run(
        [
            *namespaces, "--propagation", "private", "sh", "-c", _SCRIPT,
            layout, PLACE, *ARGUMENTS, root,
        ],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return listing(root)


def main() -> None:
    """Record the reference installation."""
    with tempfile.TemporaryDirectory() as place, small_filesystem(Path(place), MEGABYTES) as root:
        sample_os(Path(place) / "os")
        RECORDED.parent.mkdir(exist_ok=True)
        write(RECORDED, install_with_bootc(Path(place) / "os", root))


if __name__ == "__main__":
    main()
