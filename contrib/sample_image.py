#!/usr/bin/env python3
"""Write a small image of an operating system, as an OCI layout, to try the program with.

    contrib/sample_image.py DIRECTORY

It is like a real one in all but size: a base layer, an application that is added to it and hides a
file of the base (a whiteout), and configuration that replaces a whole directory (an opaque one).
Nothing in it depends on time or place.  It needs nothing but Python's own library.

Source: OCI image format specification 1.1, image layout, manifest, configuration and layers.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CREATED = "2026-01-01T00:00:00Z"
CREATED_SECONDS = 1767225600
VERSION = "1.0"
MEDIA_TYPE = "application/vnd.oci.image"
# Images have Go's names of processors.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
KERNEL = "usr/lib/modules/6.12.0-sample"
OS_RELEASE = f"""\
NAME="Sample OS"
ID=sample
VERSION_ID={VERSION}
PRETTY_NAME="Sample OS {VERSION}"
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A member of a layer: a link if *target* is given, a file if *content* is, or a directory."""

    path: str
    content: str | None = None
    target: str | None = None
    mode: int = 0o755

    def header(self) -> tarfile.TarInfo:
        """Return the tar header: owned by root, dated like the image."""
        header = tarfile.TarInfo(self.path)
        header.mode = self.mode
        header.mtime = CREATED_SECONDS
        if self.target is not None:
            header.type, header.linkname, header.mode = tarfile.SYMTYPE, self.target, 0o777
        elif self.content is not None:
            header.size = len(self.content.encode())
        else:
            header.type = tarfile.DIRTYPE
        return header


BASE = (
    *(
        Entry(path)
        for path in (
            "boot", "dev", "etc", "etc/sample.d", "proc", "run", "sys", "sysroot", "tmp", "usr",
            "usr/bin", "usr/lib", "usr/lib/modules", KERNEL, "usr/share", "usr/share/doc",
        )
    ),
    Entry("bin", target="usr/bin"),
    Entry("lib", target="usr/lib"),
    Entry("home", target="var/home"),
    Entry("ostree", target="sysroot/ostree"),
    Entry("etc/os-release", target="../usr/lib/os-release"),
    Entry("etc/hostname", "sample\n", mode=0o644),
    Entry("etc/sample.d/10-base.conf", "colour = grey\n", mode=0o644),
    Entry(f"{KERNEL}/vmlinuz", "Stands for a kernel.\n" * 400, mode=0o644),
    Entry(f"{KERNEL}/initramfs.img", "Stands for an initial file system.\n" * 900, mode=0o600),
    Entry("usr/bin/become", "#!/bin/sh\nexec id\n", mode=0o4755),
    Entry("usr/lib/os-release", OS_RELEASE, mode=0o644),
    Entry("usr/share/doc/notes", "Hidden by the next layer.\n", mode=0o644),
)  # fmt: skip
APPLICATION = (
    Entry("usr/bin/greet", '#!/bin/sh\necho "Hello from $(. /etc/os-release; echo $NAME)"\n'),
    Entry("etc/greet.conf", "language = en\n", mode=0o644),
    Entry("usr/share/doc/.wh.notes", "", mode=0o644),
)
CONFIGURATION = (
    Entry("etc/sample.d"),
    Entry("etc/sample.d/.wh..wh..opq", "", mode=0o644),
    Entry("etc/sample.d/50-site.conf", "colour = green\n", mode=0o644),
)
LAYERS = {
    "base system": BASE,
    "application greet": APPLICATION,
    "configuration of this site": CONFIGURATION,
}


def write_image(directory: Path) -> str:
    """Write the image as the OCI layout *directory* and return the digest of its manifest."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    tars = [tar_of(entries) for entries in LAYERS.values()]
    layers = [
        _store(blobs, gzip.compress(tar, mtime=0), f"{MEDIA_TYPE}.layer.v1.tar+gzip")
        for tar in tars
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA_TYPE}.manifest.v1+json",
        "config": _store(blobs, _json(_config(tars)), f"{MEDIA_TYPE}.config.v1+json"),
        "layers": layers,
    }
    descriptor = _store(blobs, _json(manifest), f"{MEDIA_TYPE}.manifest.v1+json")
    (directory / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    (directory / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [descriptor]}))
    return str(descriptor["digest"])


def tar_of(entries: Iterable[Entry]) -> bytes:
    """Return a tar with *entries*, in their order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            archive.addfile(entry.header(), io.BytesIO((entry.content or "").encode()))
    return buffer.getvalue()


def _config(tars: Iterable[bytes]) -> dict[str, object]:
    return {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": CREATED,
        "config": {
            "Labels": {
                "containers.bootc": "1",
                "org.opencontainers.image.title": "Sample OS",
                "org.opencontainers.image.version": VERSION,
            }
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
        "history": [{"created": CREATED, "created_by": name} for name in LAYERS],
    }


def _store(blobs: Path, content: bytes, media_type: str) -> dict[str, object]:
    digest = _digest(content)
    (blobs / digest.removeprefix("sha256:")).write_bytes(content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: contrib/sample_image.py DIRECTORY")
    print(write_image(Path(sys.argv[1])))
