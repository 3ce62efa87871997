"""From the bound directory of a root to its records, and never out of the root."""

import os
import socket

import pytest
from world import World

from bound_images.errors import DefinitionError
from bound_images.rootfs import Root
from bound_images.units.scan import scan
from orch_frame.errors import NotFoundError

SHARE = "usr/share/containers/systemd"
BOUND = "usr/lib/bootc/bound-images.d"


@pytest.fixture
def tree(tmp_path):
    root = World(tmp_path).root

    def add(path, content):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            target.symlink_to(content[3:])
        else:
            target.write_text(content)

    add.root = root
    return add


def found(tree):
    result = scan(Root(tree.root))
    assert result.errors == ()
    return [(image.name, image.reference) for image in result.images]


def refused(tree):
    result = scan(Root(tree.root))
    (error,) = result.errors
    assert isinstance(error, DefinitionError)
    return error


def test_a_root_without_a_bound_directory_is_bound_to_nothing(tmp_path):
    assert scan(Root(tmp_path)).images == ()


def test_a_root_that_is_none_is_not_found(tmp_path):
    with pytest.raises(NotFoundError):
        Root(tmp_path / "none")


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/usr/share/containers/systemd/a.image", id="absolute"),
        pytest.param("../../../share/containers/systemd/a.image", id="relative"),
        pytest.param("../" * 20 + "usr/share/containers/systemd/a.image", id="above-the-root"),
        pytest.param("/usr/lib/other.image", id="chain"),
    ],
)
def test_links_are_resolved_inside_the_root(tree, target):
    tree(f"{SHARE}/a.image", "[Image]\nImage=quay.io/a:1\n")
    tree("usr/lib/other.image", "-> ../share/containers/systemd/a.image")
    tree(f"{BOUND}/a.image", f"-> {target}")
    assert found(tree) == [("a.image", "quay.io/a:1")]


def test_links_never_lead_out_of_the_root(tree, tmp_path):
    (tmp_path / "outside.image").write_text("[Image]\nImage=quay.io/evil:1\n")
    tree(f"{BOUND}/a.image", f"-> {tmp_path}/outside.image")
    assert "does not exist" in refused(tree).summary


def test_magic_links_are_no_way_out(tree, tmp_path):
    tree("proc/self/root", "-> /")
    (tmp_path / "outside.image").write_text("[Image]\nImage=quay.io/evil:1\n")
    tree(f"{BOUND}/a.image", f"-> /proc/self/root{tmp_path}/outside.image")
    assert "does not exist" in refused(tree).summary


def test_a_loop_of_links_is_refused(tree):
    tree(f"{SHARE}/a.image", "-> b.image")
    tree(f"{SHARE}/b.image", "-> a.image")
    tree(f"{BOUND}/a.image", "-> /usr/share/containers/systemd/a.image")
    assert "followed" in refused(tree).summary


@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "socket"])
def test_an_entry_that_is_no_link_is_refused_by_name(tree, kind):
    path = tree.root / BOUND / "a.image"
    if kind == "file":
        path.write_text("[Image]\nImage=quay.io/a:1\n")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            os.chdir(path.parent)
            listener.bind("a.image")
            os.chdir("/")
    error = refused(tree)
    assert "is no symbolic link" in error.summary
    assert error.path == f"/{BOUND}/a.image"


@pytest.mark.parametrize("target", ["/var/lib/a.image", "/opt/a.image", "/run/a.image"])
def test_a_target_outside_usr_and_etc_is_refused(tree, target):
    tree(target.lstrip("/"), "[Image]\nImage=quay.io/a:1\n")
    tree(f"{BOUND}/a.image", f"-> {target}")
    assert "outside /usr and /etc" in refused(tree).summary


@pytest.mark.parametrize("etc", ["etc", "usr/etc"])
def test_a_target_in_etc_is_accepted_deployed_or_not(tree, etc):
    tree(f"{etc}/containers/systemd/a.image", "[Image]\nImage=quay.io/a:1\n")
    tree(f"{BOUND}/a.image", "-> ../../../../etc/containers/systemd/a.image")
    assert found(tree) == [("a.image", "quay.io/a:1")]


def test_a_target_that_is_a_fifo_or_too_long_is_refused(tree):
    (tree.root / SHARE).mkdir(parents=True, exist_ok=True)
    os.mkfifo(tree.root / SHARE / "a.image")
    tree(f"{BOUND}/a.image", "-> /usr/share/containers/systemd/a.image")
    assert "not a regular file" in refused(tree).summary
    (tree.root / SHARE / "a.image").unlink()
    with (tree.root / SHARE / "a.image").open("wb") as stream:
        stream.truncate(1 << 30)
    assert "longer than" in refused(tree).summary


@pytest.mark.parametrize(
    "name", [b"README", b"a.image.bak", b"a.network", b"a", b"\xff.image"], ids=repr
)
def test_an_entry_with_a_wrong_name_is_refused(tree, name):
    tree(f"{SHARE}/a.image", "[Image]\nImage=quay.io/a:1\n")
    tree(f"{SHARE}/a.network", "[Network]\n")
    link = tree.root / BOUND / os.fsdecode(name)
    source = "a.network" if name == b"a.network" else "a.image"
    link.symlink_to(f"/usr/share/containers/systemd/{source}")
    refused(tree)


def test_a_hidden_entry_is_skipped(tree):
    tree(f"{BOUND}/.keep", "")
    assert found(tree) == []


def test_one_bad_entry_leaves_the_others_readable(tree):
    tree(f"{SHARE}/a.image", "[Image]\nImage=quay.io/a:1\n")
    tree(f"{BOUND}/a.image", "-> /usr/share/containers/systemd/a.image")
    tree(f"{BOUND}/b.image", "-> /usr/share/containers/systemd/missing.image")
    result = scan(Root(tree.root))
    assert [image.name for image in result.images] == ["a.image"]
    assert [error.path for error in result.errors] == [f"/{BOUND}/b.image"]


def test_two_links_to_one_file_and_two_files_of_one_image_are_one_record(tree):
    tree(f"{SHARE}/a.image", "[Image]\nImage=quay.io/a:1\nArch=arm64\n")
    tree(f"{SHARE}/c.container", "[Container]\nImage=a.image\n")
    for name in ("a.image", "again.image"):
        tree(f"{BOUND}/{name}", "-> /usr/share/containers/systemd/a.image")
    tree(f"{BOUND}/c.container", "-> /usr/share/containers/systemd/c.container")
    (image,) = scan(Root(tree.root)).images
    assert image.sources == (f"/{SHARE}/a.image", f"/{SHARE}/c.container")
    assert image.options.arch == "arm64"


def test_one_image_for_two_platforms_is_a_contradiction(tree):
    for name, arch in (("a", "arm64"), ("b", "amd64")):
        tree(f"{SHARE}/{name}.image", f"[Image]\nImage=quay.io/a:1\nArch={arch}\n")
        tree(f"{BOUND}/{name}.image", f"-> /usr/share/containers/systemd/{name}.image")
    assert "different platforms" in refused(tree).summary


def test_a_document_that_is_missing_is_named_with_its_unit(tree):
    tree(f"{SHARE}/app.kube", "[Kube]\nYaml=pod.yml\n")
    tree(f"{BOUND}/app.kube", f"-> /{SHARE}/app.kube")
    error = refused(tree)
    assert error.path == "/usr/share/containers/systemd/app.kube"
    assert "Yaml=pod.yml" in error.summary


def test_a_byte_order_mark_is_called_by_its_name(tree):
    tree(f"{SHARE}/app.image", "\ufeff[Image]\nImage=q.io/a:1\n")
    tree(f"{BOUND}/app.image", f"-> /{SHARE}/app.image")
    assert "byte order mark" in refused(tree).summary


def test_two_hundred_entries_are_read(tree):
    for number in range(200):
        tree(f"{SHARE}/{number}.image", f"[Image]\nImage=quay.io/a:{number}\n")
        tree(f"{BOUND}/{number}.image", f"-> /usr/share/containers/systemd/{number}.image")
    assert len(found(tree)) == 200


@pytest.mark.parametrize(
    "value", ["", "-h", "--creds=x", "a b", "x" * 5000, "%h-%H", "a\\x0ab", "not a valid ref!"]
)
def test_a_name_that_cannot_be_pulled_is_refused_with_its_file(tree, value):
    tree(f"{SHARE}/a.image", f"[Image]\nImage={value}\n")
    tree(f"{BOUND}/a.image", "-> /usr/share/containers/systemd/a.image")
    assert f"/{SHARE}/a.image" in refused(tree).summary


def test_an_instance_link_names_the_instance(tree):
    tree(f"{SHARE}/t@.container", "[Container]\nImage=quay.io/app:%i\n")
    tree(f"{SHARE}/t@blue.container", "-> t@.container")
    tree(f"{BOUND}/t@blue.container", "-> /usr/share/containers/systemd/t@blue.container")
    tree(f"{BOUND}/t@red.container", "-> /usr/share/containers/systemd/t@.container")
    assert found(tree) == [
        ("t@blue.container", "quay.io/app:blue"),
        ("t@red.container", "quay.io/app:red"),
    ]


def test_a_bare_template_needs_an_instance_only_where_it_says_so(tree):
    tree(f"{SHARE}/t@.container", "[Container]\nImage=quay.io/app:%i\n")
    tree(f"{BOUND}/t@.container", "-> /usr/share/containers/systemd/t@.container")
    assert "instance" in refused(tree).summary
    tree(f"{SHARE}/t@.container.d/1.conf", "[Install]\nDefaultInstance=main\n")
    assert found(tree) == [("t@.container", "quay.io/app:main")]


def test_drop_ins_of_the_administrator_count(tree):
    tree(f"{SHARE}/a.image", "[Image]\nImage=quay.io/a:1\n")
    tree("etc/containers/systemd/a.image.d/9.conf", "[Image]\nImage=quay.io/mirror/a:1\n")
    tree(f"{BOUND}/a.image", "-> /usr/share/containers/systemd/a.image")
    (image,) = scan(Root(tree.root)).images
    assert image.reference == "quay.io/mirror/a:1"
    assert image.sources[1] == "/etc/containers/systemd/a.image.d/9.conf"


def test_a_link_of_another_name_binds_the_unit_that_is_run(tree):
    tree(f"{SHARE}/web.container", "[Container]\nImage=quay.io/web:1\n")
    tree(f"{SHARE}/web.container.d/1.conf", "[Container]\nImage=quay.io/web:2\n")
    tree(f"{BOUND}/10-web.container", "-> /usr/share/containers/systemd/web.container")
    assert found(tree) == [("web.container", "quay.io/web:2")]


def test_a_unit_outside_the_search_path_finds_its_relations_beside_it(tree):
    tree("usr/lib/app/web.container", "[Container]\nImage=web.image\n")
    tree("usr/lib/app/web.image", "[Image]\nImage=quay.io/web:1\n")
    tree("usr/lib/app/web.image.d/1.conf", "[Image]\nArch=arm64\n")
    tree(f"{BOUND}/web.container", "-> /usr/lib/app/web.container")
    (image,) = scan(Root(tree.root)).images
    assert (image.reference, image.options.arch) == ("quay.io/web:1", "arm64")


def test_a_build_in_a_mount_cannot_be_bound(tree):
    tree(
        f"{SHARE}/a.container",
        "[Container]\nImage=quay.io/a:1\nMount=type=image,source=b.build,destination=/d\n",
    )
    tree(f"{SHARE}/b.build", "[Build]\nImageTag=localhost/b:1\nFile=/x\n")
    tree(f"{BOUND}/a.container", "-> /usr/share/containers/systemd/a.container")
    assert "cannot be bound" in refused(tree).summary


def test_variables_of_the_unit_are_expanded(tree):
    text = "[Container]\nImage=quay.io/a:${TAG}\n[Service]\nEnvironment=TAG=v7 X=y\n"
    tree(f"{SHARE}/a.container", text)
    tree(f"{BOUND}/a.container", "-> /usr/share/containers/systemd/a.container")
    assert found(tree) == [("a.container", "quay.io/a:v7")]
    tree(f"{SHARE}/a.container.d/1.conf", "[Service]\nEnvironmentFile=/etc/app.env\n")
    assert "TAG is not set" in refused(tree).summary


def test_short_names_mean_what_the_root_configures(tree):
    tree("etc/containers/registries.conf", 'unqualified-search-registries = ["r.example"]\n')
    tree("etc/containers/registries.conf.d/1.conf", '[aliases]\n"web" = "quay.io/app/web"\n')
    for name in ("web", "db"):
        tree(f"{SHARE}/{name}.image", f"[Image]\nImage={name}\n")
        tree(f"{BOUND}/{name}.image", f"-> /usr/share/containers/systemd/{name}.image")
    images = scan(Root(tree.root)).images
    assert [image.canonical for image in images] == [
        "r.example/db:latest",
        "quay.io/app/web:latest",
    ]


def test_a_directory_that_is_swapped_for_a_link_meanwhile_leads_nowhere_else(tree, tmp_path):
    import threading

    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.image").write_text("[Image]\nImage=quay.io/evil:1\n")
    tree("usr/lib/app/a.image", "[Image]\nImage=quay.io/good:1\n")
    tree(f"{BOUND}/a.image", "-> /usr/lib/app/a.image")
    inside, aside = tree.root / "usr/lib/app", tree.root / "usr/lib/aside"
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            inside.rename(aside)
            inside.symlink_to(outside)
            inside.unlink()
            aside.rename(inside)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        seen = {image.reference for _ in range(300) for image in scan(Root(tree.root)).images}
    finally:
        stop.set()
        thread.join()
    assert seen <= {"quay.io/good:1"}
