"""A deployment's files are links to objects, so ``repair`` puts those right as well.

The sysroots are on an ext4 filesystem of their own: roots of deployments are immutable there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.host import System, make_os
from support.injection import inject, small_filesystem

from bootc_orch.model.image.refs import IMAGE_PREFIX
from bootc_orch.ops.checking.deployed_files import DeployedFiles
from bootc_orch.tools.immutable import is_immutable
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.ostree.sysroot import Sysroot

pytestmark = pytest.mark.root

FILE = "usr/share/version"
LINK = "link-in-the-root"
ETC = "usr/etc/edited.conf"


@dataclass(frozen=True, slots=True)
class Deployed:
    """A system with one deployment.

    Attributes:
        system: The system.
        root: The root of its deployment.
    """

    system: System
    root: Path

    @property
    def repo(self) -> Repo:
        return Repo(self.system.repo)

    def spoil(self, path: str = FILE) -> None:
        """Write into the inode that the deployment shares with its repository."""
        with (self.root / path).open("r+b") as file:
            file.write(b"\xff")

    def replace_object(self, path: str = FILE) -> None:
        """Have a good object again, as ``ostree`` or an older repair does, and nothing else."""
        status = (self.root / path).stat()
        good = (self.root / path).read_bytes()
        [found] = [
            candidate
            for candidate in (self.system.repo / "objects").rglob("*.file")
            if candidate.lstat().st_ino == status.st_ino
        ]
        found.unlink()
        found.write_bytes(good)
        os.utime(found, (0, 0))

    def findings(self, status: int) -> list[dict[str, Any]]:
        document = self.system.run("fsck", "--json", status=status).json
        found: list[dict[str, Any]] = document["fsck"]["findings"]
        return found

    def kinds(self, status: int) -> list[str]:
        return [finding["kind"] for finding in self.findings(status)]


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    with small_filesystem(tmp_path, 64) as disk:
        image = make_os(tmp_path / "os", links={LINK: "usr/share/version"})
        system = System.installed(disk / "sysroot", image, "--skip-finalize")
        yield Deployed(system, system.root())
        system.release()


def test_a_damaged_object_is_a_damaged_file_of_the_deployment(deployed):
    deployed.spoil()
    findings = {finding["kind"]: finding for finding in deployed.findings(65)}
    assert set(findings) == {"damaged-object", "damaged-deployment"}
    assert findings["damaged-deployment"]["paths"] == [FILE]
    assert findings["damaged-deployment"]["subject"] == deployed.root.name
    plan = deployed.system.run("repair", "--plan", "--json").json["plan"]
    assert plan["deployments"] == [deployed.root.name]
    assert len(plan["images"]) == 1
    result = deployed.system.run("repair", "--json").json["repaired"]
    assert result["files"] == {deployed.root.name: 1}
    assert (deployed.root / FILE).read_bytes() == b"1\n"
    assert deployed.findings(0) == []


def test_a_file_whose_object_was_replaced_already_is_seen_and_put_right(deployed):
    deployed.replace_object()
    assert deployed.findings(0) == []  # a copy is as good as a link
    deployed.spoil()
    assert deployed.kinds(65) == ["damaged-deployment"]
    result = deployed.system.run("repair")
    assert f"Repaired files of deployment {deployed.root.name}: 1" in result.lines
    assert (deployed.root / FILE).read_bytes() == b"1\n"
    assert (deployed.root / FILE).stat().st_nlink > 1
    assert deployed.findings(0) == []


def test_a_mode_that_differs_and_a_file_that_is_gone_count_too(deployed):
    deployed.replace_object()
    (deployed.root / FILE).chmod(0o600)
    (deployed.root / ETC).unlink()
    [finding] = deployed.findings(65)
    assert finding["paths"] == [ETC, FILE]
    deployed.system.run("repair")
    assert (deployed.root / FILE).stat().st_mode & 0o777 == 0o644
    assert (deployed.root / ETC).read_bytes() == b"from image 1\n"


def test_etc_is_the_machines_and_is_left(deployed):
    etc = deployed.root / "etc/edited.conf"
    etc.write_text("edited here\n")
    (deployed.root / "etc/untouched.conf").unlink()
    assert deployed.findings(0) == []
    deployed.spoil(ETC)
    warned = deployed.system.run("repair").stderr
    assert "its copy in /etc" in warned
    assert (deployed.root / ETC).read_bytes() == b"from image 1\n"
    assert etc.read_text() == "edited here\n"
    assert not (deployed.root / "etc/untouched.conf").exists()


def spoil_the_root(deployed: Deployed) -> None:
    subprocess.run(["chattr", "-i", deployed.root], check=True)
    (deployed.root / LINK).unlink()
    (deployed.root / LINK).symlink_to("elsewhere")
    subprocess.run(["chattr", "+i", deployed.root], check=True)


def test_the_root_of_a_deployment_stays_immutable(deployed):
    assert is_immutable(deployed.root)
    spoil_the_root(deployed)
    assert deployed.kinds(65) == ["damaged-deployment"]
    deployed.system.run("repair")
    assert (deployed.root / LINK).readlink() == Path("usr/share/version")
    assert is_immutable(deployed.root)
    assert deployed.findings(0) == []


# Each is a system call at whose entry the process that makes it is killed, and which one of them.
POINTS = {
    FILE: [("linkat", 1), ("renameat", 1), ("unlink", 1), ("rename", 1)],
    LINK: [("linkat", 1), ("rename", 1), ("unlink", 1), ("syncfs", 1)],
}


@pytest.mark.parametrize(("path", "call", "when"), [(p, *at) for p in POINTS for at in POINTS[p]])
def test_a_repair_that_is_killed_at_any_step_is_finished_by_the_next(deployed, path, call, when):
    if path == FILE:
        deployed.spoil()
    else:
        spoil_the_root(deployed)
    how = f"signal=SIGKILL:when={when}"
    assert inject(["repair", "--sysroot", deployed.system.path], call, how).returncode != 0
    deployed.system.run("repair")
    assert (deployed.root / FILE).read_bytes() == b"1\n"
    assert (deployed.root / LINK).readlink() == Path("usr/share/version")
    assert is_immutable(deployed.root)
    assert deployed.findings(0) == []
    assert [*(deployed.system.repo / "state").iterdir()] == []
    assert [*(deployed.system.repo / "tmp").glob("bootc-orch-*")] == []


def test_a_root_that_a_killed_repair_left_mutable_is_immutable_again(deployed):
    spoil_the_root(deployed)
    inject(["repair", "--sysroot", deployed.system.path], "rename", "signal=SIGKILL:when=1")
    assert not is_immutable(deployed.root)
    (deployed.root / LINK).unlink()
    (deployed.root / LINK).symlink_to("usr/share/version")  # as if it had been killed just after
    deployed.system.run("repair")
    assert is_immutable(deployed.root)


def test_what_repair_cannot_do_is_shown_with_its_remedy_and_by_the_status(deployed):
    """Without its image, nothing says where the objects of a deployment can be had again."""
    [ref] = deployed.repo.refs(IMAGE_PREFIX)
    deployed.repo.delete_refs([ref])
    deployed.spoil()
    result = deployed.system.run("repair", "--plan", status=65)
    assert any("damaged-object" in line for line in result.lines)
    assert any("remedy: bootc-orch image pull" in line for line in result.lines)
    document = deployed.system.run("repair", "--plan", "--json", status=65).json
    kinds = [finding["kind"] for finding in document["plan"]["unrepairable"]]
    assert kinds == ["damaged-object", "missing-image"]
    document = deployed.system.run("repair", "--json", status=65).json["repaired"]
    assert [finding["kind"] for finding in document["unrepairable"]] == kinds
    assert [finding["kind"] for finding in document["findings"]] == [
        "damaged-object", "missing-image", "damaged-deployment"
    ]  # fmt: skip


def test_warnings_that_remain_are_shown_but_are_no_failure(deployed):
    origin = deployed.root.with_name(f"{deployed.root.name}.origin")
    origin.unlink()
    document = deployed.system.run("repair", "--plan", "--json").json["plan"]
    assert [finding["kind"] for finding in document["unrepairable"]] == ["missing-origin"]
    result = deployed.system.run("repair")
    assert any(line.startswith("warning: missing-origin") for line in result.lines)


def test_a_directory_that_is_gone_has_another_remedy(deployed):
    subprocess.run(["rm", "-r", deployed.root / "usr/share"], check=True)
    [finding] = deployed.findings(65)
    assert (finding["kind"], finding["paths"]) == ("missing-directory", ["usr/share"])
    assert finding["remedy"].startswith("bootc-orch switch")


def test_only_bare_repositories_share_files_with_deployments(deployed, repo):
    [deployment] = Sysroot(deployed.system.path).deployments().all
    (deployed.root / FILE).unlink()
    assert [file.path for file in DeployedFiles(deployed.repo).wrong(deployment)] == [FILE]
    assert [*DeployedFiles(Repo(repo("archive"))).wrong(deployment)] == []
