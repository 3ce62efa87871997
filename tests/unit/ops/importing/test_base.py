"""Derived layers wait for the base, and only for as much of it as they depend on."""

from __future__ import annotations

import threading

import pytest
from support.handmade import digest_named

from bootc_orch.model.image.layout import Compression, LayerKind, PlannedLayer
from bootc_orch.model.image.manifest import Descriptor
from bootc_orch.ops.importing.base import BaseArrival, LayerRules, keeps_var, read_rules
from bootc_orch.ops.importing.crew import Cancelled
from bootc_orch.ops.opening.pull_plan import LayerAction, LayerPlan, PullPlan, VarContent
from bootc_orch.stream.paths import PathRules
from bootc_orch.stream.trees import Trees

RULES = LayerRules(PathRules(allow_nonusr=False, keep_var=True), None)
CONF = b"[composefs]\nenabled=yes\n"
COMPOSEFS = {"usr": {"lib": {"ostree": {"prepare-root.conf": CONF}}}}


def layer(index, kind, commit=None):
    digest = digest_named(f"layer {index}")
    planned = PlannedLayer(index, Descriptor("", digest, 10), digest, kind, Compression.NONE)
    action = LayerAction.FETCH if commit is None else LayerAction.PRESENT
    return LayerPlan(planned, action, commit)


def plan_of(*layers):
    return PullPlan(image=None, layers=layers)


@pytest.fixture
def trees(made):
    return Trees(made.store)


def rules_in_a_thread(base):
    found = []

    def ask():
        try:
            found.append(base.wait_for_rules())
        except Cancelled:
            found.append("cancelled")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread, found


def test_without_a_base_nothing_is_waited_for(trees):
    roots = []
    plan = plan_of(layer(0, LayerKind.DERIVED))
    with BaseArrival(plan, trees, lambda root: roots.append(root) or RULES) as base:
        assert base.wait_for_rules() is RULES
        assert base.wait_for_rules() is RULES
    assert roots == [None]  # and read once


def test_a_base_that_is_there_is_not_waited_for(made, trees):
    commit = made.commit(COMPOSEFS)
    plan = plan_of(layer(0, LayerKind.COMMIT, commit), layer(1, LayerKind.DERIVED))
    roots = []
    with BaseArrival(plan, trees, lambda root: roots.append(root) or RULES) as base:
        assert base.wait_for_rules() is RULES
    assert roots == [trees.commit_root(commit)]


def test_the_commit_layer_is_enough_once_the_files_that_rule_are_there(made, trees):
    commit = made.commit(COMPOSEFS)
    plan = plan_of(
        layer(0, LayerKind.COMMIT), layer(1, LayerKind.CHUNK), layer(2, LayerKind.DERIVED)
    )
    with BaseArrival(plan, trees, lambda _: RULES) as base:
        thread, found = rules_in_a_thread(base)
        thread.join(0.1)
        assert found == []
        base.note_layer(commit, LayerKind.COMMIT)
        thread.join(10)
        assert found == [RULES]


def test_a_file_that_rules_and_is_still_to_come_is_waited_for(made, trees):
    commit = made.commit(COMPOSEFS)
    conf = made.object(f"{made.file(CONF)}.file")
    content = conf.read_bytes()
    conf.unlink()
    plan = plan_of(
        layer(0, LayerKind.COMMIT), layer(1, LayerKind.CHUNK), layer(2, LayerKind.DERIVED)
    )
    with BaseArrival(plan, trees, lambda _: RULES) as base:
        base.note_layer(commit, LayerKind.COMMIT)
        thread, found = rules_in_a_thread(base)
        thread.join(0.1)
        assert found == []
        conf.write_bytes(content)
        base.note_layer("", LayerKind.CHUNK)
        thread.join(10)
        assert found == [RULES]


def test_who_waits_for_what_never_comes_is_told(trees):
    plan = plan_of(layer(0, LayerKind.COMMIT), layer(1, LayerKind.DERIVED))
    with BaseArrival(plan, trees, lambda _: RULES) as base:
        thread, found = rules_in_a_thread(base)
        base.cancel()
        thread.join(10)
    assert found == ["cancelled"]


def test_the_policy_is_released_when_no_layer_needs_it_any_more(made, trees):
    class Labeler:
        released = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.released += 1

    labeler = Labeler()
    plan = plan_of(layer(0, LayerKind.COMMIT, made.commit(COMPOSEFS)))
    with BaseArrival(plan, trees, lambda _: LayerRules(RULES.paths, labeler)) as base:
        base.wait_for_rules()
        base.wait_for_rules()
        assert labeler.released == 0
    assert labeler.released == 1


@pytest.mark.parametrize(
    ("tree", "paths"),
    [
        pytest.param(None, PathRules(allow_nonusr=True, keep_var=True), id="no base"),
        pytest.param({"usr": {}}, PathRules(allow_nonusr=False, keep_var=True), id="plain"),
        pytest.param(COMPOSEFS, PathRules(allow_nonusr=True, keep_var=True), id="composefs"),
    ],
)
def test_the_base_says_which_paths_of_derived_layers_are_kept(made, trees, tmp_path, tree, paths):
    root = None if tree is None else trees.commit_root(made.commit(tree))
    rules = read_rules(trees, root, var_content=VarContent.KEEP, directory=tmp_path)
    assert rules == LayerRules(paths, None)


@pytest.mark.parametrize(
    ("choice", "kept"),
    [(VarContent.KEEP, True), (VarContent.FACTORY, False), (VarContent.AUTO, True)],
)
@pytest.mark.usefixtures("scripted")
def test_var_is_kept_as_is_asked_or_as_the_version_of_ostree_does(choice, kept):
    assert keeps_var(choice) is kept


def test_an_older_ostree_does_not_fill_var(scripted):
    script = scripted.bin / "ostree"
    script.write_text('#!/bin/sh\necho "libostree:"; echo " Version: \'2024.2\'"\n')
    assert keeps_var(VarContent.AUTO) is False
