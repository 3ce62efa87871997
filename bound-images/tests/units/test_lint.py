"""lint finds what goes wrong in practice, with severity, file and line."""

import json

import pytest
from generator import find_generator
from world import World

from bound_images.lint.findings import RULES
from bound_images.lint.generator import differences
from bound_images.lint.run import lint
from bound_images.lint.sarif import sarif
from bound_images.lint.units import BOOLEAN_KEYS
from bound_images.rootfs import Root
from orch_frame.errors import UsageError

STORE = "--storage-opt=additionalimagestore=/usr/lib/bootc/storage"
D = "sha256:" + "ab" * 32
GOOD_IMAGE = f"[Image]\nImage=quay.io/a@{D}\nPolicy=missing\n"
GOOD_CONTAINER = f"[Container]\nImage=quay.io/a@{D}\nGlobalArgs={STORE}\nPull=never\n"
SHARE = "/usr/share/containers/systemd"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def findings(world, rule=None):
    found = lint(Root(world.root), skip=("generator-refuses", "generator-differs"))
    return [(f.rule, f.path, f.line) for f in found if rule in (None, f.rule)]


def test_good_definitions_have_no_findings(world):
    world.bind("a.image", GOOD_IMAGE)
    world.bind("a.container", GOOD_CONTAINER)
    assert findings(world) == []


@pytest.mark.parametrize(
    ("rule", "name", "text", "line"),
    [
        ("no-additional-store", "a.container", f"[Container]\nImage=q.io/a@{D}\nPull=never\n", 2),
        ("pull-at-start", "a.container", GOOD_CONTAINER + "Pull=always\n", 5),
        ("pull-at-start", "a.container", GOOD_CONTAINER + "Pull=newer\n", 5),
        ("pull-at-start", "a.image", f"[Image]\nImage=quay.io/a@{D}\n", 0),
        ("auto-update", "a.container", GOOD_CONTAINER + "AutoUpdate=registry\n", 5),
        ("floating-tag", "a.image", "[Image]\nImage=quay.io/a\nPolicy=missing\n", 2),
        ("floating-tag", "a.image", "[Image]\nImage=quay.io/a:latest\nPolicy=missing\n", 2),
        ("movable-tag", "a.image", "[Image]\nImage=quay.io/a:v1\nPolicy=missing\n", 2),
        ("short-name", "a.image", f"[Image]\nImage=nginx@{D}\nPolicy=missing\n", 2),
        ("false-boolean", "a.image", GOOD_IMAGE + "TLSVerify=maybe\n", 4),
        ("false-boolean", "a.container", GOOD_CONTAINER + "ReadOnly=ja\n", 5),
        ("never-fetched", "a.image", f"[Image]\nImage=quay.io/a@{D}\nPolicy=never\n", 3),
        ("password-in-unit", "a.image", GOOD_IMAGE + "Creds=a:b\n", 4),
        ("artifact", "a.artifact", "[Artifact]\nArtifact=quay.io/a:1\n", 2),
        ("definition", "a.image", "[Image]\nImage=quay.io/a:1\nPullSecret=x\n", 0),
    ],
)  # fmt: skip
def test_what_a_unit_does_wrong_is_found_with_its_line(world, rule, name, text, line):
    world.bind(name, text)
    assert findings(world, rule) == [(rule, f"{SHARE}/{name}", line)]


@pytest.mark.parametrize(
    ("rule", "text", "line"),
    [
        ("byte-order-mark", "\ufeff" + GOOD_IMAGE, 1),
        ("unreadable-file", "# c\nImage=x\n[Image]\n", 2),
        ("unreadable-file", "[Image]\nnonsense\n", 2),
    ],
)
def test_a_file_that_stops_the_generator_is_found_though_nothing_binds_it(world, rule, text, line):
    (world.root / SHARE.lstrip("/") / "b.image").write_text(text)
    assert findings(world) == [(rule, f"{SHARE}/b.image", line)]


def test_a_bound_file_that_stops_the_generator_is_found_once(world):
    world.bind("b.image", "\ufeff" + GOOD_IMAGE)
    assert findings(world) == [("byte-order-mark", f"{SHARE}/b.image", 1)]


def test_a_definition_that_is_wrong_is_told_with_what_to_do_and_without_its_path(world):
    world.bind("b.image", "[Image]\nImage=q.io/a:1\nPolicy=missing\nSecret=x\n")
    (finding,) = lint(Root(world.root))
    assert finding.message.startswith("podman knows no key Secret")
    assert finding.message.endswith("see podman-systemd.unit(5).")


def test_dangling_links_are_found_among_quadlets_and_bound_entries(world):
    (world.root / SHARE.lstrip("/") / "b.image").symlink_to("missing")
    (world.root / "usr/lib/bootc/bound-images.d/c.image").symlink_to("/usr/nothing.image")
    assert findings(world) == [
        ("definition", "/usr/lib/bootc/bound-images.d/c.image", 0),
        ("dangling-link", f"{SHARE}/b.image", 0),
    ]


def test_a_file_that_etc_shadows_is_found(world):
    world.bind("a.image", GOOD_IMAGE)
    other = world.root / "etc/containers/systemd/a.image"
    other.parent.mkdir(parents=True)
    other.write_text(GOOD_IMAGE)
    assert findings(world) == [("shadowed", f"{SHARE}/a.image", 0)]


def test_a_setting_of_a_drop_in_is_found_there(world):
    world.bind("a.image", GOOD_IMAGE)
    drop_in = world.root / SHARE.lstrip("/") / "a.image.d/1.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Image]\n\nTLSVerify=perhaps\n")
    assert findings(world) == [("false-boolean", f"{SHARE}/a.image.d/1.conf", 3)]


def test_a_unit_that_a_bound_one_refers_to_is_read_as_well(world):
    world.bind("a.container", f"[Container]\nImage=b.image\nGlobalArgs={STORE}\nPull=never\n")
    (world.root / SHARE.lstrip("/") / "b.image").write_text(GOOD_IMAGE + "TLSVerify=x\n")
    assert findings(world) == [("false-boolean", f"{SHARE}/b.image", 4)]


def test_a_root_without_the_link_to_the_store_is_found(world):
    (world.root / "usr/lib/bootc/storage").unlink()
    world.bind("a.image", GOOD_IMAGE)
    assert findings(world) == [("no-store-link", "/usr/lib/bootc/storage", 0)]


def test_a_store_for_all_containers_is_noted_and_replaces_the_argument(world):
    world.bind("a.container", f"[Container]\nImage=quay.io/a@{D}\nPull=never\n")
    path = world.root / "etc/containers/storage.conf"
    path.parent.mkdir(parents=True)
    path.write_text('[storage.options]\nadditionalimagestores = ["/usr/lib/bootc/storage"]\n')
    assert findings(world) == [("store-for-all", "/etc/containers/storage.conf", 0)]


def test_rules_can_be_left_out_by_name(world):
    world.bind("a.image", GOOD_IMAGE + "Creds=a:b\n")
    assert lint(Root(world.root), skip=("password-in-unit",)) == ()
    with pytest.raises(UsageError, match="no-such-rule"):
        lint(Root(world.root), skip=("no-such-rule",))


def test_sarif_names_rule_file_and_line(world):
    world.bind("a.image", GOOD_IMAGE + "Creds=a:b\n")
    (run,) = sarif(lint(Root(world.root)))["runs"]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == RULES.keys()
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("password-in-unit", "warning")
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": f"{SHARE[1:]}/a.image", "uriBaseId": "ROOT"},
        "region": {"startLine": 4},
    }


def test_the_command_fails_from_the_wanted_severity_on(world):
    world.bind("a.image", GOOD_IMAGE + "Creds=a:b\n")
    assert world.json("lint")["findings"][0]["rule"] == "password-in-unit"
    assert world.json("lint", "--fail-on", "warning", status=65)["error"]["class"] == "lint"
    world.run("lint", "--fail-on", "never")
    text = world.run("lint").stdout
    assert text == (
        f"warning: {SHARE}/a.image:4: Use AuthFile=, with a file outside the image."
        " [password-in-unit]\n"
    )
    assert json.loads(world.run("lint", "--format", "sarif").stdout)["version"] == "2.1.0"


def test_every_boolean_key_is_one_that_a_section_has():
    from bound_images.units.keys import SECTION_KEYS

    assert frozenset().union(*SECTION_KEYS.values()) >= BOOLEAN_KEYS


def test_a_generator_that_drops_or_renames_is_found(world):
    from bound_images.units.quadlet import images_of
    from bound_images.units.scan import EntryReader

    world.bind("a.image", GOOD_IMAGE)
    unit, library = EntryReader(Root(world.root)).unit_of_entry("a.image")
    uses = images_of(unit, library)
    assert [f.rule for f in differences(unit, uses, {})] == ["generator-refuses"]
    same = {"a.image": f"SourcePath=/x/a.image\nExecStart=podman image pull quay.io/a@{D}\n"}
    assert list(differences(unit, uses, same)) == []
    other = {"a.image": "SourcePath=/x/a.image\nExecStart=podman image pull quay.io/other:1\n"}
    assert [f.rule for f in differences(unit, uses, other)] == ["generator-differs"]


@pytest.mark.skipif(find_generator() is None, reason="podman's generator is not installed")
def test_the_generator_agrees_about_good_units_and_its_refusal_is_found(world):
    world.bind("a.image", GOOD_IMAGE)
    world.bind("a.container", "[Container]\nImage=a.image\n" + GOOD_CONTAINER.partition("\n")[2])
    assert lint(Root(world.root), generator=find_generator()) == ()
    world.bind("b.container", GOOD_CONTAINER + "[Service]\nKillMode=process\n")
    found = lint(Root(world.root), generator=find_generator())
    assert [(f.rule, f.path) for f in found] == [("generator-refuses", f"{SHARE}/b.container")]
