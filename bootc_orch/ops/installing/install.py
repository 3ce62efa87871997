"""Install an image into an empty root filesystem that is already made and mounted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bootc_orch.model.host.bootloader import Bootloader
from bootc_orch.model.host.deployment import Deployment
from bootc_orch.model.host.kargs import check_argument
from bootc_orch.model.host.origin import Origin
from bootc_orch.model.image.reference import OstreeImageReference
from bootc_orch.model.safe_text import safe_stateroot, safe_text
from bootc_orch.ops.deploying import bound
from bootc_orch.ops.deploying.composefs import require_composefs
from bootc_orch.ops.deploying.deploy import DeployRequest, deploy, synchronise
from bootc_orch.ops.deploying.kargs import image_kargs
from bootc_orch.ops.importing.pull import pull
from bootc_orch.ops.installing.bootloader import (
    LoaderPlan,
    apply_bootloader,
    doubt_of_entries,
    plan_bootloader,
    require_boot_filesystem,
    require_payload,
)
from bootc_orch.ops.opening.pull_plan import PullOptions, PullResult
from bootc_orch.ops.stored.boot_files import find_boot_files, require_boot_space
from bootc_orch.ops.stored.lock import locked
from bootc_orch.ops.stored.new_root import CommitTree, checked_out
from bootc_orch.ops.stored.progress import Progress, Step
from bootc_orch.process import run
from bootc_orch.tools.filesystem import filesystem_uuid, finalize
from bootc_orch.tools.mounts import is_mount_point
from bootc_orch.tools.ostree.admin import DeployOptions, OstreeAdmin
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.below import Below
from orch_frame.errors import InvalidImageError, UsageError

# What bootc's install sets: the loader reads BLS entries by itself, and /boot is part of the root.
REPO_SETTINGS = (
    ("sysroot.bootloader", "none"),
    ("sysroot.bootprefix", "true"),
    ("sysroot.readonly", "true"),
)
# What a new filesystem may hold.
HARMLESS = ("lost+found", "boot", "efi")
FSTAB = "etc/fstab"


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """What to install, and where.

    Attributes:
        root: The mounted root filesystem.
        source: Where the image is pulled from.
        target: What the installed system will follow.
        stateroot: The name of its stateroot.
        kargs: Kernel arguments of the administrator, in order.
        root_spec: How the kernel finds the root filesystem, such as ``UUID=…``; None to ask the
            mounted filesystem, empty for no argument.
        boot_spec: The same for a ``/boot`` of its own.
        disable_selinux: Switch SELinux off on the installed system.
        finalize: Trim the filesystem and make it read-only in the end.
        bootloader: Which boot loader to install.
        bootloader_device: The disk that it is installed on, for BIOS.
    """

    root: Path
    source: OstreeImageReference
    target: OstreeImageReference
    stateroot: str = "default"
    kargs: tuple[str, ...] = ()
    root_spec: str | None = None
    boot_spec: str | None = None
    disable_selinux: bool = False
    finalize: bool = True
    bootloader: Bootloader = Bootloader.NONE
    bootloader_device: str | None = None


@dataclass(frozen=True, slots=True)
class Installed:
    """What an installation left.

    Attributes:
        deployment: The deployment that boots next.
        image: What was pulled.
    """

    deployment: Deployment
    image: PullResult


def install(
    request: InstallRequest,
    options: PullOptions,
    bound_options: bound.BoundOptions,
    progress: Progress,
) -> Installed:
    """Install; a root that an earlier, unfinished installation left can be used again.

    Raises:
        UsageError: the root is not empty, or an argument cannot be used.
        OrchError: anything else failed; the root boots nothing.
    """
    check_root(request)
    loader = require_installable(request)
    mounts = host_kargs(request)
    if doubt := doubt_of_entries(request.root):
        progress.warning(doubt)
    sysroot = prepare_root(request)
    with locked(sysroot.repo_path, exclusive=True, timeout=options.transfer.lock_timeout):
        pulled = _pull_image(request, sysroot, options, progress)
        repo = sysroot.repo()
        tree = CommitTree(repo, pulled.commit)
        require_composefs(tree)
        require_payload(loader, tree)
        require_mount_table(tree)
        require_boot_space(sysroot, repo, find_boot_files(repo, tree))
        apps = None
        if bound.is_bound(tree):
            progress.step(Step.BOUND_IMAGES)
            with checked_out(repo, pulled.commit) as root:
                name = bound.next_name(sysroot, request.stateroot, pulled.commit)
                apps = bound.prepare(root, sysroot, name, bound_options, progress)
        progress.step(Step.DEPLOYING)
        deployed = deploy(
            sysroot,
            DeployRequest(
                pulled.commit,
                Origin.for_container(str(request.target)),
                DeployOptions(request.stateroot, kargs=all_kargs(request, mounts, tree)),
            ),
        )
        bound.record(apps, sysroot, deployed)
        _finish(request, sysroot, deployed, loader)
    if request.finalize:  # only now: the lock is a file that is open for writing
        for path in (request.root / "boot", request.root):
            finalize(path)
    return Installed(deployed, pulled)


def _pull_image(
    request: InstallRequest, sysroot: Sysroot, options: PullOptions, progress: Progress
) -> PullResult:
    """Pull a bootable image into *sysroot*, under the name that the installed system follows."""
    wanted = replace(options, gc=False, require_bootable=True, target=request.target.image)
    return pull(sysroot.repo_path, request.source, wanted, progress)


def require_installable(request: InstallRequest) -> LoaderPlan:
    """Make sure of what can be known before anything is written.

    Returns:
        How the boot loader is installed.

    Raises:
        UsageError: ``/boot`` is on a filesystem that ostree or the boot loader cannot use, or where
            to install it is not said.
        ToolError: the installer of the boot loader, or what that needs, is not there.
    """
    require_boot_filesystem(request.root)
    return plan_bootloader(request.bootloader, request.root, request.bootloader_device)


def prepare_root(request: InstallRequest) -> Sysroot:
    """Make a root that `check_root` found fit into a sysroot with a repository and a stateroot."""
    root = request.root
    admin = OstreeAdmin(root)
    if not Below(root).is_dir("ostree/repo"):
        admin.init_fs()
    sysroot = Sysroot(root)
    for key, value in REPO_SETTINGS:
        run(["ostree", "config", f"--repo={sysroot.repo_path}", "set", key, value])
    if not sysroot.below.is_dir(f"ostree/deploy/{request.stateroot}"):
        admin.os_init(request.stateroot)
    return sysroot


def check_root(request: InstallRequest) -> None:
    """Make sure that the root can be installed into: it is empty, or was left unfinished.

    Raises:
        UsageError: it does not exist, or holds something else.
    """
    root = request.root
    safe_stateroot(request.stateroot)
    if not root.is_dir():
        raise UsageError(
            f"{root} is no directory.", hint="Mount the root filesystem there.", path=str(root)
        )
    foreign = [name for name in Below(root).names("") if name not in HARMLESS]
    if foreign and foreign != ["ostree"]:
        raise UsageError(
            f"{root} is not empty: it holds {foreign[0]}.",
            hint="Make and mount a new filesystem for the installation.",
            path=str(root),
        )
    if Below(root).is_dir("ostree/repo") and Sysroot(root).deployments().all:
        raise UsageError(
            f"{root} has a deployment already.",
            hint="Update it with: bootc-orch switch --sysroot",
            path=str(root),
        )


def host_kargs(request: InstallRequest) -> tuple[str, ...]:
    """Return the arguments that find the root, in bootc's order; none for an empty root spec."""
    spec = request.root_spec
    if spec is None:
        spec = f"UUID={filesystem_uuid(request.root)}"
    boot = _boot_spec(request)
    mounts = [f"root={spec}", "rw", *((f"boot={boot}",) if boot else ())] if spec else []
    try:
        for argument in (*mounts, *request.kargs):
            check_argument(argument, source="command line")
    except InvalidImageError as error:
        raise UsageError(error.summary) from error
    return tuple(mounts)


def all_kargs(request: InstallRequest, mounts: Sequence[str], tree: CommitTree) -> tuple[str, ...]:
    """Return the arguments of the first deployment: *mounts*, the image's, the administrator's.

    Raises:
        InvalidImageError: a ``kargs.d`` file of the image cannot be understood.
    """
    selinux = ("selinux=0",) if request.disable_selinux and _has_selinux(tree) else ()
    return (*mounts, *selinux, *(image_kargs(tree) or ()), *request.kargs)


def require_mount_table(tree: CommitTree) -> None:
    """Make sure that the image's table of mounts, if it brings one, is a file.

    Raises:
        InvalidImageError: it is a directory.
    """
    if tree.directory(f"usr/{FSTAB}") is not None:
        raise InvalidImageError(f"{FSTAB} in the image is a directory.", path=FSTAB)


def _has_selinux(tree: CommitTree) -> bool:
    """Say whether the image brings SELinux along, so that switching it off means something."""
    return any(tree.read(f"{place}/selinux/config") for place in ("etc", "usr/etc"))


def _boot_spec(request: InstallRequest) -> str | None:
    """Say how ``/boot`` is found where it is a filesystem of its own; else nothing."""
    boot = request.root / "boot"
    if request.boot_spec is not None:
        spec = safe_text(request.boot_spec, what="--boot-mount-spec")
        if spec and not is_mount_point(boot):
            raise UsageError(
                f"/boot shall be {spec}, but nothing is mounted at {boot}.",
                hint="Mount it there first: kernel and boot entries are written to it.",
                path=str(boot),
            )
        return spec or None
    return f"UUID={filesystem_uuid(boot)}" if is_mount_point(boot) else None


def _finish(
    request: InstallRequest, sysroot: Sysroot, deployed: Deployment, loader: LoaderPlan
) -> None:
    boot = _boot_spec(request)
    if boot:
        _add_mount(Below(deployed.path), f"{boot} /boot auto ro 0 0\n".encode())
    apply_bootloader(loader, deployed.path)
    synchronise(sysroot)


def _add_mount(deployment: Below, line: bytes) -> None:
    """Append *line* to the table of mounts; what stands there may be in any encoding."""
    table = deployment.read(FSTAB) or b""
    end = b"\n" if table and not table.endswith(b"\n") else b""
    deployment.replace(FSTAB, table + end + line)
