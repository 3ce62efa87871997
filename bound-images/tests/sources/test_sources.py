"""Images from local sources, without a network; exports and imports."""

import json
import os
import shutil
import subprocess
import tarfile

import pytest
from world import image_id, layer, remove_tree, run_container, short_directory

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
# Nothing listens here: whatever is asked for it has come from somewhere else.
ABSENT = "127.0.0.1:1/app/web:1"


@pytest.fixture
def other_store():
    """``[driver@root+runroot]`` of a store of podman's own."""
    directory = short_directory()
    yield f"[overlay@{directory}/root+{directory}/run]", directory
    remove_tree(directory)


@pytest.mark.parametrize("archive", [False, True], ids=["oci", "oci-archive"])
@pytest.mark.parametrize("docker", [False, True], ids=["oci-types", "docker-types"])
def test_a_layout_serves_as_a_source(world, layout, archive, docker):
    image = layout.image(docker=docker)
    layout.publish((ABSENT, image))
    source = f"oci:{layout.path}"
    if archive:
        with tarfile.open(world.path / "a.tar", "w") as tar:
            tar.add(layout.path, arcname=".")
        source = f"oci-archive:{world.path / 'a.tar'}"
    world.bind_image("web", ABSENT)
    world.run("sync", "--from", source)
    assert world.names()[ABSENT] == image_id(layout, image)
    assert world.lock()["images"][0]["digest"] == image["digest"]
    world.run("verify")


def test_a_pinned_digest_comes_from_a_layout(world, layout):
    image = layout.image(docker=True)
    reference = f"127.0.0.1:1/app/web@{image['digest']}"
    layout.publish((reference, image))
    world.bind_image("web", reference)
    world.run("sync", "--from", f"oci:{layout.path}")
    world.run("check")


def test_another_store_serves_as_a_source(world, layout, other_store, consumer):
    specification, directory = other_store
    image = layout.image(message="from the other store")
    layout.publish((ABSENT, image))
    subprocess.run(
        ["podman", f"--root={directory}/root", f"--runroot={directory}/run", "pull", "-q",
         f"oci:{layout.path}:{ABSENT}"],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        ["podman", f"--root={directory}/root", f"--runroot={directory}/run", "tag",
         image_id(layout, image), ABSENT],
        check=True, capture_output=True,
    )  # fmt: skip
    world.bind_image("web", ABSENT)
    world.run("sync", "--from", f"containers-storage:{specification}")
    world.run("check")
    done = run_container(world.store, ABSENT, work=consumer)
    assert done.stdout == "from the other store\n", done.stderr


def test_an_image_that_the_source_lacks_is_exit_66(world, layout):
    layout.publish(("localhost/other:1", layout.image()))
    world.bind_image("web", ABSENT)
    assert world.json("sync", "--from", f"oci:{layout.path}", status=66)["error"]["image"] == ABSENT


@pytest.mark.parametrize(
    ("source", "status"),
    [
        pytest.param("oci:/no/such/layout", 66, id="missing"),
        pytest.param("oci-archive:/no/such/file", 66, id="missing-archive"),
        pytest.param("ftp:x", 2, id="unknown"),
    ],
)
def test_a_source_that_is_none_is_refused(world, source, status):
    world.bind_image("web", ABSENT)
    world.run("sync", "--from", source, status=status)


def test_a_layout_with_a_damaged_blob_is_refused(world, layout):
    image = layout.image(layer({"x": b"content"}))
    layout.publish((ABSENT, image))
    blob = json.loads(layout.data(image))["layers"][1]["digest"][7:]
    path = layout.path / "blobs/sha256" / blob
    data = bytearray(path.read_bytes())
    data[-12] ^= 1
    path.write_bytes(data)
    world.bind_image("web", ABSENT)
    done = world.json("sync", "--from", f"oci:{layout.path}", "--retries", "0", status=65)
    assert done["error"]["class"] in ("mismatch", "invalid-image")
    assert not list(world.state.glob("*.json"))


def test_an_archive_is_pulled_only_when_allowed(world, layout, consumer):
    image = layout.image(message="from an archive")
    layout.publish(("x", image))
    archive = world.path / "x.tar"
    subprocess.run(
        ["skopeo", "copy", "-q", f"oci:{layout.path}:x", f"docker-archive:{archive}:localhost/x:1"],
        check=True, capture_output=True,
    )  # fmt: skip
    world.bind_image("x", f"docker-archive:{archive}", "ImageTag=localhost/hand:1")
    assert world.json("sync", status=76)["error"]["class"] == "policy"
    world.run("sync", "--allow-transport")
    world.run("check")
    done = run_container(world.store, "localhost/hand:1", work=consumer)
    assert done.stdout == "from an archive\n", done.stderr


class TestBundles:
    def bound(self, world, layout, registry):
        """Bind images of every kind; return {canonical: id}."""
        common = layer({"common": os.urandom(1 << 20)})
        plain = layout.image(common, message="plain")
        docker = layout.image(common, message="docker", docker=True)
        multi = layout.image(common, message="multi")
        other = layout.image(common, message="other", architecture="arm64")
        index = layout.index(multi, other)
        references = {
            registry.push(layout, plain, "bundle/plain"): plain,
            f"{registry.push(layout, docker, 'bundle/docker')}@{docker['digest']}": docker,
            f"{registry.push(layout, index, 'bundle/multi')}@{index['digest']}": multi,
        }
        for number, reference in enumerate(references):
            world.bind_image(f"i{number}", reference)
        ids = [image_id(layout, image) for image in references.values()]
        return dict(zip((canonical(r) for r in references), ids, strict=True))

    @pytest.mark.parametrize("archive", [False, True], ids=["directory", "archive"])
    def test_what_was_exported_is_imported_without_a_network(
        self, world, layout, registry, archive
    ):
        wanted = self.bound(world, layout, registry)
        target = world.path / "carried"
        world.run("export", f"oci-archive:{target}" if archive else target)
        world.root = world.new_root("offline")
        shutil.copytree(world.path / "root/usr/share", world.root / "usr/share", dirs_exist_ok=True)
        shutil.copytree(
            world.path / "root/usr/lib/bootc/bound-images.d",
            world.root / "usr/lib/bootc/bound-images.d",
            symlinks=True,
            dirs_exist_ok=True,
        )
        world.run("import", target, prefix=["unshare", "-n"])
        world.run("check")
        world.run("verify")
        assert {name: world.names()[name] for name in wanted} == wanted

    def test_shared_blobs_are_exported_once_and_others_not_at_all(self, world, layout, registry):
        self.bound(world, layout, registry)
        target = world.path / "carried"
        made = world.json("export", target)["export"]
        sizes = [path.stat().st_size for path in (target / "blobs/sha256").iterdir()]
        assert made["bytes"] == sum(sizes)
        assert len([size for size in sizes if size > 1 << 20]) == 1
        # Four small layers would be there if the image for arm64 were.
        assert len(sizes) == 1 + 3 * 3 + 1

    def test_an_export_is_brought_up_to_date(self, world, layout, registry):
        old, new = layout.image(message="old"), layout.image(message="new")
        reference = registry.push(layout, old, "bundle/moving")
        world.bind_image("moving", reference)
        target = world.path / "carried"
        world.run("export", target)
        registry.push(layout, new, "bundle/moving")
        world.run("export", target)
        index = json.loads((target / "index.json").read_text())
        assert [entry["digest"] for entry in index["manifests"]] == [new["digest"]]
        assert len(list((target / "blobs/sha256").iterdir())) == 3

    def test_an_export_keeps_to_a_lock_file(self, world, layout, registry):
        old, new = layout.image(message="old"), layout.image(message="new")
        reference = registry.push(layout, old, "bundle/locked")
        world.bind_image("locked", reference)
        world.run("lock", "--lock", world.path / "lock.json")
        registry.push(layout, new, "bundle/locked")
        made = world.json("export", world.path / "carried", "--lock", world.path / "lock.json")
        assert made["export"]["images"][0]["digest"] == old["digest"]

    def test_an_exported_layout_is_readable_for_others(self, world, layout, registry):
        reference = registry.push(layout, layout.image(), "bundle/plain")
        world.bind_image("plain", reference)
        target = world.path / "carried"
        world.run("export", target)
        subprocess.run(
            ["skopeo", "inspect", f"oci:{target}:{reference}"], check=True, capture_output=True
        )

    def test_what_is_no_export_is_not_found(self, world, tmp_path):
        (tmp_path / "empty").mkdir()
        world.run("import", tmp_path / "empty", status=66)
        (tmp_path / "file").write_bytes(b"no archive")
        world.run("import", tmp_path / "file", status=66)


def canonical(reference):
    name, at, digest = reference.partition("@")
    return f"{name.rpartition(':')[0]}{at}{digest}" if at else name


class TestAnImageBoundByDigestFromAnotherStore:
    """Copying unpacks layers, so the manifest, and its digest, fit only what was not compressed."""

    @pytest.fixture
    def pulled(self, world, layout, registry, other_store):
        specification, directory = other_store

        def pull(image, name):
            registry.push(layout, image, name)
            reference = f"{registry.host}/{name}@{image['digest']}"
            subprocess.run(
                ["podman", f"--root={directory}/root", f"--runroot={directory}/run", "pull", "-q",
                 "--tls-verify=false", reference],
                check=True, capture_output=True,
            )  # fmt: skip
            # From here on it is in that store, or nowhere.
            world.bind_image("web", reference, "TLSVerify=true")
            return reference

        world.source = f"containers-storage:{specification}"
        return pull

    def test_compressed_layers_are_refused_before_anything_is_fetched(self, world, layout, pulled):
        reference = pulled(layout.image(layer({"more": b"x"})), "digest/compressed")
        error = world.json("sync", "--from", world.source, status=69)["error"]
        assert error["message"].startswith(f"{reference} is bound by its digest")
        assert error["details"].startswith("2 of its 2 layers were compressed, such as sha256:")
        assert not list(world.state.glob("*.json"))

    @pytest.mark.parametrize("docker", [False, True], ids=["oci-types", "docker-types"])
    def test_layers_that_never_were_compressed_come(self, world, layout, pulled, docker):
        image = layout.image(compressed=False, docker=docker)
        reference = pulled(image, f"digest/plain-{docker}".lower())
        world.run("sync", "--from", world.source)
        assert world.names()[reference] == image_id(layout, image)
        assert world.lock()["images"][0]["digest"] == image["digest"]
        world.run("verify")
        assert world.run("sync", "--from", world.source).stdout.startswith("keep\t")

    def test_an_index_comes_as_well(self, world, layout, pulled):
        image = layout.image(compressed=False, message="amd")
        other = layout.image(compressed=False, message="arm", architecture="arm64")
        reference = pulled(layout.index(image, other), "digest/index")
        world.run("sync", "--from", world.source)
        assert world.names()[reference] == image_id(layout, image)
        world.run("verify")

    def test_one_that_is_not_there_is_not_found(self, world, layout, pulled):
        pulled(layout.image(compressed=False), "digest/there")
        digest = layout.image(message="absent")["digest"]
        world.bind_image("web", f"127.0.0.1:1/app/web@{digest}")
        error = world.json("sync", "--from", world.source, status=66)["error"]
        assert error["class"] == "not-found"
