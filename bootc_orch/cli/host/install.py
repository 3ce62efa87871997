"""``install to-filesystem``: put an image into an empty, mounted root filesystem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.options.general import ProgressFd
from bootc_orch.cli.options.host import (
    BoundChoice,
    BoundImages,
    EnforcePolicy,
    Kargs,
    Planning,
    kargs_edit,
    transaction_options,
)
from bootc_orch.cli.terminal.progress import reporting
from bootc_orch.model.host.bootloader import Bootloader
from orch_frame.errors import UsageError
from orch_frame.options.fetching import Fetching
from orch_frame.options.printing import with_output
from orch_frame.output import say, say_result

if TYPE_CHECKING:
    from bootc_orch.model.image.reference import OstreeImageReference
    from bootc_orch.ops.host.transaction import TransactionOptions
    from bootc_orch.ops.installing.install import InstallRequest

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def install() -> None:
    """Install an image as a new system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledImage:
    """What is installed, and what the system follows then."""

    source_imgref: Annotated[
        str,
        typer.Option(
            "--source-imgref",
            metavar="IMAGE",
            help="What to install, such as docker://quay.io/a/b:1 or oci:/images/os:1.",
        ),
    ]
    target_imgref: Annotated[
        str | None,
        typer.Option(
            "--target-imgref", metavar="NAME", help="What the system shall follow instead."
        ),
    ] = None
    target_transport: Annotated[
        str,
        typer.Option("--target-transport", metavar="TRANSPORT", help="Where --target-imgref is."),
    ] = "registry"
    enforce_container_sigpolicy: EnforcePolicy = False

    def references(self) -> tuple[OstreeImageReference, OstreeImageReference]:
        """Return what is pulled, and what is followed.

        Raises:
            UsageError: a name cannot be a reference.
        """
        from bootc_orch.ops.host.switch import install_references

        return install_references(
            self.source_imgref,
            self.target_imgref,
            self.target_transport,
            enforce_policy=self.enforce_container_sigpolicy,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSystem:
    """How the new system is set up."""

    stateroot: Annotated[
        str, typer.Option("--stateroot", metavar="NAME", help="The name of the stateroot.")
    ] = "default"
    karg: Kargs = None
    root_mount_spec: Annotated[
        str | None,
        typer.Option(
            "--root-mount-spec",
            metavar="SPEC",
            help="How the kernel finds the root, such as LABEL=root; empty for no root=.",
        ),
    ] = None
    boot_mount_spec: Annotated[
        str | None,
        typer.Option("--boot-mount-spec", metavar="SPEC", help="The same for /boot."),
    ] = None
    disable_selinux: Annotated[
        bool, typer.Option("--disable-selinux", help="Boot the system with SELinux off.")
    ] = False
    skip_finalize: Annotated[
        bool,
        typer.Option("--skip-finalize", help="Leave the filesystem writable in the end."),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledBootloader:
    """Which boot loader is installed, and where."""

    bootloader: Annotated[
        Bootloader,
        typer.Option(
            "--bootloader", help="Install this boot loader: none, grub, systemd or bootupd."
        ),
    ] = Bootloader.NONE
    bootloader_device: Annotated[
        str | None,
        typer.Option(
            "--bootloader-device", metavar="DEV", help="The disk to install it on, for BIOS."
        ),
    ] = None

    def __post_init__(self) -> None:
        """Make sure that a disk comes with something to install there.

        Raises:
            UsageError: it does not.
        """
        if self.bootloader_device is not None and self.bootloader is Bootloader.NONE:
            raise UsageError(
                "--bootloader-device is given, but no boot loader.",
                hint="Name it with --bootloader.",
            )


@app.command("to-filesystem")
@with_output
def to_filesystem(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The mounted root filesystem.")],
    *,
    image: InstalledImage,
    system: NewSystem,
    bound_images: BoundImages = BoundChoice.STORED,
    loader: InstalledBootloader,
    planning: Planning,
    fetching: Fetching,
    progress_fd: ProgressFd = None,
) -> None:
    """Install into ROOT; partitions and filesystems are made by other tools."""
    from bootc_orch.ops.installing.install import InstallRequest

    source, target = image.references()
    options = transaction_options(fetching, bound=bound_images)
    request = InstallRequest(
        root=root,
        source=source,
        target=target,
        stateroot=system.stateroot,
        kargs=kargs_edit(append=system.karg).append,
        root_spec=system.root_mount_spec,
        boot_spec=system.boot_mount_spec,
        disable_selinux=system.disable_selinux,
        finalize=not system.skip_finalize,
        bootloader=loader.bootloader,
        bootloader_device=loader.bootloader_device,
    )
    if planning.plan:
        _say_plan(request, options, progress_fd, diff=planning.diff)
    else:
        _install(request, options, progress_fd)


def _say_plan(
    request: InstallRequest, options: TransactionOptions, progress_fd: int | None, *, diff: bool
) -> None:
    from bootc_orch.cli.terminal.transaction_plan import say_transaction_plan
    from bootc_orch.ops.installing.install_plan import plan_install, preview_install

    find_out = preview_install if diff else plan_install
    with reporting(progress_fd) as progress:
        found = find_out(request, options, progress)
    say_transaction_plan(found, headline="Would install")


def _install(request: InstallRequest, options: TransactionOptions, progress_fd: int | None) -> None:
    from bootc_orch.ops.installing.install import install

    with reporting(progress_fd) as progress:
        done = install(request, options.pull, options.bound, progress)
    say(f"Installed: {request.target} => {done.deployment.name}")
    say_result(
        "installed",
        {
            "reference": str(request.target),
            "commit": done.image.commit,
            "manifest_digest": str(done.image.manifest_digest),
            "deployment": done.deployment.name,
            "kargs": list(done.deployment.kargs),
        },
    )
