"""What merge commits, refs and detached metadata say of images."""

from __future__ import annotations

import pytest
from support.handmade import HandmadeRepo, digest_named, image_metadata

from bootc_orch.model.gvariant import Variant
from bootc_orch.model.image.manifest import ImageConfig, Manifest
from bootc_orch.model.image.reference import ImageReference
from bootc_orch.model.image.refs import image_ref
from bootc_orch.ops.stored import notes, store
from orch_frame.errors import StoreDamagedError, UsageError

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
    assert notes.clear_cached_update(made.repo, commit)
    assert made.repo.detached_metadata(commit) == signature
    assert not notes.clear_cached_update(made.repo, commit)


def test_the_keys_of_a_cached_update_are_bootcs(made):
    commit = made.image(image_ref(IMAGE), ["one"])
    notes.write_cached_update(made.repo, commit, update())
    assert sorted(made.repo.detached_metadata(commit)) == [
        "ostree-ext.cached.config",
        "ostree-ext.cached.manifest",
        "ostree-ext.cached.manifest-digest",
    ]


def test_a_cached_update_without_its_manifest_is_damage(made):
    commit = made.image(image_ref(IMAGE), ["one"])
    digest = Variant.string(str(digest_named("x")))
    made.repo.write_detached_metadata(commit, {store.CACHED_DIGEST_KEY: digest})
    with pytest.raises(StoreDamagedError, match="incomplete"):
        store.commit_state(made.repo, commit)


def test_only_layers_that_were_verified_and_are_stored_may_be_shared(made):
    made.layer("one", {"a": b"1"})
    made.layer("two", {"b": b"2"})
    commit = made.image(image_ref(IMAGE), ["one", "two", "gone"])
    assert notes.verified_layers(made.repo, [commit]) == {}
    one = {digest_named("one"): digest_named("diff one")}
    gone = {digest_named("gone"): digest_named("diff gone")}
    noted = notes.with_verified(made.repo.detached_metadata(commit), one | gone)
    made.repo.write_detached_metadata(commit, noted)
    assert notes.verified_layers(made.repo, [commit]) == one


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
