"""check and verify tell what differs, and sync sets it right."""

import json

import pytest
from world import image_id, layer

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture
def synced(world, layout, registry):
    image = layout.image(layer({"data": b"precious" * 1000}))
    reference = registry.push(layout, image, "app/checked")
    world.bind_image("app", reference)
    world.run("sync")
    world.image, world.reference = image_id(layout, image), reference
    return world


def verdicts(document):
    return [image["verdict"] for image in document["images"]]


def test_without_a_lock_file_check_is_exit_66(world, layout, registry):
    world.bind_image("app", registry.push(layout, layout.image(), "app/unchecked"))
    assert world.json("check", status=66)["error"]["class"] == "not-found"


def test_without_a_store_that_is_what_is_said(world):
    error = world.json("check", status=66)["error"]
    assert error["message"] == f"There is no store at {world.store}."


@pytest.mark.parametrize("command", ["sync", "check", "verify", "prune", "explain"])
def test_a_directory_that_is_no_store_is_left_alone(world, command):
    other = world.path / "other"
    other.mkdir()
    (other / "precious").touch()
    more = {"prune": ["--keep-root", world.root], "explain": ["x"]}.get(command, [])
    error = world.json(command, *more, "--store", other, status=66)["error"]
    assert error["message"] == f"{other} is no store, and is not empty."
    assert [path.name for path in other.iterdir()] == ["precious"]


def test_keep_going_checks_what_can_be_read(synced):
    (synced.root / "usr/lib/bootc/bound-images.d/bad.image").symlink_to("nowhere")
    assert "images" not in synced.json("check", status=65)
    for command in ("check", "verify"):
        document = synced.json(command, "--keep-going", status=65)
        assert verdicts(document) == ["ok"]
        assert document["error"]["path"] == "/usr/lib/bootc/bound-images.d/bad.image"


def test_several_failures_are_told_one_by_one(synced):
    synced.bind_image("more", "127.0.0.1:1/app/more:1")
    (synced.store / "overlay-images/images.json").write_text("[]")
    document = synced.json("check", status=66)
    assert [error["exit"] for error in document["errors"]] == [66, 65]
    assert document["error"]["exit"] == 66


def test_a_missing_image_is_exit_66(synced):
    (synced.store / "overlay-images/images.json").write_text("[]")
    document = synced.json("check", status=66)
    assert verdicts(document) == ["missing"]
    assert document["error"]["image"] == synced.reference


def test_a_name_that_was_moved_is_exit_65_and_sync_moves_it_back(synced):
    path = synced.store / "overlay-images/images.json"
    images = json.loads(path.read_text())
    images[0]["names"] = [name for name in images[0]["names"] if name != synced.reference]
    path.write_text(json.dumps(images))
    assert verdicts(synced.json("check", status=65)) == ["renamed"]
    assert synced.run("sync").stdout.startswith("name\t")
    synced.run("check")


def test_an_image_that_is_newly_bound_is_exit_65(synced):
    synced.bind_image("more", "127.0.0.1:1/app/more:1")
    assert verdicts(synced.json("check", status=65)) == ["ok", "unrecorded"]


def test_an_image_that_is_no_longer_bound_is_exit_65(synced):
    (synced.root / "usr/lib/bootc/bound-images.d/app.image").unlink()
    assert verdicts(synced.json("check", status=65)) == ["unbound"]


def damage(world):
    (path,) = world.store.glob("overlay/*/diff/data")
    path.write_bytes(b"precious" * 999 + b"PRECIOUS")


def test_verify_finds_what_check_cannot_and_sync_repairs_it(synced):
    damage(synced)
    synced.run("check")
    document = synced.json("verify", status=65)
    assert verdicts(document) == ["damaged"]
    assert document["error"]["class"] == "store-damaged"
    synced.run("sync")
    synced.run("verify")
    assert synced.names()[synced.reference] == synced.image


def test_a_damaged_layer_of_several_images_is_fetched_anew_for_all(synced, layout, registry):
    shared = layer({"data": b"precious" * 1000})
    other = layout.image(layer({"more": b"more"}), message="other")
    second = layout.image(shared, layer({"second": b"second"}))
    unbound = layout.image(shared, layer({"third": b"third"}))
    for name, image in (("other", other), ("second", second), ("unbound", unbound)):
        synced.bind_image(name, registry.push(layout, image, f"app/sharing-{name}"))
    synced.run("sync")
    (synced.root / "usr/lib/bootc/bound-images.d/unbound.image").unlink()
    damage(synced)
    assert sorted(verdicts(synced.json("verify", status=65))) == [
        "damaged", "damaged", "ok", "unbound",
    ]  # fmt: skip
    synced.run("sync")
    synced.run("verify")
    assert image_id(layout, unbound) not in synced.ids()


def test_sync_with_verify_reads_back_and_repairs(synced):
    damage(synced)
    synced.run("sync", "--verify")
    synced.run("verify")


def test_without_a_network_damage_is_told_and_not_repaired(synced):
    damage(synced)
    error = synced.json("sync", "--locked", "--offline", "--verify", status=66)["error"]
    assert "no registry may be asked" in error["message"]


def test_an_import_repairs_what_is_damaged(synced, layout):
    synced.run("export", synced.path / "carried")
    damage(synced)
    (synced.state / "verified").unlink()
    synced.run("import", synced.path / "carried", prefix=["unshare", "-n"])
    synced.run("verify")


def test_a_missing_layer_is_damage(synced):
    (path,) = synced.store.glob("overlay/*/diff/data")
    path.unlink()
    assert verdicts(synced.json("verify", status=65)) == ["damaged"]


def test_what_a_power_cut_may_have_left_is_read_before_it_counts(synced):
    damage(synced)
    # The note is written last, after the store was flushed: a cut before it leaves none.
    (synced.state / "verified").unlink()
    assert synced.json("sync", "--plan")["plan"]["images"][0]["action"] == "check"
    synced.run("sync")
    synced.run("verify")


def test_a_malformed_lock_file_is_exit_65(synced):
    (path,) = synced.state.glob("*.json")
    path.write_text('{"version": 1, "images": [], "Images": []}')
    assert synced.json("check", status=65)["error"]["class"] == "invalid-image"


def test_explain_says_what_keeps_an_image(synced):
    document = synced.json("explain", synced.reference)["image"]
    assert document["stored"]["image_id"] == synced.image
    assert document["stored"]["verified"] is True
    assert document["bound"][0]["name"] == "app.image"
    assert [lock["image_id"] for lock in document["locks"]] == [synced.image]
    assert synced.json("explain", synced.image[:16])["image"]["stored"] == document["stored"]
    assert synced.json("explain", "quay.io/nobody:1", status=66)["error"]["class"] == "not-found"


def test_explain_knows_an_image_by_the_unit_that_binds_it(synced, registry):
    digest = synced.lock()["images"][0]["digest"]
    synced.bind_image("a", f"{registry.host}/app/checked@{digest}")
    synced.run("sync")
    document = synced.json("explain", "app.image")["image"]
    assert [image["name"] for image in document["bound"]] == ["app.image", "a.image"]
    assert len(document["locks"]) == 1
    assert document["reason"] == "/usr/share/containers/systemd/app.image binds it."
