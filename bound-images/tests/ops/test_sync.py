"""Images come from a real registry into a store, and containers start from there."""

import contextlib
import json
import os
import pty
import re
import subprocess

import pytest
from world import command_line, image_id, layer, run_container

import bound_images

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


def test_a_container_starts_from_what_sync_fetched(world, layout, registry, consumer):
    image = layout.image(message="greetings from the store")
    reference = registry.push(layout, image, "app/run")
    world.bind_image("run", reference)
    world.run("sync")
    done = run_container(world.store, reference, work=consumer)
    assert (done.returncode, done.stdout) == (0, "greetings from the store\n"), done.stderr


def test_sync_records_what_it_resolved(world, layout, registry):
    image = layout.image()
    reference = registry.push(layout, image, "app/record")
    world.bind_image("record", reference)
    world.run("sync")
    assert world.lock() == {
        "version": 1,
        "images": [
            {
                "reference": reference,
                "canonical": reference,
                "digest": image["digest"],
                "image_id": image_id(layout, image),
                "options": {"TLSVerify": False},
                "sources": ["/usr/share/containers/systemd/record.image"],
            }
        ],
    }


def test_a_second_sync_has_nothing_to_do(world, layout, registry):
    world.bind_image("twice", registry.push(layout, layout.image(), "app/twice"))
    world.run("sync")
    before = (world.store / "overlay-images/images.json").stat().st_mtime_ns
    assert world.json("sync", "--plan")["plan"]["images"][0]["action"] == "keep"
    assert world.run("sync").stdout.startswith("keep\t")
    assert (world.store / "overlay-images/images.json").stat().st_mtime_ns == before


def test_plan_tells_the_bytes_and_changes_nothing(world, layout, registry):
    image = layout.image()
    world.bind_image("plan", registry.push(layout, image, "app/plan"))
    plan = world.json("sync", "--plan")["plan"]
    size = json.loads(layout.data(image))["layers"][0]["size"]
    assert (plan["bytes"], plan["images"][0]["action"]) == (size, "fetch")
    assert not world.store.exists()


def test_a_layer_of_two_images_is_planned_once(world, layout, registry):
    for name in ("one", "two"):
        config = layout.image(message="shared", created=f"2024-01-0{len(name)}T00:00:00Z")
        world.bind_image(name, registry.push(layout, config, f"app/shared-{name}"))
    plan = world.json("sync", "--plan")["plan"]
    assert plan["bytes"] == plan["images"][0]["bytes"]


def test_a_large_layer_of_several_images_is_fetched_once(world, layout, registry):
    large = layer({"large": os.urandom(8 << 20)})
    for name in ("one", "two", "three"):
        image = layout.image(large, message=name)
        world.bind_image(name, registry.push(layout, image, "app/large", tag=name))
    world.run("sync", "--jobs=3")
    sizes = {blob["digest"]: blob["size"] for blob in json.loads(layout.data(image))["layers"]}
    assert registry.fetched(max(sizes, key=sizes.__getitem__)) == 1


@pytest.mark.parametrize("words", ["", "--platform=linux/amd64", "--log-level=warn"])
def test_podman_fetches_nothing_again(world, layout, registry, words):
    image = layout.image(message=f"once {words}")
    world.bind_image("once", registry.push(layout, image, "app/once"), f"PodmanArgs={words}")
    shown = world.run("sync", "-vv").stderr
    assert "skopeo" in re.findall(r"\+ (\S+) .*\bcopy\b", shown)
    assert "image pull" in shown
    assert {registry.fetched(b["digest"]) for b in json.loads(layout.data(image))["layers"]} == {1}


@pytest.mark.parametrize(
    "words",
    ["GlobalArgs=--cpu-profile={file}", "PodmanArgs=--signature-policy={file}"],
    ids=["a file that is overwritten", "another policy"],
)
def test_no_word_of_an_image_is_obeyed_on_the_machine_that_fetches(world, layout, registry, words):
    file = world.path / "file"
    file.write_text("of this machine")
    world.bind_image(
        "words", registry.push(layout, layout.image(), "app/w"), words.format(file=file)
    )
    done = world.run("sync", status=65)
    assert words.partition("=")[0] in done.stderr
    assert "words.image" in done.stderr
    assert file.read_text() == "of this machine"


def test_a_moved_tag_is_refreshed(world, layout, registry):
    old, new = layout.image(message="old"), layout.image(message="new")
    reference = registry.push(layout, old, "app/moved")
    world.bind_image("moved", reference)
    world.run("sync")
    registry.push(layout, new, "app/moved")
    world.run("sync")
    assert world.names()[reference] == image_id(layout, new)
    assert world.lock()["images"][0]["digest"] == new["digest"]


def test_sync_locked_keeps_to_the_lock_file_and_sets_the_name_back(world, layout, registry):
    old, new = layout.image(message="old"), layout.image(message="new")
    reference = registry.push(layout, old, "app/locked")
    world.bind_image("locked", reference)
    (lock,) = [world.path / "old.json"]
    world.run("sync", "--lock", lock)
    registry.push(layout, new, "app/locked")
    world.run("sync")
    world.run("sync", "--locked", "--offline", "--lock", lock)
    assert world.names()[reference] == image_id(layout, old)
    world.run("check", "--lock", lock)


def test_sync_prefer_locked_keeps_to_a_lock_file_where_there_is_one(world, layout, registry):
    old, new = layout.image(message="old"), layout.image(message="new")
    reference = registry.push(layout, old, "app/prefer-locked")
    world.bind_image("boot", reference)
    world.run("sync", "--prefer-locked")
    registry.push(layout, new, "app/prefer-locked")
    world.run("sync", "--prefer-locked", prefix=["unshare", "-n"])
    assert world.names()[reference] == image_id(layout, old)


def test_without_a_network_what_the_store_has_by_name_will_do(world, layout, registry):
    image = layout.image(message="there")
    reference = registry.push(layout, image, "app/offline")
    world.bind_image("there", reference)
    world.run("sync")
    options = bound_images.SyncOptions(bound_images.TransferOptions(offline=True))
    lock = world.path / "other.json"
    root = bound_images.Root(world.root)
    done = bound_images.sync(root, world.store, lock, options)
    assert done.record.images[0].image_id == image_id(layout, image)
    world.bind_image("absent", f"{registry.host}/app/absent-offline:1")
    with pytest.raises(bound_images.BoundImagesError, match="no registry may be asked"):
        bound_images.sync(root, world.store, lock, options)


def test_an_image_for_several_platforms_comes_for_the_wanted_one(world, layout, registry):
    here = layout.image(message="amd64")
    there = layout.image(message="arm64", architecture="arm64")
    reference = registry.push(layout, layout.index(here, there), "app/multi")
    world.bind_image("multi", reference, "Arch=arm64")
    world.run("sync")
    assert world.names()[reference] == image_id(layout, there)


def test_an_image_of_dockers_types_is_fetched_as_it_is(world, layout, registry):
    image = layout.image(message="docker", docker=True)
    reference = registry.push(layout, image, "app/docker")
    world.bind_image("docker", f"{reference}@{image['digest']}")
    world.run("sync")
    assert world.lock()["images"][0]["digest"] == image["digest"]
    world.run("check")


def test_all_tags_fetches_every_tag(world, layout, registry):
    for tag in ("1", "2"):
        registry.push(layout, layout.image(message=tag), "app/tags", tag=tag)
    repository = f"{registry.host}/app/tags"
    world.bind_image("tags", repository, "AllTags=true")
    world.run("sync")
    world.run("check")
    assert {f"{repository}:1", f"{repository}:2"} <= world.names().keys()
    world.run("prune", "--keep-root", world.root)
    assert {f"{repository}:1", f"{repository}:2"} <= world.names().keys()


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        pytest.param("always", "new", id="always"),
        pytest.param("newer", "new", id="newer"),
        pytest.param("missing", "old", id="missing"),
        pytest.param("never", "old", id="never"),
    ],
)
def test_the_policy_decides_whether_a_moved_tag_is_followed(
    world, layout, registry, policy, message
):
    images = {
        "old": layout.image(message="old", created="2024-01-01T00:00:00Z"),
        "new": layout.image(message="new", created="2024-06-01T00:00:00Z"),
    }
    name = f"app/policy-{policy}"
    reference = registry.push(layout, images["old"], name)
    world.bind_image("policy", reference)
    world.run("sync")
    registry.push(layout, images["new"], name)
    world.bind_image("policy", reference, f"Policy={policy}")
    world.run("sync")
    assert world.names()[reference] == image_id(layout, images[message])
    world.run("sync", "--refresh")
    assert world.names()[reference] == image_id(layout, images["new"])


def test_policy_newer_keeps_an_image_that_is_not_older(world, layout, registry):
    first = layout.image(message="first", created="2024-06-01T00:00:00Z")
    older = layout.image(message="older", created="2024-01-01T00:00:00Z")
    reference = registry.push(layout, first, "app/not-newer")
    world.bind_image("newer", reference, "Policy=newer")
    world.run("sync")
    registry.push(layout, older, "app/not-newer")
    world.run("sync")
    assert world.names()[reference] == image_id(layout, first)
    world.run("check")


def test_policy_never_with_an_empty_store_is_not_found(world, layout, registry):
    world.bind_image("never", registry.push(layout, layout.image(), "app/never"), "Policy=never")
    assert world.json("sync", status=66)["error"]["class"] == "not-found"


def test_one_missing_image_fails_the_whole_and_keeps_the_others_for_the_next_run(
    world, layout, registry
):
    good = registry.push(layout, layout.image(message="good"), "app/good")
    world.bind_image("good", good)
    world.run("sync")
    lock = world.lock()
    world.bind_image("bad", f"{registry.host}/app/absent:1")
    error = world.json("sync", status=66)["error"]
    assert error["image"] == f"{registry.host}/app/absent:1"
    assert world.lock() == lock


def test_a_plan_that_keeps_going_says_what_it_leaves_out(world, layout, registry):
    good = registry.push(layout, layout.image(message="good"), "app/keep-planning")
    world.bind_image("good", good)
    for name in ("first", "second"):
        world.bind_image(name, f"{registry.host}/app/{name}:1")
    document = world.json("sync", "--plan", "--keep-going", status=66)
    assert [image["canonical"] for image in document["plan"]["images"]] == [good]
    assert [error["image"] for error in document["errors"]] == [
        f"{registry.host}/app/{name}:1" for name in ("first", "second")
    ]


def test_a_source_that_is_none_leaves_no_store_behind(world):
    assert "is no local source" in world.run("sync", "--from", "nonsense:x", status=2).stderr
    assert not world.store.exists()


def test_keep_going_records_what_did_succeed(world, layout, registry):
    good = registry.push(layout, layout.image(message="good"), "app/keep-going")
    world.bind_image("good", good)
    world.bind_image("bad", f"{registry.host}/app/absent:1")
    document = world.json("sync", "--keep-going", status=66)
    assert [image["canonical"] for image in document["images"]] == [good]
    assert document["error"]["class"] == "not-found"
    assert world.run("check", status=65).stdout.splitlines() == [
        f"ok\t{good}",
        f"unrecorded\t{registry.host}/app/absent:1",
    ]


def test_progress_is_told_in_json_lines(world, layout, registry, tmp_path):
    reference = registry.push(layout, layout.image(), "app/progress")
    world.bind_image("progress", reference)
    with (tmp_path / "lines").open("w") as lines:
        world.run("sync", "--progress-fd", lines.fileno(), pass_fds=[lines.fileno()])
    events = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    states = [event["state"] for event in events]
    assert (states[0], states[1], states[-1]) == ("resolving", "resolved", "done")
    assert {event["image"] for event in events} == {reference}


def test_a_terminal_sees_what_happens_to_an_image_with_a_long_name(world, layout, registry):
    image = layout.image(message="live")
    registry.push(layout, image, "app/a-name-that-is-rather-long-for-eighty-columns")
    name = f"app/a-name-that-is-rather-long-for-eighty-columns@{image['digest']}"
    world.bind_image("live", f"{registry.host}/{name}")
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [*command_line(), "sync", "--root", world.root],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "80", "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    assert done.wait(timeout=60) == 0
    text = shown.decode()
    assert f"columns@sha256:{image['digest'][7:19]} done" in text
    assert re.search(r"\d+/\d+ bytes", text)


def test_the_store_is_made_as_others_expect_it(world, layout, registry):
    world.bind_image("modes", registry.push(layout, layout.image(), "app/modes"))
    world.run("sync")
    assert world.store.stat().st_mode & 0o7777 == 0o755
    assert (world.store / "overlay-images").stat().st_mode & 0o7777 == 0o700
    assert not world.store.with_name("storage.tmp").exists()
    databases = b"".join(path.read_bytes() for path in world.store.glob("libpod/*.db"))
    databases += b"".join(path.read_bytes() for path in world.store.glob("db.sql*"))
    assert b"/run/bootc/storage" in databases
    assert b"/proc/self/fd/3" in databases
