"""A pull without root and without the programs: scripts in their place, a repository by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.handmade import HandmadeRepo
from support.images import layout_of
from support.scripted_programs import ScriptedPrograms

from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.ops.opening.pull_plan import PullOptions, PullRequest, VarContent
from bootc_orch.ops.stored.progress import Progress, Step, Transfer
from bootc_orch.tools.ostree.repo import ostree_version
from orch_frame.transfer import TransferOptions


class Told:
    """Keeps what it is told of, in order: steps, layers by what became of them, warnings."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []

    def planned(self, transfer: Transfer) -> None:
        self.events.append(("planned", transfer.needed))

    def layer_started(self, digest: object, *, kind: object, size: int) -> None:
        self.events.append(("started", str(digest)))

    def layer_advanced(self, digest: object, count: int) -> None:
        pass

    def layer_done(self, digest: object) -> None:
        self.events.append(("done", str(digest)))

    def step(self, step: Step) -> None:
        self.events.append(("step", str(step)))

    def message(self, text: str) -> None:
        self.events.append(("message", text))

    def warning(self, text: str) -> None:
        self.events.append(("warning", text))

    def of(self, kind: str) -> list[object]:
        return [what for event, what in self.events if event == kind]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedPrograms:
    """Scripts in the place of ostree and skopeo."""
    made = ScriptedPrograms(tmp_path / "scripted")
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    ostree_version.cache_clear()
    return made


@pytest.fixture
def made(tmp_path: Path) -> HandmadeRepo:
    """An empty repository in the mode that anyone can write."""
    return HandmadeRepo(tmp_path / "repo", "archive")


@pytest.fixture
def told() -> Told:
    """The receiver of a pull's events."""
    return Told()


@pytest.fixture
def options() -> PullOptions:
    """Options that wait for nothing."""
    transfer = TransferOptions(anonymous=True, retry_delay=0)
    return PullOptions(transfer, var_content=VarContent.KEEP)


@pytest.fixture
def image(tmp_path: Path) -> Callable[..., OstreeImageReference]:
    """A reference to one fixture image in a layout: ``image("derived")``."""

    def make(name: str, *, private: bool = False) -> OstreeImageReference:
        path = tmp_path / f"layout-{name}"
        if not path.exists():
            layout_of(name, path, private=private)
        return OstreeImageReference.parse(f"ostree-unverified-image:oci:{path}")

    return make


@pytest.fixture
def request_for(
    made: HandmadeRepo, options: PullOptions, told: Progress
) -> Callable[[OstreeImageReference], PullRequest]:
    """A pull of one image into the repository."""
    return lambda reference: PullRequest(made.repo, reference, options, told)
