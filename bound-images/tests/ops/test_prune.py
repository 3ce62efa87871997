"""prune removes what no kept root is bound to, and nothing else."""

import pytest
from world import image_id

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


def spellings(registry, layout):
    """Return every way to name an image, each for an image of its own."""
    found = {}
    for name, form in {
        "plain": "{repo}",
        "tagged": "{repo}:v1",
        "digest": "{repo}@{digest}",
        "both": "{repo}:v1@{digest}",
        "docker": "docker://{repo}:v1",
    }.items():
        image = layout.image(message=name)
        tag = "latest" if name == "plain" else "v1"
        registry.push(layout, image, f"spelled/{name}", tag=tag)
        repository = f"{registry.host}/spelled/{name}"
        found[form.format(repo=repository, digest=image["digest"])] = image_id(layout, image)
    return found


def test_every_spelling_survives_and_what_nothing_binds_goes(world, layout, registry):
    wanted = spellings(registry, layout)
    for number, reference in enumerate(wanted):
        world.bind_image(f"i{number}", reference)
    other = layout.image(message="unwanted")
    world.bind_image("other", registry.push(layout, other, "app/unwanted"))
    world.run("sync")
    (world.root / "usr/lib/bootc/bound-images.d/other.image").unlink()
    world.run("sync")
    world.run("prune", "--keep-root", world.root)
    assert world.ids() == set(wanted.values())
    world.run("check")


def test_every_spelling_survives_without_any_lock_file(world, layout, registry):
    wanted = spellings(registry, layout)
    for number, reference in enumerate(wanted):
        world.bind_image(f"i{number}", reference)
    world.run("sync", "--lock", world.path / "elsewhere.json")
    world.run("prune", "--keep-root", world.root)
    assert world.ids() == set(wanted.values())


def test_the_images_of_a_rollback_root_stay_as_long_as_it_is_kept(world, layout, registry):
    old, new = layout.image(message="old"), layout.image(message="new")
    reference = registry.push(layout, old, "app/rollback")
    before, store = world.root, world.store
    world.bind_image("app", reference)
    world.run("sync")
    world.root = world.new_root("next")
    registry.push(layout, new, "app/rollback")
    world.bind_image("app", reference)
    where = ("--store", store)
    world.run("sync", *where)
    world.run("prune", *where, "--keep-root", before, "--keep-root", world.root)
    ids = {
        image["image_id"]
        for image in world.json("prune", "--plan", *where, "--keep-root", world.root)["plan"][
            "removed"
        ]
    }
    assert ids == {image_id(layout, old)}
    world.run("sync", "--root", before, *where, "--locked", "--offline")
    world.run("check", "--root", before, *where)
    world.run("sync", *where, "--locked", "--offline")
    world.run("prune", *where, "--keep-root", world.root)
    done = world.json("sync", "--root", before, *where, "--locked", "--offline", status=66)
    assert done["error"]["class"] == "not-found"


def test_without_a_root_to_keep_it_is_a_usage_error(world, layout, registry):
    world.bind_image("app", registry.push(layout, layout.image(), "app/usage"))
    world.run("sync")
    assert world.json("prune", status=2)["error"]["class"] == "usage"
    (lock,) = world.state.glob("*.json")
    assert world.json("prune", "--keep-lock", lock, status=2)["error"]["class"] == "usage"
    assert len(world.ids()) == 1
    # Also where nothing else is right.
    assert world.json("prune", "--root", "/nope", status=2)["error"]["class"] == "usage"


@pytest.mark.parametrize("damage", ["gone", "dangling", "lock"])
def test_a_root_that_cannot_be_read_means_that_nothing_is_removed(world, layout, registry, damage):
    world.bind_image("app", registry.push(layout, layout.image(), "app/unreadable"))
    world.run("sync")
    other = world.new_root("other")
    arguments = ["--keep-root", other]
    if damage == "gone":
        arguments = ["--keep-root", world.path / "no-such-root"]
    elif damage == "dangling":
        (other / "usr/lib/bootc/bound-images.d/x.image").symlink_to("/usr/share/nothing.image")
    else:
        (world.path / "bad.json").write_text('{"version": 1, "images": [{}]}')
        arguments += ["--keep-lock", world.path / "bad.json"]
    world.run("prune", *arguments, status=66 if damage == "gone" else 65)
    assert len(world.ids()) == 1
    world.run("check")


def test_a_root_that_is_not_mounted_means_that_nothing_is_removed(world, layout, registry):
    world.bind_image("app", registry.push(layout, layout.image(), "app/unmounted"))
    world.run("sync")
    (world.path / "mountpoint").mkdir()
    keep = ["--keep-root", world.root, "--keep-root", world.path / "mountpoint"]
    assert "no usr" in world.json("prune", *keep, status=66)["error"]["message"]
    done = world.run("prune", "--keep-root", "", status=2)
    assert "The path is empty" in done.stderr
    assert len(world.ids()) == 1


def test_the_plan_names_what_would_go_and_removes_nothing(world, layout, registry):
    image = layout.image()
    reference = registry.push(layout, image, "app/plan-prune")
    world.bind_image("app", reference)
    world.run("sync")
    empty = world.new_root("empty")
    plan = world.json("prune", "--plan", "--keep-root", empty)["plan"]
    assert [entry["image_id"] for entry in plan["removed"]] == [image_id(layout, image)]
    assert reference in plan["removed"][0]["names"]
    assert len(plan["locks"]) == 1
    world.run("check")


def test_an_image_without_a_name_goes_as_well(world, layout, registry):
    old, new = layout.image(message="old"), layout.image(message="new")
    reference = registry.push(layout, old, "app/nameless")
    world.bind_image("app", reference)
    world.run("sync")
    registry.push(layout, new, "app/nameless")
    world.run("sync")
    world.run("prune", "--keep-root", world.root)
    assert world.ids() == {image_id(layout, new)}
