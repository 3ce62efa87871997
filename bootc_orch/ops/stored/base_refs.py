"""Keep the bases of derived deployments: their layers are needed when they are derived anew.

bootc can deploy a commit that it made of an image and something of the machine; the commit names
the image's own as its base.  A ref for each keeps the base, and so its layers, alive; all of them
are written anew by every cleanup, bootc's and ours.
Source: bootc, ``ostree/container/baseimage/bootc/N`` and the commit metadata ``bootc.derived``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.model.image.refs import BASEIMAGE_PREFIX
from bootc_orch.tools.ostree.repo import Repo

# Other projects have names of their own beside it.
PREFIX = f"{BASEIMAGE_PREFIX}/bootc"
DERIVED_KEY = "bootc.derived"


@dataclass(frozen=True, slots=True)
class BaseRefsPlan:
    """How to bring the refs up to date.

    Attributes:
        damaged: Refs that cannot be read, which ostree does not overwrite.
        create: The refs to set, each with its commit.
        delete: The refs that no deployment stands behind.
    """

    damaged: tuple[str, ...]
    create: Mapping[str, str]
    delete: tuple[str, ...]


def plan_base_refs(repo: Repo, deployments: Sequence[Deployment]) -> BaseRefsPlan:
    """Compare the refs with *deployments*, in boot order: each has its place in the name.

    Raises:
        StoreDamagedError: the commit of a deployment cannot be read, so its base is unknown.
    """
    wanted = {}
    for index, deployment in enumerate(deployments):
        base = repo.commit(deployment.checksum).text(DERIVED_KEY)
        if base is not None and repo.has_commit(base):
            wanted[f"{PREFIX}/{index}"] = base
    present = repo.scan_refs(PREFIX)
    return BaseRefsPlan(
        tuple(present.damaged),
        {ref: base for ref, base in wanted.items() if present.commits.get(ref) != base},
        tuple(ref for ref in present.commits if ref not in wanted),
    )


def apply_base_refs(plan: BaseRefsPlan, repo: Repo) -> None:
    """Carry *plan* out: what has to stay has its new ref before an old one goes."""
    repo.delete_refs(plan.damaged)
    for ref, commit in plan.create.items():
        repo.create_ref(ref, commit)
    repo.delete_refs(plan.delete)
