"""What derived layers depend on: the base commit of their image, as far as it has arrived.

The rules for their paths and their SELinux policy lie in files of the base, which any ostree layer
may bring.  So a derived layer waits until those files are there, which without such files is as
soon as the commit layer is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bootc_orch.model.image.layout import LayerKind
from bootc_orch.ops.importing.crew import Cancelled
from bootc_orch.ops.importing.policy_tree import allows_nonusr, load_labeler, needed_contents
from bootc_orch.ops.opening.pull_plan import LayerAction, PullPlan, VarContent
from bootc_orch.stream.paths import PathRules
from bootc_orch.stream.selinux import Labeler
from bootc_orch.stream.trees import Directory, Trees
from bootc_orch.tools.ostree.repo import ostree_version

# From this version on ostree fills a deployment's empty /var from the commit's.
KEEP_VAR_FROM = (2024, 3)


@dataclass(frozen=True, slots=True)
class LayerRules:
    """How the entries of derived layers are stored.

    Attributes:
        paths: Where they go.
        labeler: The SELinux policy that labels them, or None.
    """

    paths: PathRules
    labeler: Labeler | None


def read_rules(
    trees: Trees, root: Directory | None, *, var_content: VarContent, directory: Path
) -> LayerRules:
    """Read from the base at *root* how derived layers are stored; anything goes without a base.

    Args:
        trees: Where the base is.
        root: The root of the base, or None.
        var_content: What becomes of ``/var``.
        directory: A private directory for a policy's files.

    Raises:
        InvalidImageError: the base's policy or its ``prepare-root.conf`` is malformed.
        ToolError: the base has a SELinux policy and libselinux is missing.
    """
    keep_var = keeps_var(var_content)
    if root is None:
        return LayerRules(PathRules(allow_nonusr=True, keep_var=keep_var), None)
    paths = PathRules(allow_nonusr=allows_nonusr(trees, root.tree), keep_var=keep_var)
    return LayerRules(paths, load_labeler(trees, root.tree, directory))


def keeps_var(choice: VarContent) -> bool:
    """Say whether ``/var`` of derived layers stays where it is."""
    if choice is VarContent.AUTO:
        return ostree_version() >= KEEP_VAR_FROM
    return choice is VarContent.KEEP


class BaseArrival:
    """The wait for the base of one image; a context that releases its SELinux policy.

    Args:
        plan: What is done about each layer of the image.
        trees: Where the base is, or will be.
        read: Reads the rules from the base's root once its files are there.
    """

    def __init__(
        self, plan: PullPlan, trees: Trees, read: Callable[[Directory | None], LayerRules]
    ) -> None:
        self._trees = trees
        self._read = read
        self._has_base = plan.base is not None
        self._commit = plan.base.commit if plan.base else None
        fetched = [entry.layer.kind for entry in plan.chosen(LayerAction.FETCH)]
        self._missing = sum(kind is not LayerKind.DERIVED for kind in fetched)
        self._condition = threading.Condition()
        self._rules: LayerRules | None = None
        self._cancelled = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Nothing is opened before the base is there."""
        return self

    def __exit__(self, *details: object) -> None:
        """Release the policy, which no layer needs any more."""
        self._stack.close()

    def note_layer(self, commit: str, kind: LayerKind) -> None:
        """Note that one more ostree layer is complete, as *commit*."""
        with self._condition:
            if kind is LayerKind.COMMIT:
                self._commit = commit
            self._missing -= 1
            self._condition.notify_all()

    def cancel(self) -> None:
        """Wake up whoever waits; no more layers will arrive."""
        with self._condition:
            self._cancelled = True
            self._condition.notify_all()

    def wait_for_rules(self) -> LayerRules:
        """Return the rules for derived layers once they are known.

        Raises:
            Cancelled: they will never be.
            OrchError: what the base says of them is malformed.
        """
        with self._condition:
            while self._rules is None:
                if self._cancelled:
                    raise Cancelled
                if self._is_readable():
                    self._rules = self._read(self._root())
                    self._stack.enter_context(self._rules.labeler or nullcontext())
                else:
                    self._condition.wait()
            return self._rules

    def _is_readable(self) -> bool:
        if not self._has_base or self._missing == 0:
            return True
        root = self._root()
        if root is None:
            return False
        return all(map(self._trees.store.has_file, needed_contents(self._trees, root.tree)))

    def _root(self) -> Directory | None:
        return None if self._commit is None else self._trees.commit_root(self._commit)
