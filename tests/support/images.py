"""The images that tests pull, and what the reference implementation made of them.

The small images are part of this project (``tests/fixtures/images``).  Those of a real Debian
system are found through ``BOOTC_ORCH_TEST_IMAGES``, which names the OCI layout ``images-debian`` or
the directory that holds it; their golden results stand in ``golden`` beside the layout.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
TEST_IMAGES_VARIABLE = "BOOTC_ORCH_TEST_IMAGES"
REF_NAME = "org.opencontainers.image.ref.name"
DEBIAN_IMAGES = ("debian-base", "debian-app", "debian-app2")


def small_images() -> tuple[str, ...]:
    """Return the names of the images in ``tests/fixtures/images``, sorted."""
    return tuple(sorted(_manifests(FIXTURES / "images")))


def debian_layout() -> Path | None:
    """Return the OCI layout with the Debian images, or None where nobody named it."""
    named = os.environ.get(TEST_IMAGES_VARIABLE)
    if not named:
        return None
    candidates = (Path(named) / "images-debian", Path(named))
    return next((path for path in candidates if (path / "index.json").is_file()), None)


def layout_of(name: str, target: Path, *, private: bool = False) -> Path:
    """Make the OCI layout *target* of the one image *name*, without a tag, and return its path.

    skopeo 1.9.3 cannot select a manifest with a Docker media type by tag, so a layout holds just
    one.  Blobs are shared by a link, unless *private* asks for copies that a test may damage.
    """
    source = _layout_with(name)
    descriptor = {k: v for k, v in _manifests(source)[name].items() if k != "annotations"}
    target.mkdir(parents=True)
    (target / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (target / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    if private:
        (target / "blobs/sha256").mkdir(parents=True)
        for digest in _blobs_of(source, descriptor["digest"]):
            shutil.copyfile(_blob(source, digest), _blob(target, digest))
    else:
        (target / "blobs").symlink_to(source / "blobs")
    return target


def manifest_of(name: str) -> dict[str, Any]:
    """Return the manifest of the image *name*, as JSON."""
    source = _layout_with(name)
    manifest: dict[str, Any] = _json(_blob(source, _manifests(source)[name]["digest"]))
    return manifest


def manifest_digest_of(name: str) -> str:
    """Return the digest of the manifest of the image *name*."""
    return str(_manifests(_layout_with(name))[name]["digest"])


def ostree_layers_of(name: str) -> tuple[str, ...]:
    """Return the digests of those layers of *name* that hold ostree objects: commit and chunks."""
    manifest = manifest_of(name)
    config = _json(_blob(_layout_with(name), manifest["config"]["digest"]))
    last = config["config"]["Labels"].get("ostree.final-diffid")
    count = config["rootfs"]["diff_ids"].index(last) + 1 if last else 0
    return tuple(layer["digest"] for layer in manifest["layers"][:count])


@dataclass(frozen=True, slots=True)
class Golden:
    """What bootc 1.16.9 made of one image.

    Attributes:
        blobs: The layer refs, each with its commit and its content checksum.
        messages: What bootc said on standard output, without its progress.
        merge_content: ``ContentChecksum`` of the merge commit.
        merge_commit: The merge commit, with ``ostree.importer.version`` 0.15.3.
        merge_date: As ``ostree show`` prints it in UTC.
        merge_parent: The commit of the base image, absent for an image without ostree inside.
        image_ref: For an image pulled as ``oci:/var/tmp/img``.
        tree: The lines of ``ostree ls -R -C -X``.
    """

    blobs: dict[str, dict[str, str]]
    messages: tuple[str, ...]
    merge_content: str
    merge_commit: str
    merge_date: str
    merge_parent: str | None
    image_ref: str
    tree: tuple[str, ...]


@cache
def golden(name: str) -> Golden:
    """Return bootc's result for the image *name* in mode ``bare``, our aim in every mode."""
    layout = debian_layout() if name in DEBIAN_IMAGES else None
    folder = FIXTURES / "golden" if layout is None else layout.parent / "golden"
    found = _json(folder / f"{name}.bare.golden.json")
    if found["exit"] != 0:
        raise LookupError(f"bootc could not pull {name}: {found['stderr']}")
    return Golden(
        blobs=found["blobs"],
        messages=tuple(found["messages"]),
        merge_content=found["merge_content"],
        merge_commit=found["merge_commit"],
        merge_date=found["merge_date"],
        merge_parent=found["merge_parent"],
        image_ref=found["image_ref"],
        tree=tuple(found["tree"]),
    )


def _layout_with(name: str) -> Path:
    if name not in DEBIAN_IMAGES:
        return FIXTURES / "images"
    layout = debian_layout()
    if layout is None:
        raise LookupError(f"{TEST_IMAGES_VARIABLE} does not name the Debian images")
    return layout


@cache
def _manifests(layout: Path) -> dict[str, dict[str, Any]]:
    manifests = _json(layout / "index.json")["manifests"]
    return {descriptor["annotations"][REF_NAME]: descriptor for descriptor in manifests}


def _blobs_of(layout: Path, manifest_digest: str) -> list[str]:
    manifest = _json(_blob(layout, manifest_digest))
    parts = [manifest["config"], *manifest["layers"]]
    return [manifest_digest, *sorted({part["digest"] for part in parts})]


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs/sha256" / digest.removeprefix("sha256:")


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())
