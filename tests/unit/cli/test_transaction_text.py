"""What is printed of a transaction: its plan, what was found, and what was done."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.handmade import digest_named, image_metadata

from bootc_orch.cli.host.transactions import say_transaction
from bootc_orch.cli.terminal.transaction_plan import UNKNOWN, say_transaction_plan
from bootc_orch.model.image.layout import classify
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.model.packages.package import PackageDifference, PackageManager
from bootc_orch.ops.deploying.bound import PlannedApp
from bootc_orch.ops.deploying.wanted import Outcome, Wanted
from bootc_orch.ops.difference.package_databases import ManagedPackages
from bootc_orch.ops.difference.root_difference import RootDifference, System
from bootc_orch.ops.difference.tree_difference import TreeDifference
from bootc_orch.ops.host.transaction import Result
from bootc_orch.ops.host.transaction_plan import Space, TransactionPlan
from bootc_orch.ops.opening.pull_plan import LayerAction, LayerPlan, OpenedImage, PullPlan
from bootc_orch.ops.stored.store import ImageState
from orch_frame import output

IMAGE = OstreeImageReference.parse("ostree-unverified-registry:quay.io/a/b:1")
SIGNED = OstreeImageReference.parse("ostree-image-signed:docker://quay.io/a/b:1")
DIGEST = digest_named("manifest one two three")
SPACE = {"root": Space(2000, 5_000_000), "boot": Space(None, 1)}
PREVIEW = RootDifference(
    old=System(f"{'a' * 64}.0", "1", "6.1"),
    new=System(None, "2", "6.1"),
    added_kargs=("quiet",),
    removed_kargs=(),
    packages=(
        ManagedPackages(PackageManager.DPKG, "var/lib/dpkg/status", None, PackageDifference()),
    ),
    files=TreeDifference(added=("/usr/new",), removed=(), changed=()),
)


@pytest.fixture(autouse=True)
def _fresh_output():
    output.reset()


def opened(*layers):
    texts = image_metadata(layers, {"org.opencontainers.image.version": "2"})
    manifest = Manifest.parse(texts["ostree.manifest"].encode())
    config = ImageConfig.parse(texts["ostree.container.image-config"].encode())
    return OpenedImage(DIGEST, manifest, config, classify(manifest, config))


def pull_plan():
    """One layer of three is there, one is known by its content, one has to come."""
    image = opened("one", "two", "three")
    actions = (LayerAction.PRESENT, LayerAction.REUSE, LayerAction.FETCH)
    pairs = zip(image.layers, actions, strict=True)
    return PullPlan(image, tuple(LayerPlan(layer, action) for layer, action in pairs))


def lines_of(capsys, plan, **options):
    say_transaction_plan(plan, **options)
    return capsys.readouterr().out.splitlines()


def plan_of(**parts):
    return replace(TransactionPlan(Wanted(IMAGE, IMAGE), host=None, apps=(), **SPACE), **parts)


def test_a_plan_names_what_would_be_fetched_and_what_is_still_unknown(capsys):
    assert lines_of(capsys, plan_of(host=pull_plan(), apps=None)) == [
        "layers already present: 2; layers needed: 1 (100 bytes)",
        f"Would fetch: {digest_named('three')} (100 bytes)",
        "Would queue for next boot: quay.io/a/b:1",
        UNKNOWN,
        "Space on root: 2.0\u00a0kB needed, 5.0\u00a0MB free",
        "Space on boot: unknown needed, 1 byte free",
    ]


def test_a_plan_with_nothing_to_fetch_names_the_app_images_and_how_to_compare(capsys):
    apps = (PlannedApp("quay.io/app:1", "fetch", 3000), PlannedApp("quay.io/app:2", "keep", 0))
    wanted = Wanted(SIGNED, SIGNED)
    found = lines_of(capsys, plan_of(wanted=wanted, apps=apps), headline="Would install")
    assert found[:-2] == [
        "Would install: ostree-image-signed:docker://quay.io/a/b:1",
        "Packages and files: compared by --plan --diff",
        "Bound image: quay.io/app:1: fetch (3.0\u00a0kB)",
        "Bound image: quay.io/app:2: keep (0 bytes)",
    ]


def test_a_plan_says_that_the_image_boots_next_already(capsys):
    found = lines_of(capsys, plan_of(deployed=True))
    assert found[0] == "No changes in: docker://quay.io/a/b:1"


def test_a_preview_says_what_it_fetched_and_what_would_change(capsys):
    found = lines_of(capsys, plan_of(fetched=pull_plan(), difference=PREVIEW))
    assert found == [
        "Would queue for next boot: quay.io/a/b:1",
        "Fetched, not deployed: 100 bytes; gc removes it if nothing deploys it",
        "Compared with: version 1 (deployment aaaaaaaaaaaa.0)",
        "Version: 1 -> 2",
        "Kernel: 6.1, unchanged",
        "Kernel arguments: +quiet",
        "Packages (dpkg): unchanged (the new system has no such database)",
        "Files and directories: 1 added",
        "Space on root: 2.0\u00a0kB needed, 5.0\u00a0MB free",
        "Space on boot: unknown needed, 1 byte free",
    ]


def document_of(capsys, plan):
    output.mode.json = True
    say_transaction_plan(plan)
    return json.loads(capsys.readouterr().out)


def test_a_plan_for_programs_has_the_layers_and_leaves_unknown_what_is_unknown(capsys):
    assert document_of(capsys, plan_of(host=pull_plan(), apps=None)) == {
        "version": 1,
        "plan": {
            "manifest_digest": str(DIGEST),
            "present": 1,
            "reused": 1,
            "fetch": [{"digest": str(digest_named("three")), "size": 100}],
            "bytes": 100,
            "reference": "ostree-unverified-registry:quay.io/a/b:1",
            "deployed": False,
            "bound_images": None,
            "fetched": None,
            "difference": None,
            "space": {
                "root": {"needed": 2000, "free": 5_000_000},
                "boot": {"needed": None, "free": 1},
            },
        },
    }


def test_a_preview_for_programs_has_what_it_fetched_and_every_difference(capsys):
    apps = (PlannedApp("quay.io/app:1", "fetch", 3000),)
    plan = document_of(capsys, plan_of(apps=apps, difference=PREVIEW))["plan"]
    assert (plan["present"], plan["fetch"], plan["bytes"]) == (None, [], 0)
    assert plan["bound_images"] == [{"reference": "quay.io/app:1", "action": "fetch", "size": 3000}]
    assert plan["fetched"] == []
    assert plan["difference"]["files"] == {"added": ["/usr/new"], "removed": [], "changed": []}
    fetched = document_of(capsys, plan_of(fetched=pull_plan(), difference=PREVIEW))["plan"]
    assert fetched["fetched"] == [{"digest": str(digest_named("three")), "size": 100}]


def result(outcome, version="2", deployment=None):
    image = opened("one")
    labels = {"org.opencontainers.image.version": version} if version else {}
    config = ImageConfig.parse(
        image_metadata(["one"], labels)["ostree.container.image-config"].encode()
    )
    state = ImageState("c" * 64, None, DIGEST, image.manifest, config, None, None)
    return Result(outcome, IMAGE, state, deployment)


@pytest.mark.parametrize(
    ("done", "lines"),
    [
        pytest.param(
            result(Outcome.UNCHANGED),
            [f"No changes in docker://quay.io/a/b:1 => {DIGEST}", "No update available."],
            id="unchanged",
        ),
        pytest.param(
            result(Outcome.ALREADY_STAGED),
            ["Staged update present, not changed"],
            id="already-staged",
        ),
        pytest.param(
            result(Outcome.DOWNLOADED),
            ["Downloaded, not staged: quay.io/a/b:1", "  Version: 2", f"  Digest: {DIGEST}"],
            id="downloaded",
        ),
        pytest.param(
            result(Outcome.QUEUED, version=None),
            ["Queued for next boot: quay.io/a/b:1", f"  Digest: {DIGEST}"],
            id="queued",
        ),
    ],
)
def test_what_a_transaction_did_is_said_in_bootcs_words(capsys, done, lines):
    say_transaction(done)
    assert capsys.readouterr().out.splitlines() == lines


def test_what_a_transaction_did_is_told_to_programs(capsys):
    output.mode.json = True
    say_transaction(result(Outcome.ALREADY_STAGED))
    assert json.loads(capsys.readouterr().out) == {
        "version": 1,
        "transaction": {
            "outcome": "already_staged",
            "reference": "ostree-unverified-registry:quay.io/a/b:1",
            "commit": "c" * 64,
            "manifest_digest": str(DIGEST),
            "version": "2",
            "deployment": None,
            "staged": False,
        },
    }
