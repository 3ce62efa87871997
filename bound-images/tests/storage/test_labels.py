"""SELinux labels of the store: those of the store of the host, as setfiles would set them."""

import ctypes.util
import os
import shutil
import subprocess

import pytest
from world import layer

from bound_images.rootfs import Root
from bound_images.storage import labels

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(ctypes.util.find_library("selinux") is None, reason="needs libselinux"),
]

# What policies say of the store of the host, and two lines for what a policy can say besides.
# Source: container.fc of the SELinux reference policy; that of container-selinux has the same.
STORE = "system_u:object_r:container_var_lib_t:s0"
LOCK = "system_u:object_r:container_lock_t:s0"
LAYERS = "system_u:object_r:container_ro_file_t:s0"
VOLUMES = "system_u:object_r:container_file_t:s0"
FILE_CONTEXTS = f"""\
/.*\tsystem_u:object_r:default_t:s0
/var/lib(/.*)?\tsystem_u:object_r:var_lib_t:s0
/var/lib/containers(/.*)?\t{STORE}
/var/lib/containers/atomic(/.*)?\t<<none>>
/var/lib/containers/overlay(/.*)?\t{LAYERS}
/var/lib/containers/storage/overlay(/.*)?\t{LAYERS}
/var/lib/containers/storage/overlay-layers(/.*)?\t{LAYERS}
/var/lib/containers/storage/overlay-images(/.*)?\t{LAYERS}
/var/lib/containers/storage/volumes/[^/]+/.*\t{VOLUMES}
/var/lib/containers/storage/.*\\.lock\t--\t{LOCK}
/var/lib/containers/storage/mounts(/.*)?\t<<none>>
"""


def give_policy(root, text=FILE_CONTEXTS):
    """Give *root* a policy, and return its file with contexts."""
    policy = root / "etc/selinux/targeted/contexts/files/file_contexts"
    policy.parent.mkdir(parents=True)
    policy.write_text(text)
    (root / "etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=targeted\n")
    return policy


def bind(world, layout, registry):
    image = layout.image(layer({"usr/lib/libx": b"x"}), layer({"etc/x.conf": b"y"}))
    world.bind_image("labelled", registry.push(layout, image, "app/labelled"))


def label(path):
    return os.getxattr(path, labels.ATTRIBUTE, follow_symlinks=False).rstrip(b"\0").decode()


def everything(store):
    """Return the path of everything in *store*, itself included."""
    return [store, *store.rglob("*")]


def all_labels(store):
    """Return ``{path: label}`` of everything in *store*, None for what has no label."""
    return {
        str(path.relative_to(store)): label(path)
        if labels.ATTRIBUTE in os.listxattr(path, follow_symlinks=False)
        else None
        for path in everything(store)
    }


def test_a_store_of_a_root_with_a_policy_is_labelled_as_the_store_of_the_host(
    world, layout, registry
):
    give_policy(world.root)
    bind(world, layout, registry)
    world.run("sync")
    assert label(world.store) == STORE
    (program,) = world.store.glob("overlay/*/diff/hello")
    link = next(iter(world.store.glob("overlay/l/*")))
    assert label(program) == label(link) == LAYERS
    assert label(world.store / ".bootc_labeled") == STORE
    world.run("verify")


@pytest.mark.skipif(shutil.which("setfiles") is None, reason="needs setfiles (policycoreutils)")
def test_every_label_is_the_one_that_setfiles_gives(world, layout, registry, tmp_path):
    bind(world, layout, registry)
    world.run("sync")
    # podman 4 makes this directory, which has no label; podman 5 does not.
    (world.store / "mounts").mkdir(exist_ok=True)
    policy = give_policy(world.root)
    world.run("sync")
    tree = tmp_path / "tree"
    store = tree / "var/lib/containers/storage"
    store.parent.mkdir(parents=True)
    subprocess.run(["cp", "-a", world.store, store], check=True)
    for path in everything(store):
        if labels.ATTRIBUTE in os.listxattr(path, follow_symlinks=False):
            os.removexattr(path, labels.ATTRIBUTE, follow_symlinks=False)
    # -m: mounts of a machine without SELinux count as well.
    subprocess.run(["setfiles", "-m", "-F", "-r", tree, policy, store], check=True)
    wanted = all_labels(store)
    assert {LAYERS, STORE, LOCK, None} <= set(wanted.values())
    assert all_labels(world.store) == wanted


def test_the_first_time_a_wrong_label_is_set_right_and_later_ones_stay(world, layout, registry):
    bind(world, layout, registry)
    world.run("sync")
    (program,) = world.store.glob("overlay/*/diff/hello")
    inherited = b"system_u:object_r:usr_t:s0\0"
    for path in (world.store, program):
        os.setxattr(path, labels.ATTRIBUTE, inherited)
    give_policy(world.root)
    world.run("sync")
    assert (label(world.store), label(program)) == (STORE, LAYERS)
    os.setxattr(program, labels.ATTRIBUTE, inherited)
    world.run("sync")
    assert label(program) == "system_u:object_r:usr_t:s0"


@pytest.mark.parametrize("selinux_is_on", [False, True])
def test_what_comes_later_is_labelled_where_nothing_inherits(tmp_path, monkeypatch, selinux_is_on):
    (tmp_path / "root").mkdir()
    (tmp_path / "enforce").touch()
    give_policy(tmp_path / "root")
    store = tmp_path / "store"
    (store / "overlay").mkdir(parents=True)
    enforce = tmp_path / ("enforce" if selinux_is_on else "nothing")
    monkeypatch.setattr(labels, "_ENFORCE", enforce)
    labels.label_store(store, Root(tmp_path / "root"))
    (store / "overlay/new").touch()
    labels.label_store(store, Root(tmp_path / "root"))
    assert all_labels(store)["overlay/new"] == (None if selinux_is_on else LAYERS)


@pytest.mark.parametrize("config", ["SELINUX=disabled\n", "SELINUXTYPE=targeted\n", ""])
def test_a_root_without_a_policy_leaves_the_store_unlabelled(tmp_path, config):
    root = tmp_path / "root"
    root.mkdir()
    give_policy(root)
    (root / "etc/selinux/config").write_text(config)
    store = tmp_path / "store"
    store.mkdir()
    labels.label_store(store, Root(root))
    assert labels.ATTRIBUTE not in os.listxattr(store)
    assert not (store / ".bootc_labeled").exists()


def test_a_sync_without_a_policy_leaves_the_store_unlabelled(world, layout, registry):
    bind(world, layout, registry)
    world.run("sync")
    assert labels.ATTRIBUTE not in os.listxattr(world.store)
