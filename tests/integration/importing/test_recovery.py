"""What a pull leaves when it dies is taken over or removed, and foreign leftovers stay."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.ostree import init_repo, ostree, refs, show, verify_state

from bootc_orch.model.image.reference import ImageReference, OstreeImageReference
from bootc_orch.ops.importing import pull as pull_module
from bootc_orch.ops.importing.publish import LayersVanishedError
from bootc_orch.ops.importing.pull import plan_pull, pull
from bootc_orch.ops.importing.recover import recover
from bootc_orch.ops.importing.staging import open_staging
from bootc_orch.ops.opening.pull_plan import LayerAction, PullOptions
from bootc_orch.ops.stored.progress import NullProgress
from bootc_orch.ops.stored.workspace import PREFIX
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import NotFoundError
from orch_frame.transfer import TransferOptions

pytestmark = pytest.mark.root

OPTIONS = PullOptions()


class Stop(BaseException):
    """Stands for the sudden end of the process."""


def reference(layout: Path) -> OstreeImageReference:
    return OstreeImageReference.parse(f"ostree-unverified-image:oci:{layout}")


def cut_off_before_the_merge(repo: Path, image: OstreeImageReference, monkeypatch) -> Path:
    """Pull *image* up to the merge and keep what a process that dies there would leave."""
    kept = repo / "kept"

    def die(*arguments, **options):
        (staging,) = (repo / "tmp").glob(f"{PREFIX}*")
        subprocess.run(["cp", "-a", staging, kept], check=True)
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(pull_module, "merge_layers", die)
        with pytest.raises(Stop):
            pull(repo, image, OPTIONS, NullProgress())
    left = repo / "tmp" / f"{PREFIX}left"
    kept.rename(left)
    return left


def test_finished_layers_of_a_pull_that_died_are_not_fetched_again(
    tmp_path, oci_layout_of, monkeypatch
):
    repo, image = init_repo(tmp_path / "repo"), reference(oci_layout_of("derived"))
    left = cut_off_before_the_merge(repo, image, monkeypatch)
    recover(Repo(repo))
    assert not left.exists()
    verify_state(repo)
    plan = plan_pull(repo, image, OPTIONS, NullProgress())
    assert plan is not None
    assert plan.chosen(LayerAction.FETCH) == ()
    pull(repo, image, OPTIONS, NullProgress())
    verify_state(repo)


def test_the_chunks_of_a_base_are_kept_without_the_last_of_them(
    tmp_path, oci_layout_of, monkeypatch
):
    repo, image = init_repo(tmp_path / "repo"), reference(oci_layout_of("base"))
    left = cut_off_before_the_merge(repo, image, monkeypatch)
    finished = sorted((left / "repo/refs/heads/ostree/container/blob").iterdir())
    lost = next(ref for ref in finished if has_content(left / "repo", ref.read_text().strip()))
    contents = ostree("ls", f"--repo={left}/repo", lost.read_text().strip()).split()
    for name in (word[1:] for word in contents if len(word) == 65):
        (left / f"repo/objects/{name[:2]}/{name[2:]}.file").unlink()
    lost.unlink()
    recover(Repo(repo))
    kept = refs(repo, "ostree/container/blob")
    assert len(kept) == len(finished) - 2
    verify_state(repo)
    assert pull(repo, image, OPTIONS, NullProgress()).changed
    verify_state(repo)


def has_content(repo: Path, commit: str) -> bool:
    """Say whether *commit* is that of a chunk with at least one object."""
    listing = ostree("ls", f"--repo={repo}", commit).split()
    return any(len(word) == 65 for word in listing)


def test_after_a_restart_of_the_machine_nothing_is_taken_over(tmp_path, oci_layout_of, monkeypatch):
    repo, image = init_repo(tmp_path / "repo"), reference(oci_layout_of("derived"))
    left = cut_off_before_the_merge(repo, image, monkeypatch)
    (left / "boot-id").write_text("another\n")
    recover(Repo(repo))
    assert refs(repo) == {}
    assert not left.exists()


def test_a_pull_that_runs_and_files_of_others_are_left_alone(tmp_path):
    repo = Repo(init_repo(tmp_path / "repo"))
    foreign = repo.path / "tmp/staging-of-others"
    foreign.mkdir()
    with open_staging(repo) as staging:
        recover(repo)
        assert staging.path.exists()
    assert foreign.exists()


def test_a_false_mark_of_a_partial_commit_is_cleared_and_a_true_one_stays(tmp_path, oci_layout_of):
    repo, image = init_repo(tmp_path / "repo"), reference(oci_layout_of("single"))
    commit = pull(repo, image, OPTIONS, NullProgress()).commit
    mark = repo / f"state/{commit}.commitpartial"
    mark.touch()
    recover(Repo(repo))
    assert not mark.exists()
    mark.touch()
    next(repo.glob("objects/*/*.file")).unlink()
    recover(Repo(repo))
    assert mark.exists()


def test_layers_that_vanish_meanwhile_are_pulled_again(tmp_path, oci_layout_of, monkeypatch):
    repo = init_repo(tmp_path / "repo")
    pull(repo, reference(oci_layout_of("base")), OPTIONS, NullProgress())
    original = pull_module.merge_layers
    removed = []

    def prune_meanwhile(*arguments, **options):
        flat = original(*arguments, **options)
        if not removed:
            removed.extend(refs(repo))
            ostree("refs", f"--repo={repo}", "--delete", *removed)
            ostree("prune", f"--repo={repo}", "--refs-only", "--depth=0")
        return flat

    monkeypatch.setattr(pull_module, "merge_layers", prune_meanwhile)
    result = pull(repo, reference(oci_layout_of("derived")), OPTIONS, NullProgress())
    assert removed
    assert result.changed
    verify_state(repo)
    assert show(repo, result.commit).checksum == result.commit


def test_layers_that_vanish_every_time_are_an_error(tmp_path, oci_layout_of, monkeypatch):
    repo = init_repo(tmp_path / "repo")
    base = reference(oci_layout_of("base"))
    pull(repo, base, OPTIONS, NullProgress())

    def vanish(*arguments, **options):
        raise LayersVanishedError("gone")

    monkeypatch.setattr(pull_module, "publish_image", vanish)
    before = refs(repo)
    with pytest.raises(LayersVanishedError):
        pull(repo, reference(oci_layout_of("derived")), OPTIONS, NullProgress())
    assert refs(repo) == before
    verify_state(repo)


def test_offline_only_a_stored_image_will_do(tmp_path, oci_layout_of):
    repo = init_repo(tmp_path / "repo")
    offline = PullOptions(TransferOptions(offline=True))
    image = reference(oci_layout_of("single"))
    with pytest.raises(NotFoundError, match="fetching is switched off"):
        pull(repo, image, offline, NullProgress())
    stored = pull(repo, image, OPTIONS, NullProgress())
    found = pull(repo, image, offline, NullProgress())
    assert (found.changed, found.commit) == (False, stored.commit)
    assert plan_pull(repo, image, offline, NullProgress()) is None


def test_offline_another_version_of_a_stored_name_is_not_stored(tmp_path, oci_layout_of):
    repo = init_repo(tmp_path / "repo")
    target = ImageReference.parse("docker://localhost/os:stable")
    named = PullOptions(target=target)
    pull(repo, reference(oci_layout_of("single")), named, NullProgress())
    pinned = OstreeImageReference.parse(
        f"ostree-unverified-registry:localhost/os@sha256:{'0' * 64}"
    )
    with pytest.raises(NotFoundError, match="fetching is switched off"):
        pull(repo, pinned, replace(named, transfer=TransferOptions(offline=True)), NullProgress())


def test_an_image_can_be_stored_under_another_name(tmp_path, oci_layout_of):
    repo = init_repo(tmp_path / "repo")
    target = ImageReference.parse("docker://localhost/os:stable")
    options = PullOptions(target=target)
    image = reference(oci_layout_of("single"))
    assert pull(repo, image, options, NullProgress()).changed
    assert not pull(repo, image, options, NullProgress()).changed
    (ref,) = refs(repo, "ostree/container/image")
    assert ref.endswith("localhost/os_3A_stable")


def test_no_descriptor_is_left_open(tmp_path, oci_layout_of):
    repo, image = init_repo(tmp_path / "repo"), reference(oci_layout_of("derived"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    pull(repo, image, OPTIONS, NullProgress())
    assert len(list(Path("/proc/self/fd").iterdir())) == before
