"""The store answers questions about one image without a list of all."""

import pytest
from world import image_id

from bound_images.programs import Runner
from bound_images.storage.store import open_store

pytestmark = pytest.mark.root


def test_an_image_is_there_or_not_whatever_becomes_of_others(world, layout, registry, tmp_path):
    image = layout.image(message="here")
    world.bind_image("here", registry.push(layout, image, "app/has"))
    world.run("sync")
    there = image_id(layout, image)
    with open_store(world.store, work=tmp_path, runner=Runner()) as store:
        assert (store.has(there), store.has("0" * 64)) == (True, False)
        # As podman 4 sees an image that is being written: listed, and without its manifest.
        [manifest] = world.store.glob(f"overlay-images/{there}/manifest")
        manifest.rename(tmp_path / "manifest")
        assert store.has("0" * 64) is False
