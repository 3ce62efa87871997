"""Which refs keep the bases of derived deployments; real in the integration tests of that name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.handmade import HandmadeRepo

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.model.host.origin import Origin
from bootc_orch.ops.stored.base_refs import BaseRefsPlan, apply_base_refs, plan_base_refs
from orch_frame.errors import StoreDamagedError

PREFIX = "ostree/container/baseimage/bootc"


@pytest.fixture
def made(tmp_path):
    return HandmadeRepo(tmp_path / "repo")


def deployed(*commits):
    """Deployments of *commits* in boot order."""
    one = Deployment(0, "os", "", 0, Path("/nowhere"), Origin())
    return [replace(one, index=index, checksum=commit) for index, commit in enumerate(commits)]


def derived(made, base):
    return made.commit({"derived": b"1"}, {"bootc.derived": base})


def test_only_derived_deployments_have_a_base_and_each_has_its_place(made):
    bases = [made.commit({"base": name}) for name in (b"1", b"2")]
    commits = [derived(made, bases[0]), made.commit({"plain": b"1"}), derived(made, bases[1])]
    assert plan_base_refs(made.repo, deployed(*commits)) == BaseRefsPlan(
        (), {f"{PREFIX}/0": bases[0], f"{PREFIX}/2": bases[1]}, ()
    )


def test_what_stands_already_is_left_and_what_nothing_stands_behind_goes(made):
    base, other = made.commit({"base": b"1"}), made.commit({"base": b"2"})
    made.ref(f"{PREFIX}/0", base)
    made.ref(f"{PREFIX}/1", base)
    made.ref(f"{PREFIX}/7", base)
    made.ref(f"{PREFIX}/8", "garbage")
    made.ref("ostree/container/baseimage/other/0", base)
    commits = (derived(made, base), derived(made, other))
    assert plan_base_refs(made.repo, deployed(*commits)) == BaseRefsPlan(
        (f"{PREFIX}/8",), {f"{PREFIX}/1": other}, (f"{PREFIX}/7",)
    )


def test_a_base_that_is_gone_has_no_ref_any_more(made):
    gone = "0" * 64
    made.ref(f"{PREFIX}/0", gone)
    assert plan_base_refs(made.repo, deployed(derived(made, gone))) == BaseRefsPlan(
        (), {}, (f"{PREFIX}/0",)
    )


def test_a_deployment_that_cannot_be_read_has_an_unknown_base(made):
    with pytest.raises(StoreDamagedError, match="is missing"):
        plan_base_refs(made.repo, deployed("0" * 64))


def test_a_base_has_its_new_ref_before_it_loses_the_old_one(made, programs):
    base = made.commit({"base": b"1"})
    made.ref(f"{PREFIX}/1", base)
    made.ref(f"{PREFIX}/8", "garbage")
    programs.register(["ostree", programs.any()], occurrences=3)
    plan = BaseRefsPlan((f"{PREFIX}/8",), {f"{PREFIX}/0": base}, (f"{PREFIX}/1",))
    apply_base_refs(plan, made.repo)
    refs = ["ostree", "refs", f"--repo={made.path}"]
    assert [list(call) for call in programs.calls] == [
        [*refs, "--delete", f"{PREFIX}/8"],
        [*refs, f"--create={PREFIX}/0", "--force", base],
        [*refs, "--delete", f"{PREFIX}/1"],
    ]


def test_refs_that_stand_as_they_should_need_no_program(made, programs):
    apply_base_refs(BaseRefsPlan((), {}, ()), made.repo)
    assert list(programs.calls) == []
