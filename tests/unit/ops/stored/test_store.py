"""What merge commits, refs and detached metadata say of images."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.handmade import HandmadeRepo, digest_named, ends_at, image_metadata

from bootc_orch.model.gvariant import Variant, decode_dict, encode_byte_strings, encode_dict
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import blob_ref, image_ref
from bootc_orch.ops.stored import notes, store
from orch_frame.errors import InvalidImageError, StoreDamagedError, UsageError

IMAGE = ImageReference.parse("docker://quay.io/a/b:1")
OTHER = ImageReference.parse("oci:/srv/b")


@pytest.fixture
def made(tmp_path):
    return HandmadeRepo(tmp_path / "repo")


def test_the_state_of_an_image_is_what_its_commit_records(made):
    base = made.layer("one", {"a": b"1"})
    commit = made.image(image_ref(IMAGE), ["one", "two"])
    state = store.image_state(made.repo, IMAGE)
    assert state is not None
    assert state.merge_commit == commit
    assert state.base_commit == base
    assert state.manifest_digest == digest_named("manifest one two")
    assert [layer.digest for layer in state.manifest.layers] == [
        digest_named("one"),
        digest_named("two"),
    ]
    assert state.importer == "bootc-orch/test"
    assert state.size == 200
    assert state.cached_update is None
    assert [layer.kind for layer in state.layers] == ["derived", "derived"]


def test_an_image_that_is_not_stored_is_none(made):
    assert store.image_state(made.repo, IMAGE) is None


def test_a_lowest_layer_without_a_ref_leaves_no_base(made):
    made.image(image_ref(IMAGE), ["one"])
    assert store.image_state(made.repo, IMAGE).base_commit is None


@pytest.mark.parametrize("config", ["null", None])
def test_old_importers_recorded_no_config(made, config):
    metadata = image_metadata(["one"])
    if config is None:
        del metadata["ostree.container.image-config"]
    else:
        metadata["ostree.container.image-config"] = config
    made.ref(image_ref(IMAGE), made.commit({}, metadata))
    state = store.image_state(made.repo, IMAGE)
    assert state.config == ImageConfig.empty()
    assert state.layers is None


@pytest.mark.parametrize(
    ("key", "text", "complaint"),
    [
        pytest.param("ostree.manifest-digest", None, "none of a container image", id="no-digest"),
        pytest.param("ostree.manifest-digest", "sha256:1", "cannot be read", id="short-digest"),
        pytest.param("ostree.manifest", None, "records no manifest", id="no-manifest"),
        pytest.param("ostree.manifest", "{", "cannot be read", id="broken-manifest"),
        pytest.param("ostree.container.image-config", "[]", "cannot be read", id="odd-config"),
    ],
)
def test_a_commit_that_records_no_image_is_damage_d19(made, key, text, complaint):
    metadata = image_metadata(["one"]) | {key: text}
    commit = made.commit({}, {k: v for k, v in metadata.items() if v is not None})
    made.ref(image_ref(IMAGE), commit)
    with pytest.raises(StoreDamagedError, match=complaint) as caught:
        store.image_state(made.repo, IMAGE)
    assert caught.value.image == str(IMAGE)


def test_a_damaged_image_does_not_hide_the_others_d19(made):
    made.image(image_ref(OTHER), ["one"])
    made.ref(image_ref(IMAGE), "6" * 64)
    made.ref("ostree/container/image/not_escaped_", "7" * 64)
    listing = store.list_images(made.repo)
    assert [str(reference) for reference, _ in listing.images] == [str(OTHER)]
    assert list(listing.damaged) == [image_ref(IMAGE), "ostree/container/image/not_escaped_"]
    with pytest.raises(StoreDamagedError, match="is damaged"):
        listing.require_intact()


def update() -> store.CachedUpdate:
    metadata = image_metadata(["new"])
    return store.CachedUpdate(
        digest_named("new manifest"),
        Manifest.parse(metadata["ostree.manifest"].encode()),
        ImageConfig.parse(metadata["ostree.container.image-config"].encode()),
    )


def test_a_cached_update_is_kept_beside_other_detached_metadata(made):
    commit = made.image(image_ref(IMAGE), ["one"])
    signature = {"ostree.gpgsigs": Variant("aay", b"signature")}
    made.repo.write_detached_metadata(commit, signature)
    notes.write_cached_update(made.repo, commit, update())
    assert store.commit_state(made.repo, commit).cached_update == update()
    assert made.repo.detached_metadata(commit)["ostree.gpgsigs"] == signature["ostree.gpgsigs"]
    assert notes.clear_cached_update(made.repo, commit) is True
    assert made.repo.detached_metadata(commit) == signature
    assert notes.clear_cached_update(made.repo, commit) is False


def test_the_keys_of_a_cached_update_are_bootcs(made):
    commit = made.image(image_ref(IMAGE), ["one"])
    notes.write_cached_update(made.repo, commit, update())
    assert sorted(made.repo.detached_metadata(commit)) == [
        "ostree-ext.cached.config",
        "ostree-ext.cached.manifest",
        "ostree-ext.cached.manifest-digest",
    ]


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({store.CACHED_DIGEST_KEY: str(digest_named("x"))}, id="half"),
        pytest.param(dict.fromkeys(store.CACHED_KEYS, "nonsense"), id="nonsense"),
    ],
)
def test_a_cached_update_that_cannot_be_read_was_not_noted(made, metadata):
    commit = made.image(image_ref(IMAGE), ["one"])
    made.repo.write_detached_metadata(
        commit, {key: Variant.string(text) for key, text in metadata.items()}
    )
    assert store.commit_state(made.repo, commit).cached_update is None


def test_nothing_is_noted_beside_what_cannot_be_read(made, caplog):
    commit = made.image(image_ref(IMAGE), ["one"])
    place = made.repo.object_path(commit, "commitmeta")
    place.write_bytes(b"\1nonsense")
    notes.write_cached_update(made.repo, commit, update())
    assert place.read_bytes() == b"\1nonsense"
    assert store.commit_state(made.repo, commit).cached_update is None
    assert "The newer version is not noted there." in caplog.text


def byte_strings(*items):
    return Variant("aay", encode_byte_strings(items))


@pytest.mark.parametrize(
    ("present", "brought", "added"),
    [
        pytest.param({}, {"a": "1"}, {"a": "1"}, id="nothing-there"),
        pytest.param({"a": "0"}, {"a": "1", "b": "2"}, {"a": "0", "b": "2"}, id="one-there"),
        pytest.param({"a": "0"}, {}, {"a": "0"}, id="nothing-brought"),
    ],
)
def test_what_is_brought_is_added_and_replaces_nothing(present, brought, added):
    def variants(texts):
        return {key: Variant.string(text) for key, text in texts.items()}

    assert notes.add_foreign(variants(present), variants(brought)) == variants(added)


def test_lists_of_byte_strings_are_joined_without_doubles_up_to_a_limit():
    one, two = {"sigs": byte_strings(b"a", b"b")}, {"sigs": byte_strings(b"b", b"c")}
    assert notes.add_foreign(one, two) == {"sigs": byte_strings(b"a", b"b", b"c")}
    assert notes.add_foreign(one, {"sigs": byte_strings(b"x" * 65536)}) == one
    assert notes.add_foreign(one, {"sigs": Variant.string("a")}) == one
    assert notes.add_foreign(one, {"sigs": Variant("aay", b"\0\xff")}) == one


def test_no_image_brings_what_programs_think_of_images():
    ours = ["bootc-orch.verified-layers", "ostree-ext.cached.manifest", "ostree.container.x"]
    data = encode_dict((key, Variant.string("x")) for key in ("before", *ours, "z"))
    assert dict(decode_dict(notes.admit_foreign(data))) == {
        "before": Variant.string("x"),
        "z": Variant.string("x"),
    }


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\1", id="cut"),
        pytest.param(encode_dict([("Zk", Variant.string("x"))]).replace(b"Zk", b"\xffk"), id="key"),
        pytest.param(encode_dict([("k", Variant("\x01", b""))]), id="type"),
        pytest.param(encode_dict([("k", Variant.string("x"))] * 2), id="twice"),
    ],
)
def test_detached_metadata_that_is_no_dictionary_of_text_is_refused(data):
    with pytest.raises(InvalidImageError):
        notes.admit_foreign(data)


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        pytest.param("docker://q/a", "docker://q/a/b", id="below"),
        pytest.param("docker://q/a/b", "docker://q/a", id="above"),
    ],
)
def test_names_that_would_be_file_and_directory_at_once_are_refused(made, stored, new):
    made.image(image_ref(ImageReference.parse(stored)), ["one"])
    with pytest.raises(UsageError, match="cannot be stored beside") as caught:
        store.refuse_collision(made.repo, ImageReference.parse(new))
    assert stored in caught.value.summary
    store.refuse_collision(made.repo, ImageReference.parse(stored))


def test_an_image_counts_each_layer_once_and_says_when_it_was_made(made):
    made.image(image_ref(IMAGE), ["one", "two", "one"])
    state = store.image_state(made.repo, IMAGE)
    assert (state.size, state.created) == (200, 1735787045)  # 2025-01-02T03:04:05Z


@pytest.mark.parametrize("created", ["yesterday", None])
def test_an_image_may_say_nothing_of_when_it_was_made(made, created):
    config = json.loads(image_metadata(["one"])["ostree.container.image-config"])
    config["created"] = created
    changed = {"ostree.container.image-config": json.dumps(config)}
    made.image(image_ref(IMAGE), ["one"], **changed)
    assert store.image_state(made.repo, IMAGE).created is None


def test_an_image_without_layers_has_no_base(made):
    made.image(image_ref(IMAGE), [])
    state = store.image_state(made.repo, IMAGE)
    assert (state.base_commit, state.size, state.layers) == (None, 0, None)


def test_layers_of_an_encapsulated_commit_are_told_apart(made):
    made.image(image_ref(IMAGE), ["base", "chunk", "top"], labels=ends_at("chunk"))
    layers = store.image_state(made.repo, IMAGE).layers
    assert [layer.kind for layer in layers] == ["commit", "chunk", "derived"]


def test_where_every_image_is_intact_there_is_nothing_to_refuse(made):
    made.image(image_ref(IMAGE), ["one"])
    listing = store.list_images(made.repo)
    listing.require_intact()
    assert [reference for reference, _ in listing.images] == [IMAGE]


def test_the_name_of_a_layer_ref_is_its_digest(made):
    assert store.digest_of(blob_ref(digest_named("one"))) == digest_named("one")
    with pytest.raises(StoreDamagedError, match=r"The name of ref .* is no digest"):
        store.digest_of("ostree/container/blob/nonsense")
    with pytest.raises(StoreDamagedError, match=r"The name of ref .* is no image"):
        store.reference_of("ostree/container/image/nonsense")


@pytest.mark.parametrize("key", [store.CACHED_DIGEST_KEY, store.CACHED_MANIFEST_KEY])
def test_a_cached_update_of_which_a_part_is_nonsense_was_not_noted(made, key):
    commit = made.image(image_ref(IMAGE), ["one"])
    notes.write_cached_update(made.repo, commit, update())
    metadata = made.repo.detached_metadata(commit)
    made.repo.write_detached_metadata(commit, {**metadata, key: Variant.string("nonsense")})
    assert store.commit_state(made.repo, commit).cached_update is None


def test_a_cached_update_of_an_old_program_may_have_no_config(made):
    commit = made.image(image_ref(IMAGE), ["one"])
    notes.write_cached_update(made.repo, commit, update())
    metadata = made.repo.detached_metadata(commit)
    metadata[store.CACHED_CONFIG_KEY] = Variant.string("null")
    made.repo.write_detached_metadata(commit, metadata)
    cached = store.commit_state(made.repo, commit).cached_update
    assert cached == replace(update(), config=ImageConfig.empty())


def test_a_name_beside_another_does_not_collide(made):
    made.image(image_ref(ImageReference.parse("docker://q/a/b")), ["one"])
    for name in ("docker://q/a/bc", "docker://q/a/c", "docker://q/ab"):
        store.refuse_collision(made.repo, ImageReference.parse(name))
