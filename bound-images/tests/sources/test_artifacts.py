"""OCI artifacts are listed; no additional store can hold them, and every command says so."""

import json

import pytest
from world import image_id

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

NAME = "127.0.0.1:1/app/model:1"
REFUSAL = f"{NAME} is an OCI artifact, and no additional store can hold those."
UNITS = {
    "unit": ("model.artifact", f"[Artifact]\nArtifact={NAME}\n"),
    "mount": (
        "app.container",
        f"[Container]\nRootfs=/\nMount=type=artifact,source={NAME},destination=/model\n",
    ),
}


@pytest.fixture(params=sorted(UNITS))
def bound(world, layout, registry, request):
    """A root with an artifact, in a unit of its own or a mount, and an image."""
    image = layout.image(message="beside")
    world.bind_image("web", registry.push(layout, image, "app/beside"))
    world.bind(*UNITS[request.param])
    world.unit, world.image = UNITS[request.param][0], image_id(layout, image)
    return world


def test_it_is_listed_and_marked(bound):
    images = bound.json("list")["images"]
    assert {image["canonical"]: image.get("artifact") for image in images} == {
        NAME: True,
        next(i["canonical"] for i in images if i["canonical"] != NAME): None,
    }


@pytest.mark.parametrize("command", ["sync", "lock", "export"])
def test_it_stops_what_has_to_be_complete(bound, command, tmp_path):
    target = [tmp_path / "export"] if command == "export" else []
    error = bound.json(command, *target, status=69)["error"]
    assert (error["message"], error["class"]) == (REFUSAL, "tool")
    assert error["path"] == f"/usr/share/containers/systemd/{bound.unit}"
    assert not list(bound.state.glob("*.json"))


def test_keep_going_leaves_it_out_and_check_says_what_it_is(bound):
    document = bound.json("sync", "--keep-going", status=69)
    assert [image["image_id"] for image in document["images"]] == [bound.image]
    assert document["error"]["message"] == REFUSAL
    for command in ("check", "verify"):
        document = bound.json(command, status=69)
        assert [image["verdict"] for image in document["images"]] == ["ok", "unsupported"]
        assert document["error"]["message"] == REFUSAL
        assert document["error"]["hint"] == "Take the unit out of the bound directory."


def test_a_lock_file_does_not_make_it_something_else(bound):
    bound.run("sync", "--keep-going", status=69)
    for option in ("--locked", "--offline"):
        assert bound.json("sync", option, status=69)["error"]["message"] == REFUSAL


def test_it_keeps_no_root_from_being_kept(bound):
    bound.run("sync", "--keep-going", status=69)
    bound.run("prune", "--keep-root", bound.root)
    assert bound.ids() == {bound.image}


def test_lint_and_explain_say_what_it_is(bound):
    done = bound.run("lint", "--format=json", status=65)
    found = [f for f in json.loads(done.stdout)["findings"] if f["rule"] == "artifact"]
    assert [finding["severity"] for finding in found] == ["error"]
    assert bound.json("explain", NAME)["image"]["reason"].endswith(
        "it is an OCI artifact, and no additional store can hold those."
    )
