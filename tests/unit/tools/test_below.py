"""Nothing outside a directory is reached through what is below it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from orch_frame.below import Below
from orch_frame.errors import StoreDamagedError


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "secret").write_text("outside")
    return directory


@pytest.fixture
def top(tmp_path: Path) -> Path:
    directory = tmp_path / "top"
    (directory / "etc").mkdir(parents=True)
    (directory / "etc/file").write_text("inside")
    return directory


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        pytest.param("etc/x", "{outside}/secret", "etc/x", id="absolute link"),
        pytest.param("etc/x", "../../outside/secret", "etc/x", id="relative link"),
        pytest.param("etc/x", "../" * 40 + "{outside}/secret", "etc/x", id="many steps up"),
        pytest.param("x", "{outside}", "x/secret", id="link in the middle"),
        pytest.param("x", "..", "x/outside/secret", id="link to the parent"),
        pytest.param("x", "etc", "x/../../outside/secret", id="dots in the path"),
    ],
)
def test_what_leads_out_leads_nowhere(top, outside, link, target, path):
    (top / link).symlink_to(target.format(outside=outside))
    assert Below(top).read(path) is None
    assert Below(top).status(path) is None
    assert Below(top).resolve(path) is None


def test_links_are_followed_as_if_the_directory_were_the_root(top):
    (top / "x").symlink_to("/etc/file")
    (top / "y").symlink_to("../../../etc")
    assert Below(top).read("x") == b"inside"
    assert Below(top).read("/y/../etc/file") == b"inside"
    assert Below(top).resolve("x") == top / "etc/file"
    assert Below(top).names("y") == ("file",)
    assert Below(top).status("x", follow=False).st_mode & stat.S_IFLNK == stat.S_IFLNK


def test_the_directory_itself_may_be_reached_through_a_link(top, tmp_path):
    (tmp_path / "link").symlink_to(top)
    assert Below(tmp_path / "link").read("etc/file") == b"inside"


def test_links_of_proc_are_not_followed(top):
    descriptor = os.open(top / "etc", os.O_RDONLY)
    try:
        with pytest.raises(StoreDamagedError, match="cannot be followed"):
            Below(Path("/proc/self/fd")).read(f"{descriptor}/file")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket", "device"])
def test_what_is_no_regular_file_is_neither_read_nor_replaced(top, kind):
    path = top / "x"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        case "device":
            if os.geteuid() != 0:
                pytest.skip("making a device needs root")
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (top / "link").symlink_to("x")
    for name in ("x", "link"):
        with pytest.raises(StoreDamagedError, match="is no regular file"):
            Below(top).read(name)
        with pytest.raises(StoreDamagedError, match="is no regular file"):
            Below(top).replace(name, b"new")
    assert names(top) == ["etc", "link", "x"]


@pytest.mark.parametrize("path", ["etc/file/x", "loop", "a" * 5000])
def test_a_path_that_cannot_be_followed_is_named(top, path):
    (top / "loop").symlink_to("loop")
    with pytest.raises(StoreDamagedError, match="cannot be followed"):
        Below(top).read(path)


def test_no_more_than_the_limit_is_read(top):
    assert Below(top).read("etc/file", limit=6) == b"inside"
    with pytest.raises(StoreDamagedError, match="is longer than 5 bytes"):
        Below(top).read("etc/file", limit=5)


@pytest.mark.parametrize("target", ["{outside}/secret", "{outside}/new", "../../outside/secret"])
def test_a_link_is_replaced_and_what_it_names_outside_is_not(top, outside, target):
    (top / "etc/x").symlink_to(target.format(outside=outside))
    Below(top).replace("etc/x", b"new")
    assert (top / "etc/x").read_text() == "new"
    assert not (top / "etc/x").is_symlink()
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"secret": "outside"}


def test_a_directory_that_leads_out_is_not_written_to(top, outside):
    (top / "x").symlink_to(outside)
    with pytest.raises(FileNotFoundError):
        Below(top).replace("x/new", b"new")
    assert names(outside) == ["secret"]


def test_other_names_of_a_replaced_file_keep_its_content(top):
    os.link(top / "etc/file", top / "other")
    Below(top).replace("etc/file", b"new")
    assert (top / "other").read_text() == "inside"
    assert (top / "etc/file").read_text() == "new"


def test_a_replaced_file_keeps_its_mode_and_attributes(top):
    os.setxattr(top / "etc/file", "user.kept", b"value")
    (top / "etc/file").chmod(0o640)
    Below(top).replace("etc/file", b"new")
    Below(top).replace("etc/other", b"new")
    assert os.getxattr(top / "etc/file", "user.kept") == b"value"
    assert stat.S_IMODE((top / "etc/file").stat().st_mode) == 0o640
    assert stat.S_IMODE((top / "etc/other").stat().st_mode) == 0o644
    assert names(top / "etc") == ["file", "other"]


def test_a_directory_without_links_is_reached_by_itself_alone(top):
    (top / "x").symlink_to("etc")
    with Below(top).directory("etc", links=False) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), (top / "etc").stat())
    with (
        pytest.raises(StoreDamagedError, match="cannot be followed"),
        Below(top).directory("x", links=False),
    ):
        pass


def test_a_place_to_come_is_located_without_links(top, outside):
    (top / "x").symlink_to("/etc")
    assert Below(top).locate("x/new/file") == top / "etc/new/file"
    assert Below(top).locate("/etc/file") == top / "etc/file"
    assert Below(top).locate("a/b") == top / "a/b"
    (top / "out").symlink_to(outside)
    for path in ("out", "out/secret", "out/new/file"):
        with pytest.raises(StoreDamagedError, match="out is a link that leads to nothing in"):
            Below(top).locate(path)


def test_a_directory_is_made_where_it_is_missing(top, outside):
    Below(top).make_directory("etc/new")
    Below(top).make_directory("etc/new")
    assert (top / "etc/new").is_dir()
    (top / "x").symlink_to(outside)
    with pytest.raises(FileNotFoundError):
        Below(top).make_directory("x/new")
    assert names(outside) == ["secret"]
