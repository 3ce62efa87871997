"""``ostree admin``: one method for each verb, on one sysroot.

Source of the command lines: ostree 2022.7 to 2026.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bootc_orch.process import run
from bootc_orch.tools.ostree.repo import ostree_version
from orch_frame.errors import ToolError

SET_DEFAULT_SINCE = (2023, 6)
LOCKING_SINCE = (2023, 8)


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """How ``ostree admin deploy`` is to act.

    Attributes:
        stateroot: The stateroot to deploy into.
        kargs: All kernel arguments of the new deployment, in order; None carries over those of the
            deployment that it replaces.
        stage: Write it out at shutdown; only on the running system.
        locked: Keep a staged deployment from being written out until it is released.
        retain: Keep all other deployments, also those that are neither booted nor the last ones.
        default: Let it boot next; else it comes after what is running.
    """

    stateroot: str
    kargs: tuple[str, ...] | None = None
    stage: bool = False
    locked: bool = False
    retain: bool = False
    default: bool = True


class OstreeAdmin:
    """``ostree admin`` on the sysroot at *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def init_fs(self) -> None:
        """Create ``boot`` and ``ostree`` in an empty root; what exists is left as it is."""
        run(["ostree", "admin", "init-fs", "--modern", str(self.path)])

    def os_init(self, stateroot: str) -> None:
        """Create *stateroot*; it must not exist."""
        self._run("os-init", stateroot)

    def deploy(self, commit: str, origin: Path, options: DeployOptions) -> None:
        """Deploy *commit*, with the origin file *origin*.

        The repository is not pruned: what is still needed is not for ostree alone to say.
        """
        kargs = options.kargs
        self._run(
            "deploy",
            f"--os={options.stateroot}",
            f"--origin-file={origin}",
            "--no-prune",
            *(("--stage",) if options.stage else ()),
            *(("--lock-finalization",) if options.locked else ()),
            *(("--retain",) if options.retain else ()),
            *(() if options.default else ("--not-as-default",)),
            *(("--karg-none",) if kargs is not None else ()),
            *(f"--karg-append={argument}" for argument in kargs or ()),
            commit,
        )

    def set_default(self, index: int) -> None:
        """Make the deployment at *index* the next to boot; the others keep their order.

        Raises:
            ToolError: ostree is older than `SET_DEFAULT_SINCE`.
        """
        require(SET_DEFAULT_SINCE, "changing the boot order")
        self._run("set-default", str(index))

    def undeploy(self, index: int) -> None:
        """Remove the deployment at *index*; the booted one is refused by ostree."""
        self._run("undeploy", str(index))

    def pin(self, index: int, *, pinned: bool) -> None:
        """Keep the deployment at *index* from collection, or no longer."""
        self._run("pin", *(() if pinned else ("--unpin",)), str(index))

    def lock_finalization(self, *, locked: bool) -> None:
        """Hold back or release the staged deployment.

        Raises:
            ToolError: ostree is older than `LOCKING_SINCE`.
        """
        require(LOCKING_SINCE, "holding back a staged deployment")
        self._run("lock-finalization", *(() if locked else ("--unlock",)))

    def unlock(self, *, hotfix: bool = False, transient: bool = False) -> None:
        """Mount an overlay over ``/usr`` of the running system."""
        options = [("--hotfix", hotfix), ("--transient", transient)]
        self._run("unlock", *(name for name, wanted in options if wanted))

    def cleanup(self) -> None:
        """Remove what belongs to no deployment: directories, kernels, link farms."""
        self._run("cleanup")

    def _run(self, verb: str, *arguments: str) -> None:
        run(["ostree", "admin", verb, f"--sysroot={self.path}", *arguments])


def require(version: tuple[int, int], purpose: str) -> None:
    """Make sure that ostree is of *version* or newer.

    Raises:
        ToolError: it is older.
    """
    found = ostree_version()
    if found < version:
        raise ToolError(
            f"ostree {found[0]}.{found[1]} is too old for {purpose}: "
            f"{version[0]}.{version[1]} or newer is needed."
        )


def has(version: tuple[int, int]) -> bool:
    """Say whether ostree is of *version* or newer."""
    return ostree_version() >= version
