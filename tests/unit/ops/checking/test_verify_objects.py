"""What a walk through the objects of commits finds, in each mode of a repository."""

from __future__ import annotations

import pytest
from support.handmade import Folder, HandmadeRepo, Link

from bootc_orch.model.gvariant import Commit
from bootc_orch.ops.checking.verify_objects import Verifier, affected

TREE = {"usr": {"bin": {"true": b"program", "sh": Link("bash")}}, "tmp": Folder({}, 0o1777)}


@pytest.fixture(params=["bare", "bare-user", "archive"])
def made(request, tmp_path):
    return HandmadeRepo(tmp_path / "repo", request.param)


@pytest.mark.parametrize("contents", [True, False])
def test_a_whole_commit_has_no_damage_and_each_object_counts_once(made, contents):
    verifier = Verifier(made.repo, contents=contents)
    first = made.commit(TREE)
    second = made.commit({**TREE, "same": b"program"})
    assert (verifier.damage(first), verifier.checked) == (frozenset(), 8)
    assert (verifier.damage(second), verifier.checked) == (frozenset(), 9)  # one more root


def test_a_commit_that_is_missing_or_altered_is_the_damage_itself(made):
    commit = made.commit(TREE)
    verifier = Verifier(made.repo, contents=False)
    made.object(f"{commit}.commit").write_bytes(b"altered")
    assert verifier.damage(commit) == {f"{commit}.commit"}
    assert verifier.damage("0" * 64) == {f"{'0' * 64}.commit"}


@pytest.mark.parametrize("contents", [True, False])
def test_every_object_that_is_missing_is_named(made, contents):
    program, link = made.file(b"program"), made.link("bash")
    attributes = made.dirmeta(0o1777)
    commit = made.commit(TREE)
    missing = {f"{program}.file", f"{link}.file", f"{attributes}.dirmeta"}
    for name in missing:
        made.object(name).unlink()
    assert Verifier(made.repo, contents=contents).damage(commit) == missing


def test_what_lies_below_a_missing_directory_is_not_looked_for(made):
    commit = made.commit(TREE)
    folder = made.tree({"true": b"program", "sh": Link("bash")})
    made.object(f"{folder}.dirtree").unlink()
    made.object(f"{made.file(b'program')}.file").unlink()
    assert Verifier(made.repo, contents=True).damage(commit) == {f"{folder}.dirtree"}


def test_the_attributes_of_the_root_belong_to_the_commit(made):
    attributes = made.dirmeta(0o700)
    commit = made.commit({"a": b"1"}, meta=attributes)
    made.object(f"{attributes}.dirmeta").write_bytes(b"altered")
    assert Verifier(made.repo, contents=True).damage(commit) == {f"{attributes}.dirmeta"}


def test_altered_content_is_found_only_where_contents_are_read(made):
    commit = made.commit(TREE)
    program = made.file(b"program")
    path = made.object(f"{program}.file")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert Verifier(made.repo, contents=False).damage(commit) == frozenset()
    assert Verifier(made.repo, contents=True).damage(commit) == {f"{program}.file"}
    assert not Verifier(made.repo, contents=True).is_sound(program)
    assert Verifier(made.repo, contents=True).is_sound(made.link("bash"))


def test_a_file_whose_attributes_changed_is_damaged(tmp_path):
    made = HandmadeRepo(tmp_path / "repo")
    program = made.file(b"program")
    made.object(f"{program}.file").chmod(0o755)
    assert not Verifier(made.repo, contents=True).is_sound(program)


def test_a_directory_object_of_another_form_is_damage(made):
    odd = made.write(b"no directory at all", "dirtree")
    commit = made.write(Commit((), None, 0, odd, made.meta).encode(), "commit")
    assert Verifier(made.repo, contents=False).damage(commit) == {f"{odd}.dirtree"}


def test_damage_below_a_directory_that_two_commits_share_is_damage_of_both(made):
    program = made.file(b"program")
    first, second = made.commit(TREE), made.commit(TREE, timestamp=9)
    made.object(f"{program}.file").unlink()
    verifier = Verifier(made.repo, contents=True)
    assert verifier.damage(first) == verifier.damage(second) == {f"{program}.file"}


def test_each_damaged_object_is_told_with_its_commits_in_order():
    damage = {"b": frozenset({"y.file"}), "a": frozenset({"y.file", "x.file"}), "c": frozenset()}
    assert list(affected(damage).items()) == [("x.file", ("a",)), ("y.file", ("a", "b"))]
