"""The OS images that are booted, and the app images they are bound to, in one OCI layout each.

``v1`` and ``v2`` are versions of one system with this program in it; ``v1-composefs`` and
``v2-composefs`` are the same with composefs switched on, and ``plain`` is bound to no app image.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from system.machine import SCRIPT_UNIT
from system.oci import LAYER, Blob, add_file, add_image, tar_of
from system.os_root import os_root

REPOSITORY = Path(__file__).parents[2]
PACKAGES = "usr/lib/python3/dist-packages"
REGISTRY = "127.0.0.1:5000"
LABELS = {"containers.bootc": "1"}
INSECURE_REGISTRY = f'[[registry]]\nlocation = "{REGISTRY}"\ninsecure = true\n'
APP_UNIT = """\
[Unit]
Description=The bound app image

[Container]
Image={image}
ContainerName=app
Pull=never
Network=none
GlobalArgs=--storage-opt=additionalimagestore=/usr/lib/bootc/storage

[Service]
Type=oneshot
RemainAfterExit=yes

[Install]
WantedBy=multi-user.target
"""
PROGRAM = """\
#!/usr/bin/python3
import sys
from {module} import main
sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Images:
    """What was built.

    Attributes:
        os: The layout with the versions of the system.
        app: The layout with the versions of the app.
        program: The tree with this program, for a root that is to run it.
    """

    os: Path
    app: Path
    program: Path


def build_images(directory: Path) -> Images:
    """Write all images below *directory*."""
    images = Images(directory / "os", directory / "app", directory / "program")
    work = directory / "trees"
    root = os_root()
    base = add_file(images.os, root / "root.tar", LAYER)
    composefs = add_file(images.os, root / "composefs.tar", LAYER)
    program = _layer(images.os, _program_tree(images.program))
    plain = _layer(images.os, _configuration_tree(work / "plain", 0))
    add_image(images.os, "plain", [base, program, plain], labels=LABELS)
    for number in (1, 2):
        version = _layer(images.os, _version_tree(work / f"v{number}", number))
        labels = {**LABELS, "org.opencontainers.image.version": str(number)}
        layers = [base, program, version]
        add_image(images.os, f"v{number}", layers, labels=labels)
        add_image(images.os, f"v{number}-composefs", [*layers, composefs], labels=labels)
        app = _layer(images.app, _app_tree(work / f"app{number}", number))
        add_image(images.app, f"v{number}", [app], command=["/bin/busybox", "cat", "/version"])
    shutil.rmtree(work)
    return images


def _layer(layout: Path, tree: Path) -> Blob:
    layout.mkdir(parents=True, exist_ok=True)
    return add_file(layout, tar_of(tree, tree.with_suffix(".tar")), LAYER)


def _program_tree(tree: Path) -> Path:
    packages = tree / PACKAGES
    packages.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "bootc_orch", packages / "bootc_orch", ignore=ignore)
    for component in ("bound_images", "orch_frame"):
        source = REPOSITORY / "bound-images" / component
        shutil.copytree(source, packages / component, ignore=ignore)
    _write(tree, "usr/bin/bootc-orch", PROGRAM.format(module="bootc_orch.cli.app"), mode=0o755)
    _write(tree, "usr/bin/bound-images", PROGRAM.format(module="bound_images.cli"), mode=0o755)
    registry = (Path(__file__).parent / "registry.py").read_text()
    _write(tree, "usr/libexec/test-registry.py", registry)
    _write(tree, "etc/containers/registries.conf.d/test.conf", INSECURE_REGISTRY)
    _write(tree, "usr/lib/systemd/system/boot-script.service", SCRIPT_UNIT)
    wants = tree / "usr/lib/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "boot-script.service").symlink_to("../boot-script.service")
    return tree


def _configuration_tree(tree: Path, number: int) -> Path:
    """What changes from version to version: configuration, kernel arguments, a file."""
    _write(tree, "usr/share/demo/version", f"{number}\n")
    _write(tree, "etc/demo/untouched.conf", f"from image {number}\n")
    _write(tree, "etc/demo/edited.conf", f"from image {number}\n")
    _write(tree, "usr/lib/bootc/kargs.d/10-demo.toml", f'kargs = ["demo.version={number}"]\n')
    if number > 1:
        _write(tree, f"etc/demo/new-in-{number}.conf", "new\n")
    return tree


def _version_tree(tree: Path, number: int) -> Path:
    """The same, and the app image that the version is bound to."""
    _configuration_tree(tree, number)
    unit = APP_UNIT.format(image=f"{REGISTRY}/app:v{number}")
    _write(tree, "usr/share/containers/systemd/app.container", unit)
    link = tree / "usr/lib/bootc/bound-images.d/app.container"
    link.parent.mkdir(parents=True)
    link.symlink_to("/usr/share/containers/systemd/app.container")
    return tree


def _app_tree(tree: Path, number: int) -> Path:
    _write(tree, "version", f"app {number}\n")
    busybox = tree / "bin/busybox"
    busybox.parent.mkdir()
    shutil.copy("/bin/busybox", busybox)
    return tree


def _write(tree: Path, name: str, text: str, *, mode: int = 0o644) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
