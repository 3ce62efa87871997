"""What a new root changes for the system that it takes the place of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bootc_orch.model.host.deployment import Deployment
from bootc_orch.ops.difference.package_databases import ManagedPackages, compare_package_databases
from bootc_orch.ops.difference.tree_difference import TreeDifference, compare_trees
from bootc_orch.ops.stored.boot_files import find_boot_files
from bootc_orch.ops.stored.new_root import CommitTree
from bootc_orch.ops.stored.store import commit_state
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import OrchError


@dataclass(frozen=True, slots=True)
class System:
    """What identifies one of two systems.

    Attributes:
        deployment: The name of the deployment; None for a system that is not deployed.
        version: The version of its image, if it says one.
        kernel: The version of its kernel, if it has exactly one.
    """

    deployment: str | None
    version: str | None
    kernel: str | None


@dataclass(frozen=True, slots=True)
class RootDifference:
    """What a new root changes.

    Attributes:
        old: The system whose place it takes; None if there is none.
        new: The new system.
        added_kargs: Kernel arguments that the new system gets and the old one has not.
        removed_kargs: Those that only the old one has.
        packages: What becomes of packages; empty if neither root has a package database.
        files: Which paths differ.
    """

    old: System | None
    new: System
    added_kargs: tuple[str, ...]
    removed_kargs: tuple[str, ...]
    packages: tuple[ManagedPackages, ...]
    files: TreeDifference


def compare_roots(
    repo: Repo, base: Deployment | None, commit: str, kargs: Sequence[str]
) -> RootDifference:
    """Compare *commit*, which is going to be deployed, with the deployment that it takes over from.

    What was changed on the machine itself, as in ``/etc``, does not count.

    Args:
        repo: Where both commits are.
        base: The deployment whose place the new one takes; None for none.
        commit: The new commit.
        kargs: The kernel arguments that it will have.

    Raises:
        StoreDamagedError: objects of a commit are missing or damaged.
    """
    old = CommitTree(repo, base.checksum) if base else None
    new = CommitTree(repo, commit)
    old_kargs = base.kargs if base else ()
    return RootDifference(
        old=_system(repo, old, base.name) if base and old else None,
        new=_system(repo, new, None),
        added_kargs=_only_in(kargs, old_kargs),
        removed_kargs=_only_in(old_kargs, kargs),
        packages=compare_package_databases(repo, old, new),
        files=compare_trees(repo, base.checksum if base else None, commit),
    )


def _system(repo: Repo, tree: CommitTree, deployment: str | None) -> System:
    return System(deployment, _version(repo, tree.commit), _kernel(repo, tree))


def _version(repo: Repo, commit: str) -> str | None:
    """Return the version of an image; a commit that is none of an image has none."""
    try:
        return commit_state(repo, commit).config.version
    except OrchError:
        return None


def _kernel(repo: Repo, tree: CommitTree) -> str | None:
    try:
        return find_boot_files(repo, tree).version
    except OrchError:
        return None


def _only_in(some: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    return tuple((Counter(some) - Counter(others)).elements())
