"""One image is made of the commits of its layers, and what is worth telling of them is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from support.handmade import digest_named, ends_at, image_metadata

from bootc_orch.model.gvariant import Commit
from bootc_orch.model.image.layout import classify
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.ops.importing.assemble import commit_image, describe, merge_layers
from bootc_orch.ops.importing.layer import ImportedLayer, layer_commit
from bootc_orch.ops.importing.staging import open_staging
from bootc_orch.ops.opening.pull_plan import LayerAction, LayerPlan, OpenedImage, PullPlan
from bootc_orch.stream.layer_report import LayerReport
from bootc_orch.stream.trees import Trees


@pytest.fixture
def staging(made):
    with open_staging(made.repo) as opened:
        yield opened


def plan_of(names, commits, labels=None):
    """A plan for an image of layers called *names*, of which *commits* are there."""
    texts = image_metadata(names, labels)
    manifest = Manifest.parse(texts["ostree.manifest"].encode())
    config = ImageConfig.parse(texts["ostree.container.image-config"].encode())
    layers = classify(manifest, config)
    image = OpenedImage(digest_named("image"), manifest, config, layers)
    plans = [
        LayerPlan(layer, LayerAction.PRESENT if commit else LayerAction.FETCH, commit)
        for layer, commit in zip(layers, commits, strict=True)
    ]
    return PullPlan(image, tuple(plans))


def test_layers_that_were_there_and_layers_that_came_make_one_tree(made, staging):
    base = made.base("base", {"usr": {"a": b"1"}})
    layer = made.layer("layer", {"usr": {"b": b"2"}})
    plan = plan_of(["base", "layer"], [base, None], ends_at("base"))
    imported = {digest_named("layer"): ImportedLayer(layer, LayerReport())}
    flat = merge_layers(plan, imported, staging)
    assert flat.layers == {digest_named("base"): base, digest_named("layer"): layer}
    assert flat.merged.root.tree.hex() == made.tree({"usr": {"a": b"1", "b": b"2"}})
    assert flat.trees.store is staging.store


def test_the_merge_commit_records_the_image_and_its_base(made, staging):
    base = made.base("base", {"usr": {"a": b"1"}})
    plan = plan_of(["base"], [base], ends_at("base"))
    commit = commit_image(merge_layers(plan, {}, staging), "importer/1")
    head = Trees(staging.store).store.metadata(commit, "commit")

    found = Commit.decode(head)
    assert (found.parent, found.timestamp) == (base, 1735787045)
    assert [(key, value.as_string()) for key, value in found.metadata] == [
        ("ostree.container.image-config", plan.image.config.canonical()),
        ("ostree.importer.version", "importer/1"),
        ("ostree.manifest", plan.image.manifest.canonical()),
        ("ostree.manifest-digest", str(digest_named("image"))),
    ]
    assert not made.repo.has_commit(commit)


def test_without_a_base_the_merge_commit_has_no_parent(made, staging):
    plan = plan_of(["layer"], [made.layer("layer", {"usr": {"a": b"1"}})])
    commit = commit_image(merge_layers(plan, {}, staging), "importer/1")

    assert Commit.decode(staging.store.metadata(commit, "commit")).parent is None


def test_equal_layers_have_equal_commits(made):
    trees = Trees(made.store)
    root = trees.commit_root(made.commit({"usr": {"a": b"1"}}))
    assert layer_commit(trees, root, "x") == layer_commit(trees, root, "x")
    assert layer_commit(trees, root, "x") != layer_commit(trees, root, "y")


def warnings_of(made, staging, report, unchanged=()):

    plan = plan_of(["layer"], [made.layer("layer", {"usr": {"a": b"1"}})])
    flat = merge_layers(plan, {}, staging)
    flat = replace(flat, merged=replace(flat.merged, unchanged=tuple(unchanged)))
    return describe({digest_named("layer"): ImportedLayer("", report)}, flat)


def test_nothing_worth_telling_is_nothing_told(made, staging):
    assert warnings_of(made, staging, LayerReport()) == ()
    assert warnings_of(made, staging, None) == ()


def test_what_was_left_out_is_told_with_examples(made, staging):
    report = LayerReport(Counter({"opt": 5, "run": 1}), {"opt": ["opt/a", "opt/b"], "run": ["x"]})
    assert warnings_of(made, staging, report) == (
        "Image contains non-ostree compatible file paths: opt: 5 run: 1",
        "Left out (opt): opt/a, opt/b and 3 more",
        "Left out (run): x",
    )


@pytest.mark.parametrize(("count", "tail"), [(5, "/d4"), (7, "/d4 and 2 more")])
def test_directories_without_effect_are_told_a_few_of_them(made, staging, count, tail):
    (told,) = warnings_of(made, staging, LayerReport(), [f"/d{n}" for n in range(count)])
    assert told.endswith(f"no effect: /d0, /d1, /d2, /d3, {tail}")


def test_dropped_labels_and_moved_content_are_told(made, staging, caplog):
    caplog.set_level("INFO")
    report = LayerReport(dropped_labels=2, privileged=3, moved_var=True)
    labels, moved = warnings_of(made, staging, report)
    assert labels.startswith("Layers bring 2 SELinux labels")
    assert moved.startswith("Content of /var was moved to /usr/share/factory/var")
    assert "3 files with the setuid or setgid bit" in caplog.text
