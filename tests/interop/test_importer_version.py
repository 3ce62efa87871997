"""Our commits differ from bootc's in one word only: the name of the importer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.images import DEBIAN_IMAGES, golden, layout_of, small_images

from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.ops.importing.pull import pull
from bootc_orch.ops.opening.pull_plan import PullOptions, VarContent
from bootc_orch.ops.stored.progress import NullProgress

pytestmark = pytest.mark.root

# The version of the library in bootc 1.16.9.
BOOTCS_VERSION = "0.15.3"
IMAGES = (
    *(name for name in small_images() if name != "derived-multimember-gzip"),
    *(pytest.param(name, marks=pytest.mark.debian_images) for name in DEBIAN_IMAGES),
)


@pytest.mark.parametrize("name", IMAGES)
def test_with_bootcs_importer_version_the_merge_commit_is_bootcs(
    name: str, tmp_path: Path, repo: Callable[[], Path]
) -> None:
    layout = layout_of(name, tmp_path / "layout")
    result = pull(
        repo(),
        OstreeImageReference.parse(f"ostree-unverified-image:oci:{layout}"),
        PullOptions(importer_version=BOOTCS_VERSION, var_content=VarContent.KEEP),
        NullProgress(),
    )
    assert result.commit == golden(name).merge_commit
