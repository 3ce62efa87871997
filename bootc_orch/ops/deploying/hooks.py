"""Hooks that look at a new root before it is staged, and may refuse it.

A hook is an executable in one of `DIRECTORIES`; where two have one name, the first directory wins,
and a link to ``/dev/null`` there switches it off.  It gets the new root's path as its argument.
One that somebody else than root could change is never run.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bootc_orch.errors import CommandError
from bootc_orch.process import run
from bootc_orch.tools.mounts import enter_private_namespace, read_only_bind
from bootc_orch.tools.root_only import require_root_only
from orch_frame.errors import OrchError

logger = logging.getLogger(__name__)

DIRECTORIES = (Path("/etc/bootc-orch/pre-stage.d"), Path("/usr/lib/bootc-orch/pre-stage.d"))


class HookError(OrchError):
    """A hook refused the new root."""

    kind = "refused"


def find_hooks(directories: Sequence[Path] = DIRECTORIES) -> tuple[Path, ...]:
    """List the hooks in the order of their names."""
    found: dict[str, Path] = {}
    for directory in reversed(directories):
        for path in directory.glob("*") if directory.is_dir() else ():
            found[path.name] = path
    return tuple(
        found[name]
        for name in sorted(found)
        if found[name].is_file() and os.access(found[name], os.X_OK)
    )


def run_hooks(hooks: Sequence[Path], root: Path, facts: Mapping[str, str]) -> None:
    """Show each hook *root*, mounted read-only, and *facts* in its environment.

    Raises:
        ForeignFileError: somebody else than root can change one of them; none was run.
        HookError: one of them ended with another status than 0; later ones were not run.
    """
    if not hooks:
        return
    for hook in hooks:
        require_root_only(hook, what="hook")
    enter_private_namespace()
    with (
        tempfile.TemporaryDirectory(prefix="bootc-orch-hook-") as directory,
        read_only_bind(root, Path(directory)) as shown,
    ):
        ask_hooks(hooks, shown, facts)


def ask_hooks(hooks: Sequence[Path], shown: Path, facts: Mapping[str, str]) -> None:
    """Have each hook look at the new root, which is *shown*; *facts* are in its environment.

    Raises:
        HookError: one of them ended with another status than 0; later ones were not run.
    """
    for hook in hooks:
        logger.info("running %s", hook)
        try:
            run([str(hook), str(shown)], env={**facts, "BOOTC_ORCH_ROOT": str(shown)})
        except CommandError as error:
            raise HookError(
                f"The hook {hook} refused the new system (status {error.status}).",
                details=error.stderr,
                hint="Nothing was staged; solve what the hook reports, then try again.",
                path=str(hook),
            ) from error
