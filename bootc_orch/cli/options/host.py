"""Options and steps that the host commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.options.general import config, first_given
from orch_frame.errors import ToolError, UsageError

if TYPE_CHECKING:
    from bootc_orch.cli.options.fetching import Fetching
    from bootc_orch.model.host.kargs import KargsEdit
    from bootc_orch.ops.host.transaction import TransactionOptions
    from bootc_orch.tools.ostree.sysroot import Sysroot


class BoundChoice(StrEnum):
    """The values of ``--bound-images``."""

    STORED = "stored"
    PULL = "pull"
    SKIP = "skip"


Apply = Annotated[
    bool, typer.Option("--apply", help="Reboot into the new system when it is staged.")
]
SoftReboot = Annotated[
    str | None,
    typer.Option("--soft-reboot", hidden=True, help="Not supported; refused with status 69."),
]
Kargs = Annotated[
    list[str] | None,
    typer.Option("--karg", metavar="KEY[=VALUE]", help="Add this kernel argument; repeatable."),
]
BoundImages = Annotated[
    BoundChoice,
    typer.Option(
        "--bound-images",
        help="Take app images from registries, from this machine's containers/storage, or skip "
        "them.",
    ),
]
Hooks = Annotated[
    list[Path] | None,
    typer.Option(
        "--hooks", metavar="DIR", help="Look for pre-stage hooks here instead; repeatable."
    ),
]


def open_for_update(path: Path, *, plan: bool, diff: bool) -> Sysroot:
    """Open the sysroot at *path* for a transaction or its plan.

    A plan needs a place for private copies as well; where the privilege is lacking, it may do
    without.

    Raises:
        NotFoundError: there is none.
        ReadOnlyError: it cannot be made writable, and has to be.
    """
    return open_sysroot(path, writing=not plan or diff or os.geteuid() == 0)


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


def refuse_soft_reboot(value: str | None) -> None:
    """Refuse what only newer tools than those of the oldest supported system can do.

    Raises:
        ToolError: a soft reboot was asked for.
    """
    if value is not None:
        raise ToolError(
            "Soft reboots are not supported.", hint="Leave --soft-reboot out, and reboot."
        )


def transaction_options(
    fetching: Fetching, *, bound: str = BoundChoice.PULL, hooks: list[Path] | None = None
) -> TransactionOptions:
    """Combine the options of the command line with the configuration."""
    from bootc_orch.ops.deploying.bound import BoundMode, BoundOptions
    from bootc_orch.ops.deploying.hooks import DIRECTORIES
    from bootc_orch.ops.host.transaction import TransactionOptions

    pull = fetching.pull_options()
    chosen = config()
    bound_options = BoundOptions(
        mode=BoundMode(bound),
        jobs=first_given(fetching.jobs, chosen.jobs, None),
        retries=first_given(fetching.retries, chosen.retries, None),
        retry_delay=first_given(fetching.retry_delay, chosen.retry_delay, None),
        authfile=pull.proxy.authfile,
        offline=fetching.offline,
        host_files=chosen.bound_host_files or False,
    )
    return TransactionOptions(pull, bound_options, tuple(hooks) if hooks else DIRECTORIES)


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
