"""Check a sysroot: boot entries, links, deployments, origins and app images, against each other."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bootc_orch.model.host.bls import BootEntry
from bootc_orch.model.host.deployment import Deployment
from bootc_orch.model.host.origin import Origin, OriginKind
from bootc_orch.model.image.reference import ImageReference, OstreeImageReference, SignatureSource
from bootc_orch.model.image.refs import image_ref
from bootc_orch.ops.checking.deployed_files import DeployedFiles
from bootc_orch.ops.checking.finding import Finding, Remedy, Severity
from bootc_orch.ops.checking.fsck import Report, check_repository, needs_root
from bootc_orch.ops.deploying import bound
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.ostree.sysroot import Sysroot, deployment_directories, origin_files
from orch_frame.below import Below
from orch_frame.errors import OrchError, StoreDamagedError
from orch_frame.text import printable

RESOLV_CONF = "usr/etc/resolv.conf"
SHOWN = 3
DAMAGED_DEPLOYMENT = "damaged-deployment"


def check_sysroot(sysroot: Sysroot, *, contents: bool = True) -> Report:
    """Check *sysroot* with its repository.

    Raises:
        OrchError: the caller may not read everything.
    """
    if os.geteuid() != 0:
        raise needs_root(sysroot.path)
    repo = sysroot.repo()
    report = check_repository(repo, contents=contents)
    findings = [*report.findings]
    unclear: list[OrchError] = []
    deployments = sysroot.deployments(unclear.append).all
    useless = {error.path: error for error in unclear}
    origins = [useless.pop(str(one.origin_path), None) for one in deployments]
    findings += [_damaged_boot_list(sysroot, error) for error in useless.values()]
    findings += _check_entries(sysroot)
    damaged = {name for finding in report.findings for name in finding.objects}
    files = DeployedFiles(repo, damaged, contents=contents)
    for deployment, error in zip(deployments, origins, strict=True):
        findings += _check_deployment(repo, deployment)
        findings += _check_origin(repo, deployment, error)
        findings += _check_files(files, deployment)
        findings += _check_apps(sysroot, deployment)
    if not useless:  # else what it boots is not known
        findings += _check_leftovers(sysroot, deployments)
    return replace(report, findings=tuple(findings), deployments=len(deployments))


def _damaged_boot_list(sysroot: Sysroot, error: OrchError) -> Finding:
    """Describe it; ostree refuses every change meanwhile, so deploying anew is no way out."""
    subject = error.path or str(sysroot.path)
    detail = error.summary if subject in error.summary else f"{subject}: {error.summary}"
    return Finding(
        "damaged-boot-list", subject, detail, Remedy.BY_HAND, advice=_as_step(error.hint)
    )


def _as_step(hint: str | None) -> str:
    """Turn the hint of an error into a step like the others: no sentence."""
    return f"{hint[0].lower()}{hint[1:].rstrip('.')}" if hint else ""


def _check_entries(sysroot: Sysroot) -> Iterator[Finding]:
    for entry in sysroot.boot_entries(lambda _: None):  # reported with the deployments
        files = [(key, entry.get(key)) for key in ("linux", "initrd")]
        found = []
        for key, name in files:
            path = _boot_path(name) if name else None
            if path is None or not _has_content(sysroot.below, path):
                detail = f"The boot entry {entry.name} names {key} {name}, which is not there."
                yield Finding("missing-boot-file", entry.name, detail, Remedy.REDEPLOY)
            else:
                found.append(path)
        if len(found) == len(files):
            yield from _check_bootcsum(sysroot.below, entry, found)


def _is_empty(below: Below, path: str) -> bool:
    return below.is_file(path) and not _has_content(below, path)


def _has_content(below: Below, path: str) -> bool:
    try:
        status = below.status(path)
    except StoreDamagedError:
        return False
    return status is not None and stat.S_ISREG(status.st_mode) and status.st_size > 0


def _check_bootcsum(below: Below, entry: BootEntry, files: list[str]) -> Iterator[Finding]:
    """Kernel and initramfs have one checksum, unless a device tree is part of it too."""
    if entry.link is None or entry.get("devicetree") or entry.get("fdtdir"):
        return
    digest = hashlib.sha256()
    for path in files:
        with below.stream(path) as stream:
            while block := stream.read(1 << 20) if stream else b"":
                digest.update(block)
    if digest.hexdigest() != entry.link.bootcsum:
        yield Finding(
            "damaged-boot-file",
            entry.name,
            f"Kernel and initramfs of the boot entry {entry.name} are not what it was made for.",
            Remedy.REDEPLOY,
        )


def _boot_path(name: str) -> str:
    """Find a boot file; entries name it from the root, or from a ``/boot`` of its own."""
    return f"boot/{name.removeprefix('/boot').lstrip('/')}"


def _check_deployment(repo: Repo, deployment: Deployment) -> Iterator[Finding]:
    name = deployment.name
    if not repo.has_commit(deployment.checksum):
        detail = f"The commit of deployment {name} is not in the repository."
        yield Finding("missing-commit", name, detail, Remedy.REDEPLOY)
    if _is_empty(Below(deployment.path), RESOLV_CONF):
        yield Finding(
            "empty-resolv-conf",
            name,
            f"Deployment {name} has an empty {RESOLV_CONF}, which comes from an image build.",
            Remedy.REDEPLOY,
            Severity.WARNING,
        )


def _check_files(files: DeployedFiles, deployment: Deployment) -> Iterator[Finding]:
    wrong = sorted(files.wrong(deployment), key=lambda file: file.path)
    for kind, remedy, paths in (
        (DAMAGED_DEPLOYMENT, Remedy.REPAIR, [one.path for one in wrong if one.checksum]),
        ("missing-directory", Remedy.REDEPLOY, [one.path for one in wrong if not one.checksum]),
    ):
        if paths:
            shown = ", ".join(printable(path) for path in paths[:SHOWN])
            more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
            yield Finding(
                kind,
                deployment.name,
                f"Deployment {deployment.name} is not what its commit says: {shown}{more}.",
                remedy,
                paths=tuple(paths),
            )


def _check_origin(repo: Repo, deployment: Deployment, error: OrchError | None) -> Iterator[Finding]:
    """Look at what *deployment* follows; *error* is why its origin cannot be understood."""
    name = deployment.name
    kind = deployment.origin.kind
    if error is not None:
        yield _bad_origin(deployment, error)
    elif kind is OriginKind.NONE:
        detail = f"Deployment {name} has no origin, so nothing says what it follows."
        yield Finding(
            "missing-origin", name, detail, Remedy.REWRITE_ORIGIN, severity=Severity.WARNING
        )
    elif kind is OriginKind.CONTAINER:
        yield from _check_container_origin(repo, deployment)


def _bad_origin(deployment: Deployment, error: OrchError) -> Finding:
    path = deployment.origin_path
    reason = error.summary.removeprefix(f"{path}: ")
    return Finding(
        "bad-origin",
        deployment.name,
        f"The origin of deployment {deployment.name}, {path}, is damaged: {reason}",
        Remedy.REWRITE_ORIGIN,
        advice=_as_step(error.hint),
    )


def _check_container_origin(repo: Repo, deployment: Deployment) -> Iterator[Finding]:
    try:
        reference = OstreeImageReference.parse(deployment.origin.container or "")
    except OrchError as error:
        yield _bad_origin(deployment, error)
        return
    try:
        present = repo.rev_parse(image_ref(reference.image)) is not None
    except OrchError:  # reported as a damaged ref
        return
    if not present:
        detail = f"Deployment {deployment.name} follows {reference.image}, which is not stored."
        yield Finding(
            "missing-image", deployment.name, detail, Remedy.PULL, severity=Severity.WARNING
        )


def _check_apps(sysroot: Sysroot, deployment: Deployment) -> Iterator[Finding]:
    try:
        problems = bound.problems(sysroot, deployment)
    except OrchError as error:
        yield Finding(
            "unchecked-bound-images",
            deployment.name,
            f"The app images of deployment {deployment.name} cannot be checked: {error.summary}",
            Remedy.SYNC,
            Severity.WARNING,
        )
        return
    for image, detail in problems:
        yield Finding("bound-image", image, f"Deployment {deployment.name}: {detail}", Remedy.SYNC)


def _check_leftovers(sysroot: Sysroot, deployments: tuple[Deployment, ...]) -> Iterator[Finding]:
    known = {deployment.path.resolve() for deployment in deployments}
    for path in deployment_directories(sysroot):
        if path.resolve() not in known:
            yield Finding(
                "leftover-deployment",
                path.name,
                f"Nothing boots the deployment {path}.",
                Remedy.CLEANUP,
                Severity.WARNING,
            )


def deployed_signatures(root: Path) -> dict[ImageReference, SignatureSource]:
    """Return who has to vouch for each image that a deployment in *root* follows."""
    found = {}
    for path, text in origin_files(root):
        container = Origin.parse(text, source=str(path)).container
        if container is not None:
            reference = OstreeImageReference.parse(container)
            found[reference.image] = reference.signature
    return found
