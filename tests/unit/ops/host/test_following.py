"""Which image a system follows, and what upgrade, switch and edit make of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.scripted_ostree import IMAGE, OTHER_IMAGE, origin_of

from bootc_orch.model.host.document import BootOrder, HostSpec
from bootc_orch.model.host.kargs import KargsEdit
from bootc_orch.model.image.reference import OstreeImageReference, Transport
from bootc_orch.ops.deploying.wanted import Wanted
from bootc_orch.ops.host.edit import EditPlan, plan_edit
from bootc_orch.ops.host.switch import (
    forget_refspec,
    install_references,
    is_unchanged,
    parse_transport,
    plan_switch,
)
from bootc_orch.ops.host.upgrade import check, followed, plan_upgrade
from bootc_orch.ops.opening.pull_plan import PullOptions
from orch_frame.errors import NotFoundError, OrchError, UsageError
from orch_frame.transfer import TransferOptions

NO_EDIT = KargsEdit()


def reference(text):
    return OstreeImageReference.parse(text)


def followed_by(machine):
    return followed(machine.sysroot, machine.sysroot.deployments())


def test_an_update_follows_what_is_staged_rather_than_what_runs(running):
    assert followed_by(running) == IMAGE
    running.stage(running.image(2), origin=origin_of(OTHER_IMAGE), locked=False)
    assert followed_by(running) == OTHER_IMAGE


@pytest.mark.parametrize(
    ("origin", "complaint"),
    [
        pytest.param(
            "[origin]\nrefspec=debian:stable\n",
            "follows the ostree branch debian:stable, not an image.",
            id="branch",
        ),
        pytest.param("[origin]\n", "follows nothing, not an image.", id="nothing"),
        pytest.param(
            origin_of(IMAGE, "\n[packages]\nrequested=vim;\n"),
            "has packages or overrides of rpm-ostree (packages), which would be lost.",
            id="layered",
        ),
    ],
)
def test_what_follows_no_image_cannot_be_upgraded(machine, origin, complaint):
    made = machine.deploy(machine.image(1), origin=origin)
    with pytest.raises(OrchError) as caught:
        followed_by(machine)
    assert caught.value.summary == f"Deployment {made.name} {complaint}"


def test_an_empty_sysroot_follows_nothing(machine):
    with pytest.raises(NotFoundError) as caught:
        followed_by(machine)
    assert caught.value.hint == "Install one with: bootc-orch install to-filesystem"


def test_an_upgrade_keeps_the_name_and_changes_the_tag_on_request():
    assert plan_upgrade(IMAGE) == Wanted(IMAGE, IMAGE)
    tagged = reference("ostree-unverified-registry:quay.io/test/os:2")
    edit = KargsEdit(append=("quiet",))
    assert plan_upgrade(IMAGE, tag="2", kargs=edit, download_only=True) == Wanted(
        tagged, tagged, kargs=edit, download_only=True
    )
    assert plan_upgrade(IMAGE, from_downloaded=True) == Wanted(IMAGE, IMAGE, from_downloaded=True)


def test_a_look_for_a_newer_version_without_a_network_is_refused(running, told):
    offline = PullOptions(TransferOptions(offline=True))
    with pytest.raises(UsageError) as caught:
        check(running.sysroot, plan_upgrade(IMAGE), offline, told)
    assert caught.value.summary == (
        f"Whether {IMAGE.image} has a newer version cannot be told without asking its source."
    )


def test_an_image_named_by_the_digest_that_is_stored_has_no_newer_version(running, told):
    state = running.repo.commit(running.sysroot.deployments().booted.checksum)
    digest = state.text("ostree.manifest-digest")
    pinned = reference(f"ostree-unverified-registry:quay.io/test/os@{digest}")
    options = PullOptions(target=IMAGE.image)
    assert check(running.sysroot, Wanted(pinned, IMAGE), options, told) is None


@pytest.mark.parametrize(
    ("word", "transport"),
    [("registry", Transport.REGISTRY), ("oci:", Transport.OCI), ("oci", Transport.OCI)],
)
def test_a_transport_is_read_with_and_without_its_colon(word, transport):
    assert parse_transport(word) is transport


def test_a_transport_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError) as caught:
        parse_transport("carrier-pigeon")
    assert caught.value.summary == "'carrier-pigeon' is not a transport."
    assert caught.value.hint.startswith("Known are: registry, ")


@pytest.mark.parametrize(
    ("policy", "target"),
    [
        (False, "ostree-unverified-registry:quay.io/a/b:1"),
        (True, "ostree-image-signed:docker://quay.io/a/b:1"),
    ],
)
def test_a_switch_follows_the_name_and_who_vouches_for_it(policy, target):
    wanted = plan_switch(
        "quay.io/a/b:1", transport=Transport.REGISTRY, enforce_policy=policy, kargs=NO_EDIT
    )
    assert wanted == Wanted(reference(target), reference(target))


@pytest.mark.parametrize(
    ("source", "target", "followed"),
    [
        pytest.param(
            "containers-storage:localhost/os:1", None, "docker://localhost/os:1", id="storage"
        ),
        pytest.param("docker://quay.io/a/b:1", None, "docker://quay.io/a/b:1", id="registry"),
        pytest.param("oci:/srv/os", "quay.io/a/b:2", "docker://quay.io/a/b:2", id="another-target"),
    ],
)
def test_an_installed_system_follows_the_registry_that_its_image_is_of(source, target, followed):
    found, following = install_references(source, target, "registry", enforce_policy=False)
    assert (str(found.image), str(following.image)) == (source, followed)


def test_a_switch_to_what_is_followed_already_is_unchanged(running):
    current = running.sysroot.deployments().booted
    assert is_unchanged(Wanted(IMAGE, IMAGE), current)
    assert not is_unchanged(Wanted(IMAGE, OTHER_IMAGE), current)


@pytest.mark.parametrize(
    ("origin", "deleted"),
    [
        pytest.param(
            "[origin]\nrefspec=debian:stable\n", [("--delete", "--", "debian:stable")], id="branch"
        ),
        pytest.param(origin_of(IMAGE), [], id="image"),
    ],
)
def test_only_a_branch_that_was_followed_is_forgotten(machine, told, origin, deleted):
    forget_refspec(machine.sysroot, machine.deploy(machine.image(1), origin=origin), told)
    assert machine.ran("ostree", "refs") == deleted
    assert told.events == []


def test_a_branch_that_cannot_be_forgotten_is_a_warning(machine, told):
    machine.failing["ostree", "refs"] = (1, "error: why")
    previous = machine.deploy(machine.image(1), origin="[origin]\nrefspec=debian:stable\n")
    forget_refspec(machine.sysroot, previous, told)
    assert told.events == [("warning", "The branch debian:stable could not be deleted: error: why")]


OLD = HostSpec(IMAGE)


@pytest.mark.parametrize(
    ("new", "plan", "anything"),
    [
        pytest.param(OLD, EditPlan(), False, id="nothing"),
        pytest.param(HostSpec(OTHER_IMAGE), EditPlan(image=OTHER_IMAGE), True, id="image"),
        pytest.param(
            replace(OLD, boot_order=BootOrder.ROLLBACK), EditPlan(swap=True), True, id="order"
        ),
    ],
)
def test_an_edit_asks_for_another_image_or_another_order(new, plan, anything):
    assert plan_edit(OLD, new) == plan
    assert bool(plan) is anything


@pytest.mark.parametrize(
    ("new", "complaint"),
    [
        pytest.param(HostSpec(None), "spec.image cannot be removed.", id="removed"),
        pytest.param(
            HostSpec(OTHER_IMAGE, BootOrder.ROLLBACK),
            "Either spec.image or spec.bootOrder may be changed, not both at once.",
            id="both",
        ),
    ],
)
def test_an_edit_that_cannot_be_followed_is_refused(new, complaint):
    with pytest.raises(UsageError) as caught:
        plan_edit(OLD, new)
    assert caught.value.summary == complaint
