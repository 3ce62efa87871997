"""The commands on a repository that bootc made, and on one that our own pulls made."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest
from support.cli import PROGRAM, bootc_orch
from support.images import FIXTURES, golden, layout_of, manifest_digest_of, manifest_of
from support.ociwriter import ImageWriter, gzipped
from support.ostree import init_repo, ostree, refs, show, verify_state

from bootc_orch.model.digest import Digest
from bootc_orch.model.image.refs import blob_ref
from bootc_orch.tools.ostree.repo import Repo

pytestmark = pytest.mark.root

NAMES = ("base", "derived", "derived-multi")
BASE, DERIVED, MULTI = (f"oci:/var/tmp/{name}" for name in NAMES)
NBSP = "\u00a0"


@pytest.fixture
def bootcs(tmp_path: Path) -> Path:
    """A copy of a repository as bootc left it, with three images."""
    path = tmp_path / "bootc"
    path.mkdir()
    archive = FIXTURES / "repos/bootc-bare.tar.zst"
    subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-C", path, "-xf", archive], check=True
    )
    return path


def unverified(layout: Path) -> str:
    return f"ostree-unverified-image:oci:{layout}"


def layers_of(name: str) -> list[str]:
    return [layer["digest"] for layer in manifest_of(name)["layers"]]


def image_refs(repo: Path) -> list[str]:
    return bootc_orch("image", "list", "--repo", repo).lines


# What bootc stored


def test_list_prints_one_reference_a_line(bootcs):
    assert image_refs(bootcs) == [BASE, DERIVED, MULTI]


def test_list_as_json_has_the_pinned_keys(bootcs):
    document = bootc_orch("image", "list", "--repo", bootcs, "--json").json
    assert list(document) == ["version", "images"]
    assert document["version"] == 1
    assert document["images"][1] == {
        "reference": DERIVED,
        "commit": golden("derived").merge_commit,
        "manifest_digest": manifest_digest_of("derived"),
        "image_version": "42.1",
        "created": "2025-01-01T00:00:00Z",
        "size": sum(layer["size"] for layer in manifest_of("derived")["layers"]),
        "layers": 10,
    }


def test_inspect_shows_manifest_config_labels_and_layers(bootcs):
    image = bootc_orch("image", "inspect", "--repo", bootcs, DERIVED, "--json").json["image"]
    assert image["base_commit"] == golden("derived").merge_parent
    assert image["importer"] == "0.15.3"
    assert image["labels"]["containers.bootc"] == "1"
    assert [layer["digest"] for layer in image["layers"]] == layers_of("derived")
    assert [layer["kind"] for layer in image["layers"]] == ["commit", *["chunk"] * 8, "derived"]
    blobs = golden("derived").blobs
    for layer in image["layers"]:
        assert layer["commit"] == refs(bootcs)[blob_ref(Digest.parse(layer["digest"]))]
    assert len(blobs) == 10
    assert image["manifest"]["layers"] == manifest_of("derived")["layers"]
    assert image["config"]["architecture"] == "amd64"
    lines = bootc_orch("image", "inspect", "--repo", bootcs, DERIVED).lines
    assert f"Size:          201.1{NBSP}kB in 10 layers" in lines


def test_history_pairs_layers_with_what_made_them(bootcs):
    lines = bootc_orch("image", "history", "--repo", bootcs, DERIVED).lines
    assert lines[0].split() == ["ID", "SIZE", "CREATED", "BY"]
    assert len(lines) == 11
    assert lines[-1].endswith("998 bytes  /bin/sh -c step-0")
    history = bootc_orch("image", "history", "--repo", bootcs, DERIVED, "--json").json["history"]
    assert [entry["digest"] for entry in history] == layers_of("derived")
    assert history[-1]["created_by"] == "/bin/sh -c step-0"


@pytest.mark.parametrize(
    ("options", "key"),
    [((), "ostree.manifest"), (("--config",), "ostree.container.image-config")],
)
def test_metadata_is_what_the_commit_records_to_the_byte(bootcs, options, key):
    recorded = Repo(bootcs).commit(golden("derived").merge_commit).text(key)
    printed = bootc_orch("image", "metadata", "--repo", bootcs, *options, DERIVED).stdout
    assert printed == f"{recorded}\n"
    noun = "config" if options else "manifest"
    document = bootc_orch("image", "metadata", "--repo", bootcs, *options, DERIVED, "--json").json
    assert document == {"version": 1, noun: json.loads(printed)}


def test_layers_tell_kind_sizes_and_users(bootcs):
    layers = bootc_orch("layers", "--repo", bootcs, "--json").json["layers"]
    assert {layer["digest"] for layer in layers} == {
        digest for name in NAMES for digest in layers_of(name)
    }
    by_digest = {layer["digest"]: layer for layer in layers}
    derived = by_digest[layers_of("derived")[-1]]
    assert (derived["kind"], derived["compressed_size"]) == ("derived", 998)
    assert derived["images"] == [DERIVED, MULTI]
    assert layers == sorted(layers, key=lambda layer: (-layer["size"], layer["digest"]))
    lines = bootc_orch("layers", "--repo", bootcs).lines
    assert lines[0].split() == ["LAYER", "KIND", "SIZE", "COMPRESSED", "IMAGES"]
    assert len(lines) == 1 + len(layers)


def test_du_adds_up_to_what_is_on_the_disk(bootcs):
    images = bootc_orch("du", "--repo", bootcs, "--json").json["images"]
    assert [image["reference"] for image in images] == [BASE, DERIVED, MULTI]
    assert all(image["shared"] > image["unique"] > 0 for image in images)
    for image in (DERIVED, BASE):
        bootc_orch("image", "remove", "--repo", bootcs, image)
    [alone] = bootc_orch("du", "--repo", bootcs, "--json").json["images"]
    stored = sum(p.lstat().st_size for p in bootcs.glob("objects/*/*"))
    assert (alone["shared"], alone["unique"]) == (0, stored)


@pytest.mark.parametrize(
    ("target", "kind", "keepers"),
    [
        pytest.param(BASE, "image", [BASE], id="image"),
        pytest.param(layers_of("derived")[-1], "layer", [DERIVED, MULTI], id="layer"),
        pytest.param(golden("derived").merge_commit, "commit", [DERIVED], id="commit"),
    ],
)
def test_explain_names_what_keeps_a_thing_alive(bootcs, target, kind, keepers):
    found = bootc_orch("explain", "--repo", bootcs, target, "--json").json["explain"]
    assert (found["kind"], found["alive"]) == (kind, True)
    assert [k["name"] for k in found["kept_by"] if k["kind"] == "image"] == keepers
    assert f"kept by image {keepers[0]}" in bootc_orch("explain", "--repo", bootcs, target).stdout


@pytest.mark.parametrize("mode", ["bare-user", "archive"])
def test_a_layer_is_as_large_in_every_mode(bootcs, tmp_path, mode):
    """A symbolic link has no content, whatever a mode writes for it."""
    target = init_repo(tmp_path / "copy", mode)
    source = f"ostree-unverified-image:{MULTI}"
    bootc_orch("image", "copy", "--src-repo", bootcs, "--dest-repo", target, source)
    sizes = [
        {
            layer["digest"]: layer["size"]
            for layer in bootc_orch("layers", "--repo", repo, "--json").json["layers"]
            if MULTI in layer["images"]
        }
        for repo in (bootcs, target)
    ]
    assert sizes[0] == sizes[1]


def test_a_removed_image_takes_its_own_layers_and_objects_with_it(bootcs):
    before = refs(bootcs)
    result = bootc_orch("image", "remove", "--repo", bootcs, MULTI)
    assert result.lines == ["Removed images: 1 layers: 3"]
    assert image_refs(bootcs) == [BASE, DERIVED]
    gone = {ref for ref in before if ref not in refs(bootcs)}
    own = [digest for digest in layers_of("derived-multi") if digest not in layers_of("derived")]
    assert gone == {
        golden("derived").image_ref.replace("/img", "/derived-multi"),
        *(blob_ref(Digest.parse(digest)) for digest in own),
    }
    verify_state(bootcs)
    assert "Total objects" in ostree("prune", f"--repo={bootcs}", "--refs-only", "--depth=0")
    assert bootc_orch("gc", "--plan", "--repo", bootcs).lines == ["No content would be pruned."]


def test_with_skip_gc_only_the_ref_goes(bootcs):
    result = bootc_orch("image", "remove", "--repo", bootcs, "--skip-gc", MULTI)
    assert result.lines == ["Removed images: 1"]
    assert len(refs(bootcs)) == 2 + 13
    plan = bootc_orch("gc", "--plan", "--repo", bootcs, "--json").json["plan"]
    assert len(plan["layers"]) == 3
    assert bootc_orch("image", "prune-layers", "--repo", bootcs).lines == ["Removed layers: 3"]
    verify_state(bootcs)


def test_images_that_are_missing_are_listed_after_the_others_were_removed(bootcs):
    result = bootc_orch("image", "remove", "--repo", bootcs, BASE, "oci:/none", DERIVED, status=66)
    assert result.lines == ["Removed images: 2 layers: 0"]
    assert "error: Missing images: oci:/none" in result.stderr
    assert image_refs(bootcs) == [MULTI]
    document = bootc_orch(
        "image", "remove", "--repo", bootcs, "oci:/none", "--json", status=66
    ).json
    assert document["removed"]["images"] == []
    assert document["error"]["class"] == "not-found"


def test_gc_deletes_exactly_what_its_plan_names(bootcs):
    bootc_orch("image", "remove", "--repo", bootcs, "--skip-gc", MULTI, DERIVED)
    before = sum(p.lstat().st_size for p in bootcs.glob("objects/*/*"))
    count = len(list(bootcs.glob("objects/*/*")))
    plan = bootc_orch("gc", "--plan", "--repo", bootcs, "--json").json["plan"]
    assert len(list(bootcs.glob("objects/*/*"))) == count
    removed = bootc_orch("gc", "--repo", bootcs, "--json").json["removed"]
    assert removed == plan
    assert len(list(bootcs.glob("objects/*/*"))) == count - plan["objects"]
    assert before - sum(p.lstat().st_size for p in bootcs.glob("objects/*/*")) == plan["bytes"]
    verify_state(bootcs)


def test_objects_without_a_ref_go_though_no_layer_does(bootcs):
    bootc_orch("gc", "--repo", bootcs)
    before = sorted(path.name for path in bootcs.glob("objects/*/*"))
    layers = bootc_orch("layers", "--repo", bootcs).lines
    tree = f"--tree=ref={golden('derived').merge_parent}"
    ostree("commit", f"--repo={bootcs}", "--no-bindings", tree, "--orphan", "--subject=lost")
    document = bootc_orch("gc", "--repo", bootcs, "--json").json["removed"]
    assert (document["layers"], document["objects"]) == ([], 1)
    assert sorted(path.name for path in bootcs.glob("objects/*/*")) == before
    assert bootc_orch("layers", "--repo", bootcs).lines == layers
    verify_state(bootcs)


def test_a_parent_is_not_kept_for_its_childs_sake(bootcs):
    base = golden("derived").merge_parent
    argv = ("commit", f"--repo={bootcs}", "--no-bindings", f"--tree=ref={base}")
    parent = ostree(*argv, "--orphan", "--subject=old").strip()
    ostree(*argv, "--branch=os/x", f"--parent={parent}", "--subject=new")
    bootc_orch("gc", "--repo", bootcs)
    assert not (bootcs / "objects" / parent[:2] / f"{parent[2:]}.commit").exists()
    verify_state(bootcs)


@pytest.mark.parametrize("root", ["ostree/0/1/0", "ostree/container/baseimage/bootc/0"])
def test_layers_of_a_deployment_outlive_their_image(bootcs, root):
    commit = golden("derived-multi").merge_commit
    ostree("refs", f"--repo={bootcs}", f"--create={root}", commit)
    bootc_orch("image", "remove", "--repo", bootcs, BASE, DERIVED, MULTI)
    assert len(refs(bootcs, "ostree/container/blob")) == 13
    layer = layers_of("derived-multi")[-1]
    [keeper] = bootc_orch("explain", "--repo", bootcs, layer, "--json").json["explain"]["kept_by"]
    assert keeper["name"] == root
    verify_state(bootcs)


def test_undeployed_images_are_pruned_from_a_sysroot(bootcs, tmp_path):
    sysroot = tmp_path / "sysroot"
    deploy = sysroot / "ostree/deploy/os/deploy"
    deploy.mkdir(parents=True)
    (deploy / "a.0.origin").write_text(
        f"[origin]\ncontainer-image-reference=ostree-unverified-image:{BASE}\n"
    )
    shutil.move(bootcs, sysroot / "ostree/repo")
    plan = bootc_orch("image", "prune-images", "--sysroot", sysroot, "--plan", "--json").json
    assert plan["plan"]["images"] == [DERIVED, MULTI]
    full = bootc_orch("image", "prune-images", "--sysroot", sysroot, "--full").lines
    assert full[:2] == ["Removed images: 2", "Removed layers: 4"]
    assert full[2].startswith("Removed objects: ")
    assert full[3].startswith("Freed: ")
    again = bootc_orch("image", "prune-images", "--sysroot", sysroot, "--full").lines
    assert again == ["No content was pruned."]
    assert image_refs(sysroot / "ostree/repo") == [BASE]
    bootc_orch("image", "prune-images", "--sysroot", sysroot, "--full", "--and-layers", status=2)


@pytest.mark.parametrize("mode", ["bare", "bare-user", "archive"])
def test_a_copy_is_the_same_image_in_any_mode(bootcs, tmp_path, mode):
    target = init_repo(tmp_path / "copy", mode)
    argv = ("image", "copy", "--src-repo", bootcs, "--dest-repo", target)
    reference = f"ostree-unverified-image:{MULTI}"
    commit = golden("derived-multi").merge_commit
    assert bootc_orch(*argv, reference).lines == [f"Copied: {MULTI} => {commit}"]
    assert bootc_orch(*argv, reference).lines == [f"No changes in {MULTI} => {commit}"]
    renamed = bootc_orch(*argv, reference, "--target", "oci:/srv/x", "--json").json["copied"]
    assert (renamed["layers"], renamed["changed"]) == ([], True)
    assert image_refs(target) == ["oci:/srv/x", MULTI]
    for ref, blob in golden("derived-multi").blobs.items():
        assert show(target, ref).content == blob["content"]
    verify_state(target)


def test_a_copy_needs_a_repository_that_can_hold_a_system(bootcs, tmp_path):
    target = init_repo(tmp_path / "copy", "bare-user-only")
    argv = ("image", "copy", "--src-repo", bootcs, "--dest-repo", target, MULTI)
    assert "bare-user-only" in bootc_orch(*argv, status=69).stderr
    assert refs(target) == {}


TINY = """
mount -t tmpfs -o size=1500k none "$REPO"
ostree init --mode=bare --repo="$REPO"
ostree config --repo="$REPO" set core.min-free-space-percent 0
exec "$@"
"""
LOCKED_UP = 'mount --bind "$REPO" "$REPO" && mount -o remount,ro,bind "$REPO" && exec "$@"'


def in_a_namespace(script: str) -> list[str]:
    """The prefix that runs a command with mounts of its own, which *script* makes."""
    return ["unshare", "--mount", "sh", "-euc", script, "sh"]


def test_a_full_disk_is_told_with_its_status_d07(bootcs, tmp_path):
    target = tmp_path / "tiny"
    target.mkdir()
    result = bootc_orch(
        "image", "copy", "--src-repo", bootcs, "--dest-repo", target, MULTI, "--json",
        prefix=in_a_namespace(TINY), env={"REPO": str(target)}, status=73,
    )  # fmt: skip
    assert result.json["error"]["class"] == "space"
    assert "No space left on device" in result.json["error"]["details"]


def test_a_repository_that_cannot_be_written_is_told_with_its_status_d14(bootcs):
    where = {"prefix": in_a_namespace(LOCKED_UP), "env": {"REPO": str(bootcs)}}
    result = bootc_orch("gc", "--repo", bootcs, "--json", status=73, **where)
    assert result.json["error"]["class"] == "read-only"
    assert bootc_orch("image", "list", "--repo", bootcs, **where).lines == [BASE, DERIVED, MULTI]
    assert bootc_orch("gc", "--plan", "--repo", bootcs, **where).status == 0


def test_a_damaged_image_is_named_and_the_others_are_usable_d19(bootcs):
    path = bootcs / "refs/heads" / golden("derived").image_ref.replace("/img", "/base")
    path.write_text("garbage")
    before = refs(bootcs, "ostree/container/blob")
    listed = bootc_orch("image", "list", "--repo", bootcs, status=65)
    assert listed.lines == [DERIVED, MULTI]
    assert "var/tmp/base" in listed.stderr
    document = bootc_orch("image", "list", "--repo", bootcs, "--json", status=65).json
    assert [image["reference"] for image in document["images"]] == [DERIVED, MULTI]
    assert document["error"]["class"] == "store-damaged"
    for argv in (("gc",), ("image", "prune-layers"), ("image", "remove", MULTI)):
        assert "damaged" in bootc_orch(*argv, "--repo", bootcs, status=65).stderr
    assert refs(bootcs, "ostree/container/blob") == before
    assert bootc_orch("image", "remove", "--repo", bootcs, BASE).status == 0
    assert image_refs(bootcs) == [DERIVED]


def test_signatures_survive_a_cached_update(bootcs):
    commit = golden("derived").merge_commit
    path = bootcs / "objects" / commit[:2] / f"{commit[2:]}.commitmeta"
    assert bootc_orch("image", "clear-cached-update", "--repo", bootcs, DERIVED).lines == [
        "No cached update."
    ]
    assert not path.exists()


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        pytest.param(["image", "inspect", "oci:/none"], 66, "oci:/none is not stored", id="image"),
        pytest.param(["image", "inspect", "-h"], 0, "", id="s18-help"),
        pytest.param(["image", "inspect", "--", "-h"], 2, "'-h' has no transport", id="s18-dash"),
        pytest.param(["image", "inspect", "quay.io/a"], 2, "has no transport", id="transport"),
        pytest.param(["explain", "0" * 64], 66, "no object 000", id="object"),
        pytest.param(
            ["image", "copy", "--src-repo", "/none", BASE], 2, "Missing option", id="copy"
        ),
    ],
)
def test_what_cannot_be_is_said_with_its_status(bootcs, argv, status, message):
    repo = [] if "copy" in argv else ["--repo", bootcs]
    position = 1 if argv[0] == "explain" else 2
    result = bootc_orch(*argv[:position], *repo, *argv[position:], status=status)
    assert message in result.stderr


def test_a_path_that_is_no_repository_is_not_found(tmp_path):
    result = bootc_orch("image", "list", "--repo", tmp_path, "--json", status=66)
    assert result.json["error"]["class"] == "not-found"
    assert f"hint: Create one with: ostree init --mode=bare --repo={tmp_path}" in result.stderr


def test_ostree_and_its_fsck_do_not_mind_the_lock_file(bootcs):
    bootc_orch("image", "prune-layers", "--repo", bootcs)
    assert (bootcs / ".bootc-orch.lock").exists()
    verify_state(bootcs)


# What we pull


def test_pull_says_what_scripts_read(repo, oci_layout_of, tmp_path):
    target, layout = repo("bare"), oci_layout_of("derived")
    image = unverified(layout)
    first = bootc_orch("image", "pull", target, image, "--ostree-digestfile", tmp_path / "digest")
    commit = (tmp_path / "digest").read_text()
    assert first.lines == [
        f"layers already present: 0; layers needed: 10 (201.1{NBSP}kB)",
        f"Wrote: {image} => {commit}",
    ]
    assert commit in refs(target).values()
    again = bootc_orch("image", "pull", "--repo", target, image)
    assert again.lines == [f"No changes in {image} => {commit}"]
    assert bootc_orch("image", "pull", target, image, "--unchanged-exit-77", status=77).status == 77
    assert bootc_orch("image", "pull", target, image, "--quiet").lines == [
        f"No changes in {image} => {commit}"
    ]


def test_a_plan_changes_nothing_and_names_every_layer(repo, oci_layout_of):
    target, image = repo("bare"), unverified(oci_layout_of("derived"))
    plan = bootc_orch("image", "pull", target, image, "--plan", "--json").json["plan"]
    layers = manifest_of("derived")["layers"]
    assert plan == {
        "manifest_digest": manifest_digest_of("derived"),
        "present": 0,
        "reused": 0,
        "fetch": [{"digest": layer["digest"], "size": layer["size"]} for layer in layers],
        "bytes": sum(layer["size"] for layer in layers),
    }
    assert refs(target) == {}
    bootc_orch("image", "pull", target, image, "--quiet")
    plan = bootc_orch("image", "pull", target, image, "--plan", "--json").json["plan"]
    assert (plan["present"], plan["fetch"], plan["bytes"]) == (10, [], 0)


def test_check_notes_an_update_and_writes_its_manifest(repo, tmp_path):
    target, layout = repo("bare"), tmp_path / "moving"
    layout_of("base", layout)
    image = unverified(layout)
    bootc_orch("image", "pull", target, image, "--quiet")
    commits = refs(target)
    assert (
        bootc_orch("image", "pull", target, image, "--check", tmp_path / "m")
        .lines[0]
        .startswith("No changes in")
    )
    assert not (tmp_path / "m").exists()
    shutil.rmtree(layout)
    layout_of("derived", layout)
    found = bootc_orch("image", "pull", target, image, "--check", tmp_path / "m").lines
    assert found[:4] == [
        f"Total new layers: 10    Size: 201.1{NBSP}kB",
        "Removed layers:   0     Size: 0 bytes",
        "Added layers:     1     Size: 998 bytes",
        "layers already present: 9; layers needed: 1 (998 bytes)",
    ]
    assert json.loads((tmp_path / "m").read_text())["layers"] == manifest_of("derived")["layers"]
    assert refs(target) == commits
    argv = ("--repo", target, f"oci:{layout}")
    seen = bootc_orch("image", "inspect", *argv, "--json").json["image"]["cached_update"]
    assert seen == {"manifest_digest": manifest_digest_of("derived"), "image_version": "42.1"}
    assert bootc_orch("image", "clear-cached-update", *argv, "--json").json["cleared"] is True
    assert bootc_orch("image", "inspect", *argv, "--json").json["image"]["cached_update"] is None


def test_an_image_older_than_the_stored_one_is_warned_of_k11(repo, tmp_path):
    target, layout = repo("bare"), tmp_path / "layout"
    pull = ("image", "pull", target, unverified(layout))
    tar = gzipped(bytes(1024))
    for created, warned in (("2024-06-01", False), ("2024-05-01", True), ("2024-05-02", False)):
        image = ImageWriter(layout, [tar])
        image.config["created"] = f"{created}T00:00:00Z"
        image.write()
        result = bootc_orch(*pull, "--quiet")
        assert ("is older than the version" in result.stderr) is warned
        shutil.rmtree(layout)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--repo", "{repo}", "{repo}", "{image}"], "given twice", id="two-and-repo"),
        pytest.param(["{repo}", "{image}", "more"], "takes a repository and a", id="three"),
        pytest.param(["{repo}"], "does not say who vouches", id="no-reference"),
        pytest.param(["{repo}", "oci:/x"], "does not say who vouches", id="no-signature"),
        pytest.param(["{repo}", "{image}", "--plan", "--check", "f"], "exclude", id="plan-check"),
        pytest.param(
            ["{repo}", "{image}", "--authfile", "f", "--auth-anonymous"], "exclude", id="auth"
        ),
        pytest.param(["{repo}", "{image}", "--progress-fd", "2"], "Invalid value", id="fd-2"),
        pytest.param(["{repo}", "{image}", "--progress-fd", "99"], "is not open", id="fd-closed"),
        pytest.param(["{repo}", "{image}", "--jobs", "0"], "Invalid value", id="jobs"),
    ],
)
def test_a_command_line_that_contradicts_itself_is_refused(repo, words, message):
    target = repo("bare")
    argv = [word.format(repo=target, image="ostree-unverified-image:oci:/x") for word in words]
    assert message in bootc_orch("image", "pull", *argv, status=2).stderr


def test_progress_lines_tell_of_every_layer(repo, oci_layout_of, tmp_path):
    image = unverified(oci_layout_of("derived"))
    with (tmp_path / "events").open("w") as file:
        subprocess.run(
            [PROGRAM, "image", "pull", repo("bare"), image, f"--progress-fd={file.fileno()}"],
            pass_fds=[file.fileno()], check=True, capture_output=True,
        )  # fmt: skip
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert events[0] == {"type": "Start", "version": "0.1.0"}
    done = {
        subtask["id"]
        for event in events[1:]
        for subtask in event["subtasks"]
        if subtask.get("bytes", -1) == subtask.get("bytesTotal")
    }
    assert done >= {digest[: len("sha256:") + 12] for digest in layers_of("derived")}
    assert events[-1]["task"] == "importing"
    assert events[-1]["steps"] == events[-1]["stepsTotal"] == 1


def test_a_reader_of_progress_that_goes_away_does_not_stop_the_pull(repo, oci_layout_of):
    target, image = repo("bare"), unverified(oci_layout_of("derived"))
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [PROGRAM, "image", "pull", target, image, f"--progress-fd={writer}"],
        pass_fds=[writer], check=True, capture_output=True,
    )  # fmt: skip
    os.close(writer)
    assert b"Wrote: " in done.stdout
    verify_state(target)


def on_a_terminal(*argv: str | Path) -> str:
    """Run the program with a terminal of 80 columns, and return what it showed."""
    parent, child = pty.openpty()
    with subprocess.Popen(
        [PROGRAM, *argv],
        stdin=child, stdout=child, stderr=child,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    ) as process:  # fmt: skip
        os.close(child)
        shown = b""
        while True:
            try:
                data = os.read(parent, 65536)
            except OSError:  # the terminal's other end was closed
                break
            shown += data
    os.close(parent)
    assert process.returncode == 0, shown
    return shown.decode()


def test_on_a_terminal_tables_fit_and_progress_is_live(bootcs, repo, oci_layout_of):
    table = on_a_terminal("image", "list", "--repo", bootcs)
    assert "IMAGE" in table
    assert "200.1" in table
    layers = on_a_terminal("layers", "--repo", bootcs).replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert max(len(line) for line in layers.splitlines()) <= 80
    pulled = on_a_terminal("image", "pull", repo("bare"), unverified(oci_layout_of("derived")))
    assert "Fetching" in pulled
    assert "\x1b[?25h" in pulled  # the cursor is back
    assert pulled.splitlines()[-1].count("Wrote: ") == 1


def test_a_terminal_that_goes_away_does_not_end_the_pull_in_a_traceback_p05(repo, oci_layout_of):
    target, image = repo("bare"), unverified(oci_layout_of("derived"))
    argv = [PROGRAM, "image", "pull", target, image]
    with subprocess.Popen(argv, stdout=-1, stderr=subprocess.STDOUT, text=True) as process:
        assert "Opening" in process.stdout.readline()
        process.stdout.close()
    assert process.returncode == 0
    assert refs(target) != {}
    bootc_orch("image", "pull", target, image)
    verify_state(target)


def test_two_readers_may_look_while_a_writer_must_wait(bootcs):
    lock = bootcs / ".bootc-orch.lock"
    lock.touch(mode=0o600)
    with subprocess.Popen(["flock", "--shared", lock, "sleep", "60"]) as holder:
        try:
            while subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 0:
                pass
            bootc_orch("gc", "--plan", "--repo", bootcs)
            argv = ("gc", "--repo", bootcs, "--lock-timeout", "0.3", "--json")
            refused = bootc_orch(*argv, status=75)
            assert refused.json["error"]["class"] == "locked"
            assert "Waiting for the lock" in refused.stderr
            assert f"process {holder.pid} (flock" in refused.stderr
        finally:
            holder.kill()


def test_the_configuration_is_read_and_options_win(bootcs, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("lock_timeout: 0\njob: 1\n")
    refused = bootc_orch("--config", config, "gc", "--repo", bootcs, status=78)
    assert "unknown key 'job'" in refused.stderr
    config.write_text("lock_timeout: 0\n")
    bootc_orch("--config", config, "gc", "--repo", bootcs)


def test_bound_images_is_a_group_of_this_program(tmp_path):
    result = bootc_orch("bound-images", "list", "--root", tmp_path / "none", "--json", status=66)
    assert result.json["error"]["class"] == "not-found"
    assert "Usage: " in bootc_orch("bound-images", "--help").stdout
