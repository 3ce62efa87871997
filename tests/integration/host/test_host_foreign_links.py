"""Links that an image brings lead nowhere outside of what is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.cli import Result, bootc_orch
from support.host import System, make_os

pytestmark = pytest.mark.root

LINE = b"LABEL=boot /boot auto ro 0 0\n"
OWN_BOOT = ("sh", "-c", 'mount -t tmpfs none "$0/boot" && exec "$@"')


class Target:
    """A root with a ``/boot`` of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "boot").mkdir(parents=True)

    def install(
        self,
        layout: Path,
        *,
        files: Mapping[str, bytes] | None = None,
        links: Mapping[str, str] | None = None,
        status: int = 0,
    ) -> Result:
        image = make_os(layout, files=files, links=links)
        return bootc_orch(
            "install", "to-filesystem", self.path, "--source-imgref", image,
            "--root-mount-spec", "LABEL=root", "--boot-mount-spec", "LABEL=boot",
            "--bound-images", "skip", "--skip-finalize", status=status,
            prefix=("unshare", "--mount", "--propagation", "private", *OWN_BOOT, self.path),
        )  # fmt: skip

    @property
    def deployment(self) -> Path:
        [found] = (self.path / "ostree/deploy/default/deploy").glob("*.0")
        return found

    @property
    def fstab(self) -> Path:
        return self.deployment / "etc/fstab"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    made = Target(tmp_path / "target")
    yield made
    System(made.path).release()


@pytest.mark.parametrize(
    "link",
    [
        pytest.param("{outside}/file", id="absolute"),
        pytest.param("{outside}/new", id="to what is not there"),
        pytest.param("{up}{outside}/file", id="relative"),
        pytest.param("dir/file", id="a link in the middle"),
        pytest.param("/dev/null", id="to a device"),
        pytest.param("/dev/zero", id="to a device without an end"),
    ],
)
def test_the_table_of_mounts_is_written_in_the_deployment_only(target, tmp_path, link):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("of this host\n")
    up = "../" * 30
    link = link.format(outside=outside, up=up)
    target.install(tmp_path / "os", links={"etc/fstab": link, "etc/dir": str(outside)})
    assert not target.fstab.is_symlink()
    assert target.fstab.read_bytes() == LINE
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"file": "of this host\n"}


def test_a_link_inside_the_image_is_followed_and_its_target_kept(target, tmp_path):
    shipped = b"tmpfs /tmp tmpfs"
    target.install(
        tmp_path / "os",
        files={"usr/share/fstab": shipped},
        links={"etc/fstab": "/usr/share/fstab"},
    )
    assert target.fstab.read_bytes() == shipped + b"\n" + LINE
    assert (target.deployment / "usr/share/fstab").read_bytes() == shipped


def test_a_table_of_mounts_in_another_encoding_is_kept_as_it_is(target, tmp_path):
    target.install(tmp_path / "os", files={"etc/fstab": b"# caf\xe9\n"})
    assert target.fstab.read_bytes() == b"# caf\xe9\n" + LINE


def test_a_directory_in_its_place_is_refused_before_anything_is_deployed(target, tmp_path):
    result = target.install(tmp_path / "os", files={"etc/fstab/x": b""}, status=os.EX_DATAERR)
    assert "etc/fstab in the image is a directory." in result.stderr
    assert list((target.path / "ostree/deploy/default/deploy").glob("*.0")) == []
