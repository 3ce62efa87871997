"""``--plan --diff``: what a new system changes, from real repositories, with nothing deployed."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cli import bootc_orch
from support.host import KERNEL, System, make_os
from support.images import FIXTURES, golden, layout_of
from support.rpm_bombs import BOMBS

from bootc_orch.model.packages.package import Package
from bootc_orch.model.packages.rpm import LISTING_FORMAT, parse_listing
from bootc_orch.ops.difference.tree_difference import compare_trees
from bootc_orch.ops.importing.base import KEEP_VAR_FROM
from bootc_orch.tools.ostree.repo import Repo, ostree_version
from bootc_orch.tools.rpm import list_packages

pytestmark = pytest.mark.root
DPKG = "usr/lib/sysimage/dpkg/status"
RPM = "usr/lib/sysimage/rpm/rpmdb.sqlite"
OLD = {"bash": "5.1-1", "gone": "1", "libc6": "2.40-1", "down": "1:2"}
# Where the content of /var is depends on the version of ostree.
MOVED = ("/var/", "/usr/share/factory/")
NEW = {"bash": "5.2-1", "new": "1", "libc6": "2.40-1", "down": "3"}


def status(packages: dict[str, str]) -> bytes:
    """The database of dpkg with *packages*, name to version."""
    return "\n".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"
        for name, version in packages.items()
    ).encode()


def rpm_database() -> bytes:
    return gzip.decompress((FIXTURES / "packages/rpmdb.sqlite.gz").read_bytes())


def refs(repo: Path) -> dict[str, str]:
    heads = repo / "refs/heads"
    return {
        str(path.relative_to(heads)): path.read_text()
        for path in heads.rglob("*")
        if path.is_file()
    }


def objects(repo: Path) -> set[str]:
    return {path.parent.name + path.name for path in (repo / "objects").glob("*/*")}


@pytest.fixture
def os_image(tmp_path: Path) -> Callable[..., Path]:
    """Write an image to a layout of its own, and return that."""
    count = iter(range(100))

    def make(number: int = 1, **options: Any) -> Path:
        layout = tmp_path / f"os-{number}-{next(count)}"
        make_os(layout, number, **options)
        return layout

    return make


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[[Path], System]]:
    """Install a layout as a system that ends with the test."""
    made: list[System] = []

    def install(layout: Path) -> System:
        made.append(System.installed(tmp_path / f"sysroot-{len(made)}", f"oci:{layout}"))
        return made[-1]

    yield install
    for system in made:
        system.release()


@pytest.fixture
def system(os_image, install) -> System:
    """Version 1, with packages of dpkg."""
    return install(os_image(1, files={DPKG: status(OLD), "usr/bin/old": b"old"}))


def diff(system: System, layout: Path, *argv: str) -> dict[str, Any]:
    """The plan with its difference, for programs."""
    plan: dict[str, Any] = system.switch(f"oci:{layout}", "--plan", "--diff", "--json", *argv).json[
        "plan"
    ]
    return plan


def test_the_text_has_a_summary_and_then_each_package(system, os_image):
    files = {
        DPKG: status(NEW),
        "usr/bin/new": b"new",
        "usr/lib/bootc/kargs.d/a.toml": b'kargs = ["a=1"]',
    }
    image = os_image(2, files=files)
    checksum, serial = system.root().name.split(".")
    lines = system.switch(f"oci:{image}", "--plan", "--diff", "--quiet").lines
    space = [line for line in lines if line.startswith("Space on ")]
    assert len(space) == 2
    start = next(i for i, line in enumerate(lines) if line.startswith("Would queue"))
    assert [line for line in lines[start:] if line not in space] == [
        f"Would queue for next boot: ostree-unverified-image:oci:{image}",
        next(line for line in lines if line.startswith("Fetched, not deployed: ")),
        f"Compared with: version 1 (deployment {checksum[:12]}.{serial})",
        "Version: 1 -> 2",
        f"Kernel: {KERNEL}, unchanged",
        "Kernel arguments: +a=1",
        "Packages (dpkg): 1 removed, 1 downgraded, 1 upgraded, 1 added",
        "Files and directories: 1 removed, 4 changed, 4 added",
        "  removed: gone 1",
        "  downgraded: down 1:2 -> 3",
        "  upgraded: bash 5.1-1 -> 5.2-1",
        "  added: new 1",
    ]
    verbose = system.switch(f"oci:{image}", "--plan", "--diff", "-v").lines
    assert "  removed: /usr/bin/old" in verbose
    assert "  changed: /usr/share/version" in verbose
    assert "  added: /usr/lib/bootc/kargs.d/" in verbose


def test_programs_get_all_of_it(system, os_image):
    kernel = f"usr/lib/modules/{KERNEL}"
    files = {
        DPKG: status(NEW),
        f"{kernel}/vmlinuz": None,
        f"{kernel}/initramfs.img": None,
        "usr/lib/modules/7.0/vmlinuz": b"kernel",
        "usr/lib/modules/7.0/initramfs.img": b"initramfs",
    }
    plan = diff(system, os_image(2, files=files))
    assert plan["fetch"] == []
    assert plan["bytes"] == 0
    assert [layer["size"] > 0 for layer in plan["fetched"]] == [True]
    assert plan["bound_images"] == []
    package = {"architecture": "amd64"}
    assert plan["difference"] == {
        "old": {"deployment": system.root().name, "version": "1", "kernel": KERNEL},
        "new": {"deployment": None, "version": "2", "kernel": "7.0"},
        "kernel_arguments": {"added": [], "removed": []},
        "packages": [
            {
                "manager": "dpkg",
                "old_database": f"/{DPKG}",
                "new_database": f"/{DPKG}",
                "problem": None,
                "added": [{"name": "new", "version": "1", **package}],
                "removed": [{"name": "gone", "version": "1", **package}],
                "upgraded": [
                    {"name": "bash", "old_version": "5.1-1", "new_version": "5.2-1", **package}
                ],
                "downgraded": [
                    {"name": "down", "old_version": "1:2", "new_version": "3", **package}
                ],
            }
        ],
        "files": {
            "added": [
                "/usr/lib/modules/7.0/",
                "/usr/lib/modules/7.0/initramfs.img",
                "/usr/lib/modules/7.0/vmlinuz",
            ],
            "removed": [
                "/usr/bin/",
                "/usr/bin/old",
                f"/{kernel}/",
                f"/{kernel}/initramfs.img",
                f"/{kernel}/vmlinuz",
            ],
            "changed": [
                "/usr/etc/edited.conf",
                "/usr/etc/untouched.conf",
                f"/{DPKG}",
                "/usr/share/version",
            ],
        },
    }


def test_nothing_is_deployed_and_the_update_then_fetches_nothing(os_image, install, tmp_path):
    followed = os_image(1)
    system = install(followed)
    followed.rename(tmp_path / "old")
    make_os(followed, 2, more_layers=[{"usr/share/more": b"more"}])
    before, refs_before = system.snapshot(), refs(system.repo)
    plan = system.run("upgrade", "--plan", "--diff", "--json").json["plan"]
    assert len(plan["fetched"]) == 2
    assert system.snapshot() == before
    new = {ref for ref, at in refs(system.repo).items() if refs_before.get(ref) != at}
    assert all(ref.startswith("ostree/container/blob/") for ref in new)
    assert len(new) == 2
    assert not any((system.repo / "tmp").glob("bootc-orch-*"))
    system.check()
    again = system.run("upgrade", "--plan", "--diff", "--json").json["plan"]
    assert again["fetched"] == []
    assert again["difference"] == plan["difference"]
    assert system.run("upgrade", "--plan", "--json").json["plan"]["bytes"] == 0
    layers = {layer["digest"].removeprefix("sha256:") for layer in plan["fetched"]}
    for digest in layers:
        (followed / "blobs/sha256" / digest).unlink()
    result = system.run("upgrade")
    assert "layers already present: 2; layers needed: 0 (0 bytes)" in result.lines
    assert system.versions() == ["2", "1"]
    system.check()
    assert system.run("upgrade", "--plan", "--diff", "--json").json["plan"]["deployed"] is True


def test_garbage_collection_removes_what_no_update_came_for(system, os_image):
    before, refs_before = objects(system.repo), refs(system.repo)
    diff(system, os_image(2, files={DPKG: status(NEW)}))
    assert objects(system.repo) > before
    bootc_orch("gc", "--repo", system.repo)
    assert objects(system.repo) == before
    assert refs(system.repo) == refs_before
    system.check()


def test_layers_that_a_plan_brought_in_can_be_shared_by_their_content(system, os_image, tmp_path):
    """A pull that finds its layers there keeps the word that their diff_ids were computed."""
    image = os_image(2)
    diff(system, image)
    bootc_orch("image", "pull", system.repo, f"ostree-unverified-image:oci:{image}")
    again = tmp_path / "recompressed"
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-compress", f"oci:{image}",
         f"dir:{tmp_path / 'dir'}"], check=True,
    )  # fmt: skip
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--insecure-policy", f"dir:{tmp_path / 'dir'}",
         f"oci:{again}"], check=True,
    )  # fmt: skip
    reference = f"ostree-unverified-image:oci:{again}"
    plan = bootc_orch("image", "pull", system.repo, reference, "--plan", "--json").json["plan"]
    assert (plan["bytes"], plan["fetch"]) == (0, [])


def test_a_mere_plan_says_what_it_cannot_know_and_which_option_finds_out(system, os_image):
    image = os_image(2)
    before = objects(system.repo)
    lines = system.switch(f"oci:{image}", "--plan").lines
    assert (
        "Bound images, packages and files: known once the image is fetched; --plan --diff fetches "
        "it, and deploys nothing"
    ) in lines
    assert objects(system.repo) == before
    bootc_orch("image", "pull", system.repo, f"ostree-unverified-image:oci:{image}")
    result = system.switch(f"oci:{image}", "--plan")
    assert "Packages and files: compared by --plan --diff" in result.lines
    plan = system.switch(f"oci:{image}", "--plan", "--json").json["plan"]
    assert (plan["difference"], plan["fetched"], plan["bound_images"]) == (None, None, [])


def test_what_was_downloaded_is_planned_without_its_source(os_image, install, tmp_path):
    followed = os_image(1)
    system = install(followed)
    followed.rename(tmp_path / "old")
    make_os(followed, 2)
    system.run("upgrade", "--download-only")
    followed.rename(tmp_path / "gone")
    for option in ("--from-downloaded", "--offline"):
        plan = system.run("upgrade", option, "--plan", "--json").json["plan"]
        assert (plan["bytes"], plan["bound_images"]) == (0, [])
        plan = system.run("upgrade", option, "--plan", "--diff", "--json").json["plan"]
        assert plan["difference"]["new"]["version"] == "2"
        assert plan["fetched"] == []
    assert system.versions() == ["1"]


@pytest.mark.parametrize("verb", ["upgrade", "switch", "deploy"])
def test_a_difference_without_a_plan_is_refused(system, os_image, verb):
    before = system.snapshot(), objects(system.repo)
    image = os_image(2)
    options = {
        "upgrade": (),
        "switch": ("--transport", "oci", image),
        "deploy": ("--imgref", f"ostree-unverified-image:oci:{image}"),
    }
    result = system.run(verb, *options[verb], "--diff", status=2)
    assert "Add --plan; nothing was done." in result.stderr
    assert (system.snapshot(), objects(system.repo)) == before


def test_a_system_without_package_databases_is_said_to_have_none(os_image, install):
    system = install(os_image(1))
    image = os_image(2)
    result = system.switch(f"oci:{image}", "--plan", "--diff")
    assert "Packages: unknown, as there is no database of dpkg, rpm or apk" in result.lines
    assert diff(system, image)["difference"]["packages"] == []


def test_a_database_of_rpm_is_read_without_rpm(os_image, install):
    system = install(os_image(1))
    image = os_image(2, files={RPM: rpm_database(), f"{RPM}-wal": b""})
    lines = system.switch(f"oci:{image}", "--plan", "--diff").lines
    assert "Packages (rpm): 3 added (the old system has no such database)" in lines
    assert "  added: tool 2:1.0-3.el9" in lines
    assert not any((system.repo / "tmp").glob("packages-*"))


def test_other_databases_are_found_where_they_are(os_image, install):
    """Of apk; and of dpkg in /var, the content of which an old ostree has moved away."""
    apk, var = "usr/lib/apk/db/installed", "var/lib/dpkg/status"
    installed = b"P:musl\nV:1.2.5-r9\nA:x86_64\n\n"
    system = install(os_image(1, files={apk: installed, var: status(OLD)}))
    new = {apk: installed.replace(b"r9", b"r10"), var: status(NEW)}
    dpkg, alpine = diff(system, os_image(2, files=new))["difference"]["packages"]
    moved = ostree_version() < KEEP_VAR_FROM
    assert dpkg["new_database"] == f"/usr/share/factory/{var}" if moved else f"/{var}"
    assert [change["new_version"] for change in dpkg["upgraded"]] == ["5.2-1"]
    assert (alpine["manager"], alpine["old_database"]) == ("apk", f"/{apk}")
    assert [change["new_version"] for change in alpine["upgraded"]] == ["1.2.5-r10"]


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        pytest.param(DPKG, b"Package: a\nVersion: 1\n", "a has no field Status", id="dpkg"),
        pytest.param(RPM, b"rubbish" * 100, "is no database of rpm", id="rpm"),
        pytest.param("usr/share/rpm/Packages.db", b"ndb", "rpm", id="rpm-of-another-format"),
        *(
            pytest.param(RPM, database, problem, id=f"rpm-{name}")
            for name, (database, problem) in BOMBS.items()
            if name in ("generated", "virtual")
        ),
    ],
)
def test_a_database_that_cannot_be_read_is_said_to_be_so(os_image, install, name, data, problem):
    system = install(os_image(1))
    [managed] = diff(system, os_image(2, files={name: data}))["difference"]["packages"]
    assert managed["added"] is managed["removed"] is managed["upgraded"] is None
    assert problem in managed["problem"]


@pytest.mark.skipif(shutil.which("rpm") is not None, reason="needs a system without rpm")
def test_an_old_database_of_rpm_needs_rpm(os_image, install):
    system = install(os_image(1))
    image = os_image(2, files={"usr/share/rpm/Packages.db": b"ndb"})
    lines = system.switch(f"oci:{image}", "--plan", "--diff").lines
    text = "unknown: rpm is not installed. Install the package that provides rpm."
    assert f"Packages (rpm): {text}" in lines


def test_an_old_database_of_rpm_is_listed_by_rpm(os_image, install, tmp_path):
    """A script stands for rpm: it checks that it is given a copy, and lists one package."""
    system = install(os_image(1))
    shims = tmp_path / "shims"
    shims.mkdir()
    script = shims / "rpm"
    script.write_text(
        '#!/bin/sh\n[ "$1" = --dbpath ] && [ "$3" = -qa ] && [ "$4" = --queryformat ] || exit 9\n'
        '[ "$(cat "$2/Packages.db")" = ndb ] && touch "$2/.rpm.lock" || exit 8\n'
        "printf 'tool\\t2\\t1.0\\t3\\tnoarch\\n'\n"
    )
    script.chmod(0o755)
    image = os_image(2, files={"usr/share/rpm/Packages.db": b"ndb"})
    result = bootc_orch(
        "switch", "--transport", "oci", image, "--sysroot", system.path, "--plan", "--diff",
        env={"PATH": f"{shims}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert "  added: tool 2:1.0-3" in result.lines


@pytest.mark.skipif(shutil.which("rpm") is None, reason="needs rpm")
def test_rpm_itself_takes_the_command_line_and_the_format(tmp_path):
    (tmp_path / "rpmdb.sqlite").write_bytes(rpm_database())
    packages = tuple(
        parse_listing(
            list_packages(tmp_path, LISTING_FORMAT, source="rpmdb.sqlite"), source="rpmdb.sqlite"
        )
    )
    assert Package("tool", "noarch", "2:1.0-3.el9") in packages
    assert len(packages) == 3


def test_an_old_database_in_which_rpm_sees_nothing_is_not_called_empty(os_image, install, tmp_path):
    """What rpm answers where it was built without the format, as in Debian."""
    system = install(os_image(1))
    script = tmp_path / "rpm"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    image = os_image(2, files={"usr/share/rpm/Packages.db": b"ndb"})
    result = bootc_orch(
        "switch", "--transport", "oci", image, "--sysroot", system.path, "--plan", "--diff",
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    [line] = [line for line in result.lines if line.startswith("Packages (rpm): ")]
    assert "unknown: rpm lists no package in usr/share/rpm/Packages.db" in line


def test_app_images_are_planned_with_the_new_root(system, tmp_path, registry):
    app = registry.push(make_os(tmp_path / "app", 1), "app")
    unit = f"[Image]\nImage={app}\nTLSVerify=false\n".encode()
    image = tmp_path / "bound"
    make_os(
        image,
        2,
        files={"usr/share/containers/systemd/app.image": unit},
        links={"usr/lib/bootc/bound-images.d/app.image": "/usr/share/containers/systemd/app.image"},
    )
    before = system.snapshot()
    [planned] = diff(system, image)["bound_images"]
    assert (planned["reference"], planned["action"]) == (app, "fetch")
    assert planned["size"] > 0
    assert system.snapshot() == before
    assert not (system.path / "ostree/bootc/storage").exists()
    assert not any((system.repo / "tmp").glob("root-*"))


def test_a_path_that_becomes_something_else_is_changed(os_image, install):
    system = install(os_image(1, files={"usr/a": b"file", "usr/b/deep/x": b"x", "usr/c": b"c"}))
    image = os_image(2, files={"usr/a/y": b"y", "usr/b": b"file"}, links={"usr/c": "version"})
    files = diff(system, image)["difference"]["files"]
    assert {path for path in files["changed"] if path[:6] in ("/usr/a", "/usr/b", "/usr/c")} == {
        "/usr/a/",
        "/usr/b",
        "/usr/c",
    }
    assert files["added"] == ["/usr/a/y"]
    assert files["removed"] == ["/usr/b/deep/", "/usr/b/deep/x"]


def test_an_installation_is_planned_without_touching_its_root(os_image, tmp_path):
    image, root = os_image(1, files={DPKG: status(OLD)}), tmp_path / "root"
    root.mkdir()
    argv = ("install", "to-filesystem", root, "--source-imgref", f"oci:{image}",
            "--root-mount-spec", "LABEL=root")  # fmt: skip
    result = bootc_orch(*argv, "--plan")
    assert f"Would install: ostree-unverified-image:oci:{image}" in result.lines
    plan = bootc_orch(*argv, "--plan", "--json").json["plan"]
    assert plan["bytes"] == sum(layer["size"] for layer in plan["fetch"]) > 0
    assert list(root.iterdir()) == []
    bootc_orch(*argv, "--diff", status=2)
    assert list(root.iterdir()) == []
    (root / "foreign").touch()
    assert "is not empty" in bootc_orch(*argv, "--plan", status=2).stderr


def test_an_installation_takes_over_what_its_preview_fetched(os_image, tmp_path):
    image, root = os_image(1, files={DPKG: status(OLD)}), tmp_path / "root"
    root.mkdir()
    argv = ("install", "to-filesystem", root, "--source-imgref", f"oci:{image}",
            "--root-mount-spec", "LABEL=root")  # fmt: skip
    plan = bootc_orch(*argv, "--plan", "--diff", "--json").json["plan"]
    assert plan["difference"]["old"] is None
    assert plan["difference"]["kernel_arguments"]["added"] == ["root=LABEL=root", "rw"]
    [managed] = plan["difference"]["packages"]
    assert [package["name"] for package in managed["added"]] == sorted(OLD)
    assert f"/{DPKG}" in plan["difference"]["files"]["added"]
    assert [ref.rpartition("/")[0] for ref in refs(root / "ostree/repo")] == [
        "ostree/container/blob"
    ]
    for layer in plan["fetched"]:
        (image / "blobs/sha256" / layer["digest"].removeprefix("sha256:")).unlink()
    bootc_orch(*argv)
    system = System(root)
    assert system.versions() == ["1"]
    system.check()
    system.release()


def test_a_fresh_stateroot_has_nothing_to_compare_with(system, os_image):
    subprocess.run(["ostree", "admin", "os-init", f"--sysroot={system.path}", "other"], check=True)
    image = os_image(2, files={DPKG: status(NEW)})
    lines = system.run(
        "deploy", "--imgref", f"ostree-unverified-image:oci:{image}", "--stateroot", "other",
        "--plan", "--diff",
    ).lines  # fmt: skip
    assert "Compared with: nothing, as there is no deployment to take over from" in lines
    assert "Version: 2" in lines
    assert "Packages (dpkg): 4 added" in lines
    assert not any(line.startswith("  added:") for line in lines)


def test_an_image_that_would_not_boot_is_refused_by_its_plan(system, os_image):
    image = os_image(2, files={"usr/lib/modules/7/vmlinuz": b"x"})
    before = system.snapshot()
    result = system.switch(f"oci:{image}", "--plan", "--diff", status=65)
    assert "2 kernels" in result.stderr
    assert system.snapshot() == before
    system.check()


def grow(root: Path, chance: random.Random) -> None:
    """Make a tree of few names, so that two of them have much in common."""
    for _ in range(12):
        folder = root.joinpath(*(chance.choice("ab") for _ in range(chance.randrange(4))))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(chance.choice((0o755, 0o700)))
            path = folder / chance.choice("abcd")
            if chance.random() < 0.3:
                path.symlink_to(chance.choice("xy"))
            else:
                path.write_text(chance.choice("xy"))
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue


def facts(root: Path) -> dict[str, str]:
    """Map each path of a tree, as differences name it, to what makes it what it is."""
    found = {}
    for path in (root, *root.rglob("*")):
        name = "/" + str(path.relative_to(root)).removeprefix(".")
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name.rstrip("/") + "/"] = oct(path.stat().st_mode)
        else:
            found[name] = path.read_text()
    return found


@pytest.mark.parametrize("seed", range(12))
def test_trees_differ_as_their_directories_do(tmp_path, repo, seed):
    path = repo()
    chance = random.Random(seed)
    commits = []
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        grow(tmp_path / name, chance)
        argv = ["ostree", "commit", f"--repo={path}", "--orphan", f"--tree=dir={tmp_path / name}"]
        commits.append(subprocess.check_output(argv, text=True).strip())
    found = compare_trees(Repo(path), *commits)
    old, new = facts(tmp_path / "old"), facts(tmp_path / "new")
    other_kind = {one for one in new if (one.rstrip("/") if one[-1] == "/" else one + "/") in old}
    was_other = {one for one in old if (one.rstrip("/") if one[-1] == "/" else one + "/") in new}
    changed = {one for one in old.keys() & new.keys() if old[one] != new[one]}
    assert set(found.added) == new.keys() - old.keys() - other_kind
    assert set(found.removed) == old.keys() - new.keys() - was_other
    assert set(found.changed) == changed | (other_kind - {"/"})
    everything = compare_trees(Repo(path), None, commits[1])
    assert set(everything.added) == new.keys() - {"/"}


@pytest.mark.debian_images
def test_the_files_of_a_real_system_are_those_that_differ_in_its_tree(install, tmp_path):
    """Compared with bootc's own listing of both trees."""
    system = install(layout_of("debian-base", tmp_path / "base"))
    plan = diff(system, layout_of("debian-app2", tmp_path / "app2"), "--bound-images", "skip")
    old, new = (_listed(golden(name).tree) for name in ("debian-base", "debian-app2"))
    found = {
        kind: {path for path in paths if not path.startswith(MOVED)}
        for kind, paths in plan["difference"]["files"].items()
    }
    assert found == {
        "added": new.keys() - old.keys(),
        "removed": old.keys() - new.keys(),
        "changed": {path for path in old.keys() & new.keys() if old[path] != new[path]},
    }
    assert all(found.values())


def _listed(lines: tuple[str, ...]) -> dict[str, str]:
    """Map each path of ``ostree ls -R -C -X`` to what identifies it alone."""
    listed = {}
    for line in filter(None, lines):
        head, _, rest = line.partition(" { ")
        path = rest.partition(" } ")[2].partition(" -> ")[0]
        name = f"{path.rstrip('/')}/" if head[0] == "d" else path
        if not name.startswith(MOVED):
            listed[name] = head.split()[-1]
    return listed
