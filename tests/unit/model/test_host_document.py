from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bootc_orch.model.host.document import (
    BootOrder,
    EntryStatus,
    Host,
    HostSpec,
    ImageStatus,
    UsrOverlay,
    canonical_json,
    parse_edited_host,
)
from bootc_orch.model.host.progress_v0 import (
    ByteProgress,
    ByteSubtask,
    StepProgress,
    StepSubtask,
    line,
    start_line,
)
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.ops.host.edit import EditPlan, plan_edit
from orch_frame.errors import UsageError

SCHEMAS = Path(__file__).parents[2] / "schemas"
DIGEST = "sha256:" + "a" * 64
REFERENCES = (
    "ostree-unverified-registry:quay.io/a/b:1",
    "ostree-image-signed:docker://quay.io/a/b:1",
    "ostree-remote-image:fedora:docker://quay.io/a/b:1",
    "ostree-unverified-image:oci:/srv/os:1",
)


def image(text: str = REFERENCES[0]) -> ImageStatus:
    reference = OstreeImageReference.parse(text)
    return ImageStatus(reference, DIGEST, "amd64", "1", "2026-01-02T03:04:05Z")


def entry(**changes: object) -> EntryStatus:
    return EntryStatus("b" * 64, 0, "default", **{"image": image(), **changes})  # type: ignore[arg-type]


HOSTS = {
    "nothing": Host(HostSpec()),
    "one": Host(HostSpec(image().image), booted=entry()),
    "staged": Host(HostSpec(image().image), booted=entry(), staged=entry(download_only=True)),
    "rollback": Host(
        HostSpec(image().image, BootOrder.ROLLBACK),
        booted=entry(),
        rollback=entry(),
        rollback_queued=True,
    ),
    "pinned": Host(HostSpec(image().image), booted=entry(), others=(entry(pinned=True),)),
    "plain-ostree": Host(HostSpec(), booted=entry(image=None, refspec="r:b")),
    "incompatible": Host(HostSpec(), booted=entry(image=None, incompatible=True)),
    "overlay": Host(HostSpec(), booted=entry(), usr_overlay=UsrOverlay("readWrite", "transient")),
    "bound": Host(HostSpec(), booted=entry(bound_images=({"image": "a"},), cached_update=image())),
    **{
        reference: Host(HostSpec(image(reference).image), booted=entry(image=image(reference)))
        for reference in REFERENCES
    },
}


def validate(name: str, document: object) -> None:
    schema = json.loads((SCHEMAS / name).read_text())
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    validator.validate(document)


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_every_state_of_a_host_is_a_valid_document(host):
    validate("host-v1.json", host.to_json())


@pytest.mark.parametrize("key", ["apiVersion", "kind"])
def test_the_schema_demands_what_identifies_the_document(key):
    document = HOSTS["one"].to_json()
    del document[key]
    with pytest.raises(jsonschema.ValidationError):
        validate("host-v1.json", document)


def test_only_a_host_that_follows_an_image_has_a_type():
    assert HOSTS["one"].to_json()["status"]["type"] == "bootcHost"
    assert HOSTS["plain-ostree"].to_json()["status"]["type"] is None


def test_other_deployments_are_left_out_where_there_are_none():
    assert "otherDeployments" not in HOSTS["one"].to_json()["status"]


def test_json_is_canonical():
    text = canonical_json(HOSTS["one"].to_json())
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def test_an_edited_document_gives_the_specification_that_it_shows():
    for host in HOSTS.values():
        assert parse_edited_host(host.to_json()) == host.spec


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"apiVersion": "v2", "kind": "BootcHost", "spec": {}},
        {"apiVersion": "org.containers.bootc/v1", "kind": "BootcHost", "spec": []},
        {"apiVersion": "org.containers.bootc/v1", "kind": "BootcHost", "spec": {"imge": {}}},
        {"apiVersion": "org.containers.bootc/v1", "kind": "BootcHost", "spec": {"a": 1, 1: "a"}},
        {"apiVersion": "org.containers.bootc/v1", "kind": "BootcHost", "spec": {"image": "x"}},
        {"apiVersion": "org.containers.bootc/v1", "kind": "BootcHost", "spec": {"bootOrder": "x"}},
    ],
)
def test_what_is_no_host_document_is_refused(document):
    with pytest.raises(UsageError):
        parse_edited_host(document)


def test_a_key_of_another_schema_that_asks_for_nothing_is_passed_over():
    host = HOSTS["one"]
    document = host.to_json()
    document["spec"]["newer"] = None
    assert parse_edited_host(document) == host.spec
    document["spec"]["newer"] = "required"
    with pytest.raises(UsageError, match="unknown key 'newer'"):
        parse_edited_host(document)


def test_an_edit_changes_the_image_or_the_order_but_not_both():
    old = HostSpec(image().image)
    other = image(REFERENCES[3]).image
    assert plan_edit(old, old) == EditPlan()
    assert plan_edit(old, HostSpec(other)) == EditPlan(other)
    assert plan_edit(old, HostSpec(old.image, BootOrder.ROLLBACK)) == EditPlan(swap=True)
    with pytest.raises(UsageError, match="not both"):
        plan_edit(old, HostSpec(other, BootOrder.ROLLBACK))
    with pytest.raises(UsageError, match="removed"):
        plan_edit(old, HostSpec())


def test_every_line_of_progress_is_valid():
    lines = [
        start_line(),
        line(
            ByteProgress(
                DIGEST, "os", 1, 2, 3, 0, 1, 2, (ByteSubtask("layer", "x", "sha256:1", 0, 1, 1),)
            ).to_json()
        ),
        line(
            StepProgress(
                "staging",
                "staging",
                "Deploying",
                0,
                1,
                3,
                (StepSubtask("merging", "m", "m", True),),
            ).to_json()
        ),
    ]
    for text in lines:
        assert text.endswith("\n")
        validate("progress-v0.json", json.loads(text))
