"""The parsers of text: words, unit files, Kubernetes documents, names, options, JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bound_images import strict
from bound_images.errors import DefinitionError
from bound_images.reference import ImageName, check_safe, is_short, transport_of
from bound_images.sources import manifest
from bound_images.storage import record
from bound_images.units import kube, registries
from bound_images.units.options import PullOptions
from bound_images.units.specifiers import Context, System, parse_os_release
from bound_images.units.system import machine_of
from bound_images.units.unitfile import parse
from bound_images.units.words import split_arguments, split_strings
from orch_frame.errors import ConfigError, InvalidImageError, OrchError

D = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", ()),
        ("  a  b\t", ("a", "b")),
        ('"a b" c', ("a b", "c")),
        ("'a \"b'", ('a "b',)),
        ('a"b c"d', ("ab cd",)),
        (r"a\x20b", ("a b",)),
        (r"\u20ac \U0001F600", ("€", "😀")),
        (r"\101\s\\", ("A \\",)),
        (r"'a\'b'", ("a'b",)),
        (r"\ud800", ("\N{REPLACEMENT CHARACTER}",)),
        ("a\\", ("a",)),
        ('open "quote', ("open", "quote")),
        ('a "" b', ("a",)),
    ],
)
def test_arguments_are_split_as_a_command_line(value, words):
    assert split_arguments(value) == words


@pytest.mark.parametrize("value", [r"\q", r"\x0g", r"\000", r"\400", r"\U00110000", r"\x00"])
def test_an_unknown_escape_drops_the_value(value):
    assert split_arguments(f"kept {value}") is None


@pytest.mark.parametrize(
    ("value", "words"),
    [(r"a\x20b 'c d'", (r"a\x20b", "c d")), ("'open", ()), ('x "open', ())],
)
def test_strings_keep_their_backslashes(value, words):
    assert split_strings(value) == words


def test_a_setting_knows_its_file_and_line():
    unit = parse("[Image]\n# c\nImage=a \\\n  b\n", source="/x.image")
    setting = unit.last_setting("Image", "Image")
    assert (setting.value, setting.source, setting.line) == ("a b", "/x.image", 4)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("Image=x\n", "x.image:1: a setting stands before", id="no-section"),
        pytest.param("[Image]\nnonsense\n", "x.image:2: 'nonsense' is no setting", id="nonsense"),
        pytest.param("[Image]\n=x\n", "x.image:2: '=x' is no setting", id="no-key"),
        pytest.param("[a[b]\n", "x.image:1: 'a.b' is no name", id="bracket"),
        pytest.param("[]\n", "x.image:1: '' is no name", id="empty-section"),
        pytest.param("\ufeff[Image]\n", "x.image:1", id="bom"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_line(text, complaint):
    with pytest.raises(DefinitionError, match=complaint):
        parse(text, source="x.image")


UNIT_TEXT = st.text(
    st.sampled_from("[]=\\\"'#; \t\n\r%$aImage\u00a0\u2028\ufeff\0é"), max_size=200
) | st.text(max_size=200)


@given(UNIT_TEXT)
def test_random_text_is_a_unit_or_a_typed_error(text):
    try:
        unit = parse(text, source="x.image")
    except DefinitionError:
        return
    for section in unit.sections:
        for key in unit.keys(section):
            unit.value(section, key)
            unit.strings(section, key)
            unit.arguments(section, key)
            unit.boolean(section, key)
        PullOptions.from_unit(unit, section).as_keys()


@given(st.text(max_size=300))
def test_random_text_is_yaml_with_images_or_a_typed_error(text):
    try:
        kube.images_in_yaml(text, source="k.yml")
    except DefinitionError:
        return


@given(st.text(max_size=100))
def test_random_text_is_a_name_or_a_typed_error(text):
    try:
        name = ImageName.parse(text)
        assert ImageName.parse(name.canonical).canonical == name.canonical
        check_safe(text)
    except DefinitionError:
        return


@given(st.binary(max_size=300))
def test_random_bytes_are_a_document_or_a_typed_error(data):
    for read in (
        lambda: record.parse(data, source="lock"),
        lambda: manifest.parse_manifest(data, what="x"),
        lambda: manifest.parse_config(data, what="x"),
        lambda: registries.parse(data.decode(errors="replace"), source="registries.conf"),
    ):
        try:
            read()
        except OrchError:
            continue


@given(st.text(max_size=60), st.text(max_size=30))
def test_random_values_expand_or_are_a_typed_error(value, service):
    context = Context(f"{service}.service", {"A": "b"}, System({}, None), "x.image")
    try:
        context.expand(value)
    except DefinitionError:
        return


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("foo/bar", "docker.io/foo/bar:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/foo/bar:1", "docker.io/foo/bar:1"),
        ("quay.io/a/b", "quay.io/a/b:latest"),
        ("localhost/a", "localhost/a:latest"),
        ("host:5000/a", "host:5000/a:latest"),
        ("[::1]:5000/a:b", "[::1]:5000/a:b"),
        ("docker://quay.io/a:v1", "quay.io/a:v1"),
        (f"quay.io/a@{D}", f"quay.io/a@{D}"),
        (f"quay.io/a:v1@{D}", f"quay.io/a@{D}"),
    ],
)
def test_a_name_has_one_canonical_spelling(written, canonical):
    assert ImageName.parse(written).canonical == canonical


@pytest.mark.parametrize(
    "written",
    ["", "-h", "--creds=x", "a b", "a\nb", "UPPER/case", "quay.io/a:", "quay.io/a@sha256:1",
     "a" * 5000, "ab" * 32, D, "quay.io/a:b:c", "//a", "quay.io//a"],
)  # fmt: skip
def test_what_is_no_name_is_refused(written):
    with pytest.raises(DefinitionError):
        ImageName.parse(check_safe(written))


@pytest.mark.parametrize(
    ("reference", "transport", "short"),
    [
        ("nginx", "docker", True),
        ("quay.io/a", "docker", False),
        ("docker://a", "docker", True),
        ("oci:/etc", "oci", False),
        ("docker-archive:/x.tar", "docker-archive", False),
        ("containers-storage:x", "containers-storage", False),
        ("host:5000/a", "docker", False),
    ],
)
def test_the_transport_and_short_names_are_told_apart(reference, transport, short):
    assert (transport_of(reference), is_short(reference)) == (transport, short)


def context(service="web@blue-green.service", **more):
    settings = {
        "environment": {"TAG": "v1"},
        "system": System({"ID": "debian", "VERSION_ID": "12"}, "x86-64"),
        "source": "/x.container",
    }
    return Context(service, **(settings | more))


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("%%", "%"),
        ("%i|%I|%p|%n|%N", "blue-green|blue/green|web|web@blue-green.service|web@blue-green"),
        ("%o%w%W%A%M%B%a", "debian12x86-64"),
        ("%t%E%h", "/run/etc/root"),
        ("a:${TAG}", "a:v1"),
        ("$TAG", "v1"),
        ("a$TAG", "a$TAG"),
        ("$$TAG", "$TAG"),
    ],
)
def test_what_the_root_decides_is_expanded(value, expanded):
    assert context().expand(value) == expanded


@pytest.mark.parametrize("value", ["%m", "%H", "%b", "%v", "%", "%y", "${OTHER}", "%q", "%é"])
def test_what_only_the_machine_knows_is_refused(value):
    with pytest.raises(DefinitionError, match=r"/x\.container"):
        context().expand(value)


def test_an_instance_is_needed_only_where_it_is_used():
    bare = context(service="web@.service")
    assert bare.expand("%p") == "web"
    with pytest.raises(DefinitionError, match="instance"):
        bare.expand("%i")


def test_os_release_is_read_with_quotes_and_comments():
    text = '# c\nID=debian\nVERSION_ID="12"\nNAME=\'A "B"\'\nX="a\\$b"\nnonsense\n'
    assert parse_os_release(text) == {
        "ID": "debian", "VERSION_ID": "12", "NAME": 'A "B"', "X": "a$b",
    }  # fmt: skip


def test_the_processor_is_read_from_a_program():
    header = b"\x7fELF\x02\x01" + bytes(12)
    assert machine_of(header + (183).to_bytes(2, "little")) == "arm64"
    assert machine_of(b"#!/bin/sh" + bytes(30)) is None


KUBE = """
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{name: i, image: quay.io/init:1}]
      containers: [{name: a, image: quay.io/a:1}, {name: b, image: quay.io/a:1}]
      volumes: [{name: v, image: {reference: quay.io/data:2}}, {name: w, emptyDir: {}}]
---
kind: ConfigMap
data: {image: not-this}
---
kind: List
items:
- kind: Pod
  spec: {containers: [{image: quay.io/pod:1}]}
- kind: CronJob
  spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: quay.io/cron:1}]}}}}}
"""


def test_every_image_of_a_kubernetes_document_is_found():
    assert kube.images_in_yaml(KUBE, source="k.yml") == (
        "quay.io/init:1", "quay.io/a:1", "quay.io/data:2", "quay.io/pod:1", "quay.io/cron:1",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["{", "a: [", "kind: Pod\nspec: {containers: [{name: x}]}", "\0", "!!python/object:os.system x",
     "[" * 5000, "kind: Pod\nspec: {containers: [{image: 5}]}"],
)  # fmt: skip
def test_a_document_that_is_none_is_refused(text):
    with pytest.raises(DefinitionError, match=r"k\.yml"):
        kube.images_in_yaml(text, source="k.yml")


def options(*lines, section="Image"):
    return PullOptions.from_unit(parse("\n".join([f"[{section}]", *lines]), source="x"), section)


def test_options_are_shown_by_their_keys_and_without_secrets():
    shown = options(
        "Creds=user:password", "TLSVerify=no", "Retry=2", "PodmanArgs=--creds=u:secret --creds x:y",
        "DecryptionKey=/key:phrase", "GlobalArgs=--a",
    ).as_keys()  # fmt: skip
    assert shown == {
        "Creds": "********",
        "DecryptionKey": "/key:********",
        "GlobalArgs": ["--a"],
        "PodmanArgs": ["--creds=********", "--creds", "********"],
        "Retry": "2",
        "TLSVerify": False,
    }


def test_what_other_units_say_of_a_pull_is_taken_from_their_arguments():
    found = options(
        "PodmanArgs=--authfile /a --tls-verify=false --platform linux/arm64/v8 --rm",
        "Pull=never",
        section="Container",
    )
    assert found.as_keys() == {
        "AuthFile": "/a", "TLSVerify": False, "OS": "linux", "Arch": "arm64", "Variant": "v8",
        "Pull": "never",
    }  # fmt: skip


def test_words_of_a_pull_stand_for_their_keys():
    found = options(
        "Arch=s390x",
        "PodmanArgs=--creds u:p --authfile=/a --cert-dir /c --tls-verify=false --arch=arm64 -a",
        "PodmanArgs=--retry 5 --retry-delay=2s --policy=newer --decryption-key=/k -q",
        "PodmanArgs=--log-level=debug",
        "GlobalArgs=--storage-opt=additionalimagestore=/usr/lib/bootc/storage --log-level debug",
        "GlobalArgs=--storage-opt overlay.imagestore=/x --syslog",
    ).settled()
    assert found == PullOptions(
        arch="arm64", creds="u:p", auth_file="/a", cert_dir="/c", tls_verify=False, all_tags=True,
        retry="5", retry_delay="2s", policy="newer", decryption_key="/k",
    )  # fmt: skip


@pytest.mark.parametrize("section", ["Image", "Artifact"])
@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("GlobalArgs=--cpu-profile=/file", "GlobalArgs= has --cpu-profile,"),
        ("GlobalArgs=--memory-profile /file", "GlobalArgs= has --memory-profile,"),
        ("GlobalArgs=--root=/x", "GlobalArgs= has --root,"),
        ("GlobalArgs=--remote", "GlobalArgs= has --remote,"),
        ("GlobalArgs=--module=/file", "GlobalArgs= has --module,"),
        ("GlobalArgs=--hooks-dir=/x", "GlobalArgs= has --hooks-dir,"),
        ("GlobalArgs=--conmon /x", "GlobalArgs= has --conmon,"),
        ("GlobalArgs=--storage-opt=overlay.mount_program=/x", "GlobalArgs= has --storage-opt,"),
        ("GlobalArgs=--storage-opt overlay.mount_program=/x", "GlobalArgs= has --storage-opt,"),
        ("GlobalArgs=--tls-verify=false", "GlobalArgs= has --tls-verify,"),
        ("GlobalArgs=version", "GlobalArgs= has a word that is no option,"),
        ("PodmanArgs=--signature-policy=/file", "PodmanArgs= has --signature-policy,"),
        ("PodmanArgs=--signature-policy /file", "PodmanArgs= has --signature-policy,"),
        ("PodmanArgs=--cpu-profile=/file", "PodmanArgs= has --cpu-profile,"),
        ("PodmanArgs=--retry 1 --root=/x", "PodmanArgs= has --root,"),
        ("PodmanArgs=--quiet --signature-policy=/x", "PodmanArgs= has --signature-policy,"),
        ("PodmanArgs=--arch arm64 quay.io/other:1", "PodmanArgs= has a word that is no option,"),
        ("PodmanArgs=--tls-verify false", "PodmanArgs= has a word that is no option,"),
        ("PodmanArgs=--", "PodmanArgs= has --,"),
        ("PodmanArgs=-c=secret", "PodmanArgs= has -c,"),
        ("PodmanArgs=-qsecret", "PodmanArgs= has -q,"),
        ("ContainersConfModule=/etc/module.conf", "ContainersConfModule= is not"),
    ],
)
def test_words_that_concern_more_than_the_transport_are_refused_by_name(section, line, named):
    with pytest.raises(DefinitionError) as caught:
        options(line, section=section).settled()
    assert caught.value.summary.startswith(named)
    assert "secret" not in caught.value.summary


@pytest.mark.parametrize("section", ["Container", "Kube", "Pod", "Volume", "Build"])
def test_words_of_other_units_that_matter_when_they_run_are_left_out(section):
    found = options(
        "GlobalArgs=--cpu-profile=/file", "ContainersConfModule=/x",
        "PodmanArgs=--signature-policy=/file --rm --arch=arm64", section=section,
    )  # fmt: skip
    assert found == found.settled() == PullOptions(arch="arm64")


def test_words_in_a_lock_file_count_for_nothing():
    keys = {"PodmanArgs": ["--signature-policy=/x"], "GlobalArgs": ["--root=/x"], "Arch": "arm64"}
    assert PullOptions.from_keys(keys) == PullOptions(arch="arm64")


def test_options_survive_a_lock_file_but_for_secrets():
    found = options("Arch=arm64", "AllTags=1", "TLSVerify=no", "Creds=a:b")
    assert PullOptions.from_keys(found.as_keys()) == options(
        "Arch=arm64", "AllTags=1", "TLSVerify=no"
    )


@pytest.mark.parametrize(
    ("delay", "seconds"), [("5s", 5), ("1m30s", 90), ("250ms", 0.25), ("1.5h", 5400), ("", None)]
)
def test_a_delay_is_a_duration_of_go(delay, seconds):
    assert options(f"RetryDelay={delay}").retry_seconds == seconds


@pytest.mark.parametrize("lines", ["Retry=x", "Retry=-1", "RetryDelay=5", "Policy=perhaps"])
def test_a_number_or_policy_that_is_none_is_refused(lines):
    found = options(lines)
    with pytest.raises(DefinitionError):
        _ = found.retries, found.retry_seconds, found.wanted_policy


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '{"a": 1, "A": 2}', "[]", "NaN", '{"a": NaN}', '{"a": 1} x',
     "\ufeff{}", "{" * 2000, '{"a": ' * 2000],
)  # fmt: skip
def test_json_with_liberties_is_refused(text):
    with pytest.raises(InvalidImageError):
        strict.loads(text.encode(), what="it")


def test_a_record_survives_writing_and_reading():
    image = record.LockedImage("a", "quay.io/a:1", D, "cd" * 32, {"Arch": "arm64"}, ("/a.image",))
    text = record.render(record.Record((image,)))
    assert record.parse(text.encode(), source="lock").images == (image,)
    assert json.loads(text)["version"] == 1


@pytest.mark.parametrize(
    "change", [{"digest": "sha256:x"}, {"image_id": "short"}, {"sources": None}, {"reference": 1}]
)
def test_a_malformed_record_is_refused(change):
    image = {
        "reference": "a", "canonical": "b", "digest": D, "image_id": "cd" * 32, "options": {},
        "sources": [],
    }  # fmt: skip
    data = json.dumps({"version": 1, "images": [image | change]}).encode()
    with pytest.raises(InvalidImageError):
        record.parse(data, source="lock")


def test_short_names_follow_aliases_and_then_the_first_registry():
    found = registries.parse(
        'unqualified-search-registries = ["one.example", "two.example"]\n'
        '[aliases]\n"web" = "quay.io/app/web"\n',
        source="registries.conf",
    )
    assert (found.qualify("web"), found.qualify("other")) == (
        "quay.io/app/web",
        "one.example/other",
    )


def test_a_registry_configuration_that_is_none_is_exit_78():
    with pytest.raises(ConfigError):
        registries.parse("aliases = 5", source="registries.conf")
