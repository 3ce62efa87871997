"""What bootc's refs to base images keep alive is kept by ours, and a cleanup renews those refs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.host import System, make_os
from support.ostree import ostree, refs

from bootc_orch.model.image.refs import BASEIMAGE_PREFIX, BLOB_PREFIX, IMAGE_PREFIX

pytestmark = pytest.mark.root

OURS = f"{BASEIMAGE_PREFIX}/bootc"
ORIGIN = "[origin]\nrefspec=local/derived\n"


@dataclass(frozen=True, slots=True)
class Derived:
    """A system whose first deployment is derived from the image of its second one.

    Attributes:
        system: The system.
        base: The merge commit of the image.
    """

    system: System
    base: str

    def ref(self, name: str, commit: str | None = None) -> None:
        ostree("refs", f"--repo={self.system.repo}", f"--create={name}", commit or self.base)

    def base_refs(self) -> dict[str, str]:
        return refs(self.system.repo, BASEIMAGE_PREFIX)

    def undeploy(self, index: int) -> None:
        ostree("admin", "undeploy", f"--sysroot={self.system.path}", str(index))


@pytest.fixture
def derived(tmp_path: Path) -> Iterator[Derived]:
    image = make_os(tmp_path / "os", more_layers=({"usr/share/second": b"2"},))
    system = System.installed(tmp_path / "sysroot", image)
    [base] = refs(system.repo, IMAGE_PREFIX).values()
    commit = ostree(
        "commit", f"--repo={system.repo}", f"--tree=ref={base}", "--branch=local/derived",
        f"--add-metadata-string=bootc.derived={base}",
    ).strip()  # fmt: skip
    origin = tmp_path / "origin"
    origin.write_text(ORIGIN)
    ostree(
        "admin", "deploy", f"--sysroot={system.path}", "--os=default", f"--origin-file={origin}",
        commit,
    )  # fmt: skip
    yield Derived(system, base)
    system.release()


def test_a_cleanup_gives_the_base_of_each_derived_deployment_its_ref(derived):
    derived.system.run("cleanup")
    assert derived.base_refs() == {f"{OURS}/0": derived.base}
    derived.system.check()


def test_layers_of_a_base_outlive_the_image_and_go_with_the_derived_deployment(derived):
    layers = refs(derived.system.repo, BLOB_PREFIX)
    derived.undeploy(1)
    derived.system.run("cleanup")
    assert refs(derived.system.repo, IMAGE_PREFIX) == {}
    assert refs(derived.system.repo, BLOB_PREFIX) == layers
    assert derived.base_refs() == {f"{OURS}/0": derived.base}
    subprocess.run(["ostree", "fsck", f"--repo={derived.system.repo}", "--quiet"], check=True)


def test_a_ref_without_a_deployment_goes_and_one_of_another_project_stays(derived):
    derived.ref(f"{OURS}/7")
    derived.ref(f"{BASEIMAGE_PREFIX}/other/0")
    derived.undeploy(0)
    derived.system.run("cleanup")
    assert derived.base_refs() == {f"{BASEIMAGE_PREFIX}/other/0": derived.base}


def test_a_ref_follows_its_deployment_to_another_place(derived):
    derived.system.run("cleanup")
    derived.system.run("rollback")
    derived.system.run("cleanup")
    assert derived.base_refs() == {f"{OURS}/1": derived.base}


def test_a_ref_that_is_damaged_is_written_anew(derived):
    derived.system.run("cleanup")
    (derived.system.repo / "refs/heads" / OURS / "0").write_text("junk")
    derived.system.run("cleanup")
    assert derived.base_refs() == {f"{OURS}/0": derived.base}
