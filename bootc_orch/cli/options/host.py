"""Options and steps that the host commands share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.options.configured import config, lock_timeout
from bootc_orch.cli.options.fetching import pull_options
from bootc_orch.cli.options.general import Plan
from orch_frame.errors import ToolError, UsageError
from orch_frame.options.fetching import LockTimeout

if TYPE_CHECKING:
    from bootc_orch.model.host.kargs import KargsEdit
    from bootc_orch.ops.host.transaction import TransactionOptions
    from bootc_orch.tools.ostree.sysroot import Sysroot
    from orch_frame.options.fetching import Fetching


class BoundChoice(StrEnum):
    """The values of ``--bound-images``."""

    STORED = "stored"
    PULL = "pull"
    SKIP = "skip"


Kargs = Annotated[
    list[str] | None,
    typer.Option("--karg", metavar="KEY[=VALUE]", help="Add this kernel argument; repeatable."),
]
EnforcePolicy = Annotated[
    bool,
    typer.Option(
        "--enforce-container-sigpolicy", help="Demand a signature policy that is not open."
    ),
]
BoundImages = Annotated[
    BoundChoice,
    typer.Option(
        "--bound-images",
        help="Take app images from registries, from this machine's containers/storage, or skip "
        "them.",
    ),
]
SysrootOption = Annotated[
    Path,
    typer.Option(
        "--sysroot",
        "--root",
        metavar="DIR",
        readable=False,  # access(2) asks for the real user, who need not be the one that reads
        help="The root that holds the deployments.",
    ),
]


def _refuse_soft_reboot(value: str | None) -> None:
    """Refuse what only newer tools than those of the oldest supported system can do."""
    if value is not None:
        raise ToolError(
            "Soft reboots are not supported.", hint="Leave --soft-reboot out, and reboot."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Booting:
    """Whether to boot into what was done."""

    apply: Annotated[
        bool, typer.Option("--apply", help="Reboot into the new system when it is staged.")
    ] = False
    soft_reboot: Annotated[
        str | None,
        typer.Option(
            "--soft-reboot",
            hidden=True,
            callback=_refuse_soft_reboot,
            help="Not supported; refused with status 69.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """Whether to say what would be done instead of doing it, and in how much detail."""

    plan: Plan = False
    diff: Annotated[
        bool,
        typer.Option(
            "--diff",
            help="With --plan: fetch the image, deploy nothing, and print which app images, "
            "packages and files differ.",
        ),
    ] = False

    def __post_init__(self) -> None:
        """Make sure that who asks what differs wants no deployment.

        Raises:
            UsageError: ``--diff`` comes without ``--plan``.
        """
        if self.diff and not self.plan:
            raise UsageError("--diff is a part of a plan.", hint="Add --plan; nothing was done.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploying:
    """Where a new system is deployed, and what goes with it."""

    bound_images: BoundImages = BoundChoice.PULL
    hooks: Annotated[
        list[Path] | None,
        typer.Option(
            "--hooks", metavar="DIR", help="Look for pre-stage hooks here instead; repeatable."
        ),
    ] = None
    sysroot: SysrootOption = Path("/")

    def transaction_options(self, fetching: Fetching) -> TransactionOptions:
        """Combine the options of the command line with the configuration."""
        return transaction_options(fetching, bound=self.bound_images, hooks=self.hooks)

    def open_sysroot(self, planning: Planning) -> Sysroot:
        """Open the sysroot for a transaction or its plan.

        A plan needs a place for private copies as well; where the privilege is lacking, it may do
        without.

        Raises:
            NotFoundError: there is none.
            ReadOnlyError: it cannot be made writable, and has to be.
        """
        writing = not planning.plan or planning.diff or os.geteuid() == 0
        return open_sysroot(self.sysroot, writing=writing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Which host a command works on, and how long it waits for others that do."""

    sysroot: SysrootOption = Path("/")
    wait: LockTimeout = None

    @property
    def lock_timeout(self) -> float:
        """Seconds to wait for a lock."""
        return lock_timeout(self.wait)

    def open_sysroot(self, *, writing: bool = True) -> Sysroot:
        """Open the sysroot; see `open_sysroot`."""
        return open_sysroot(self.sysroot, writing=writing)


def open_sysroot(path: Path, *, writing: bool = False) -> Sysroot:
    """Open the sysroot at *path*; where it is the running one, make it writable for us alone.

    Raises:
        NotFoundError: there is none.
        ReadOnlyError: it cannot be made writable.
    """
    from bootc_orch.tools.mounts import writable_sysroot
    from bootc_orch.tools.ostree.sysroot import Sysroot, is_booted

    if writing and path == Path("/") and is_booted():
        writable_sysroot(path)
    return Sysroot(path)


def require_running(sysroot: Sysroot, *, apply: bool) -> None:
    """Make sure that a reboot, if one is asked for, starts what is done to *sysroot*.

    Raises:
        UsageError: this machine does not run from there.
    """
    if apply and sysroot.deployments().booted is None:
        raise UsageError(
            f"This machine does not run from {sysroot.path}, so no reboot can start that.",
            hint="Leave out --apply, or the policy apply; nothing was done.",
        )


def transaction_options(
    fetching: Fetching, *, bound: str = BoundChoice.PULL, hooks: list[Path] | None = None
) -> TransactionOptions:
    """Combine the options of the command line with the configuration."""
    from bootc_orch.ops.deploying.bound import BoundMode
    from bootc_orch.ops.deploying.hooks import DIRECTORIES
    from bootc_orch.ops.host.transaction import TransactionOptions

    return TransactionOptions(
        pull_options(fetching),
        BoundMode(bound),
        bound_host_files=config().bound_host_files or False,
        hooks=tuple(hooks) if hooks else DIRECTORIES,
    )


def kargs_edit(
    *, append: list[str] | None, replace: list[str] | None = None, delete: list[str] | None = None
) -> KargsEdit:
    """Check the kernel arguments of a command line.

    Raises:
        UsageError: one of them cannot stand in a boot entry.
    """
    from bootc_orch.model.host.kargs import KargsEdit, check_argument
    from orch_frame.errors import InvalidImageError

    try:
        for argument in (*(append or ()), *(replace or ()), *(delete or ())):
            check_argument(argument, source="command line")
    except InvalidImageError as error:
        raise UsageError(error.summary) from error
    return KargsEdit(tuple(delete or ()), tuple(replace or ()), tuple(append or ()))
