"""Repair a repository: have what is bad or missing again, and rebuild what was made of it.

A damaged image is pulled into a repository of its own, which starts with every layer that is
whole: so only the others are fetched, and the merge is made anew.  Its objects then take the place
of those that are bad, and its refs of those that are damaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bootc_orch.model.image.reference import (
    INSECURE,
    ImageReference,
    OstreeImageReference,
    SignatureSource,
    Transport,
)
from bootc_orch.model.image.refs import BLOB_PREFIX, IMAGE_PREFIX, blob_ref
from bootc_orch.ops.checking.deployed_files import DeployedFiles, put_right
from bootc_orch.ops.checking.finding import Finding, Remedy
from bootc_orch.ops.checking.fsck import check_repository, image_name
from bootc_orch.ops.checking.fsck_records import DAMAGED_NOTE, DAMAGED_RECORD, STALE_RECORD
from bootc_orch.ops.checking.fsck_sysroot import DAMAGED_DEPLOYMENT, check_sysroot
from bootc_orch.ops.checking.verify_objects import Verifier
from bootc_orch.ops.importing.pull import pull
from bootc_orch.ops.importing.recover import recover
from bootc_orch.ops.opening.pull_plan import PullOptions
from bootc_orch.ops.stored.known_layers import (
    KnownLayer,
    claim_layers,
    is_copied,
    known_layers,
    record_layers,
)
from bootc_orch.ops.stored.lock import locked
from bootc_orch.ops.stored.progress import Progress
from bootc_orch.ops.stored.store import ImageState, commit_state, reference_of
from bootc_orch.ops.stored.workspace import workspace
from bootc_orch.tools.ostree.repo import Repo
from bootc_orch.tools.ostree.sysroot import Sysroot
from orch_frame.errors import OrchError

# Findings about files beside the objects, which go away with the file.
_LOOSE = (DAMAGED_RECORD, STALE_RECORD, DAMAGED_NOTE)


@dataclass(frozen=True, slots=True)
class DamagedImage:
    """An image to have again.

    Attributes:
        reference: Its name.
        commit: The merge commit that it had, or None if nothing says.
        state: What that commit records, or None if it cannot be read.
        objects: The objects that are bad.
        unknown: Hexadecimal digests of layers whose record is bad: they are read again.
    """

    reference: ImageReference
    commit: str | None
    state: ImageState | None
    objects: tuple[str, ...]
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What a repair would do.

    Attributes:
        images: The images to have again.
        refs: Layer refs that are damaged, and come back with an image that needs them.
        deployments: Names of the deployments whose files are to be put right.
        unrepairable: What has another remedy.
        files: Records and detached metadata to remove: what they said is found out again, or lost.
    """

    images: tuple[DamagedImage, ...]
    refs: tuple[str, ...]
    deployments: tuple[str, ...]
    unrepairable: tuple[Finding, ...]
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did.

    Attributes:
        images: The images that are whole again.
        failed: The images that are not, each with the reason.
        files: How many files of each deployment were put right, by its name; only where some were.
        left: What is still wrong.
    """

    images: tuple[ImageReference, ...]
    failed: tuple[tuple[ImageReference, str], ...]
    files: Mapping[str, int]
    left: tuple[Finding, ...]


def plan_repair(repo: Repo, findings: Sequence[Finding]) -> RepairPlan:
    """Decide what to have again because of *findings*."""
    curable = [one for one in findings if one.remedy is Remedy.REPAIR]
    bad = tuple(sorted({name for one in curable for name in one.objects}))
    files = tuple(Path(one.subject) for one in curable if one.kind in _LOOSE)
    unknown = frozenset(path.name for path in files)
    needed = {name for one in curable for name in one.images}
    needed |= {one.subject for one in curable if one.subject.startswith(f"{IMAGE_PREFIX}/")}
    scan = repo.scan_refs(IMAGE_PREFIX)
    images = []
    for ref in sorted({*scan.commits, *scan.damaged}):
        name = image_name(ref)
        if name is not None and (name in needed or ref in needed):
            image = _damaged_image(repo, ref, scan.commits.get(ref), bad)
            images.append(replace(image, unknown=unknown))
    refs = tuple(one.subject for one in curable if one.subject.startswith(f"{BLOB_PREFIX}/"))
    deployments = tuple(one.subject for one in curable if one.kind == DAMAGED_DEPLOYMENT)
    others = tuple(one for one in findings if one.remedy is not Remedy.REPAIR)
    return RepairPlan(tuple(images), refs, deployments, others, files)


def _damaged_image(
    repo: Repo, ref: str, commit: str | None, objects: tuple[str, ...]
) -> DamagedImage:
    state = None
    if commit is not None:
        try:
            state = commit_state(repo, commit)
        except OrchError:
            state = None
    return DamagedImage(reference_of(ref), commit, state, objects)


def apply_repair(
    plan: RepairPlan,
    repo: Repo,
    options: PullOptions,
    progress: Progress,
    *,
    signatures: Mapping[ImageReference, SignatureSource] | None = None,
    sysroot: Sysroot | None = None,
) -> Repaired:
    """Carry *plan* out, and check again.

    An image that cannot be had leaves its refs as they were; the others are repaired all the same.

    Args:
        plan: What to do.
        repo: The repository.
        options: How to pull.
        progress: Told of what happens.
        signatures: Who has to vouch for an image; nobody where it is not here.
        sysroot: The sysroot whose repository it is, to put its deployments right as well.
    """
    done: list[ImageReference] = []
    failed: list[tuple[ImageReference, str]] = []
    with locked(repo.path, exclusive=True, timeout=options.transfer.lock_timeout):
        recover(repo)
        for path in plan.files:
            path.unlink(missing_ok=True)
        for image in plan.images:
            signature = (signatures or {}).get(image.reference, INSECURE)
            try:
                _repair_image(image, repo, options, progress, signature)
                done.append(image.reference)
            except OrchError as error:
                failed.append((image.reference, error.summary))
                progress.warning(f"{image.reference} cannot be repaired: {error.summary}")
        recover(repo)
        files = _repair_deployments(sysroot, repo, progress) if sysroot else {}
        repo.sync()
        report = check_sysroot(sysroot) if sysroot else check_repository(repo)
    return Repaired(tuple(done), tuple(failed), files, report.findings)


def _repair_deployments(sysroot: Sysroot, repo: Repo, progress: Progress) -> dict[str, int]:
    """Put the files of every deployment right, and count them."""
    deployments = sysroot.deployments(lambda _: None).all  # the check reports what is damaged
    verifier = Verifier(repo, contents=True)
    deployed = DeployedFiles(repo)
    counts = {}
    for deployment in deployments:
        wrong = tuple(deployed.wrong(deployment))
        done = put_right(repo, deployment, wrong, verifier)
        if done:
            counts[deployment.name] = len(done)
        if done and deployment.booted:
            progress.warning(
                "Files of the running system were replaced: programs that run go on with the old "
                "ones until they are started again."
            )
        for file in done:
            if file.path.startswith("usr/etc/"):
                progress.warning(
                    f"{file.path} of deployment {deployment.name} was put right; its copy in /etc "
                    "was made from the damaged file, and is left as it is."
                )
    return counts


def _repair_image(
    image: DamagedImage,
    repo: Repo,
    options: PullOptions,
    progress: Progress,
    signature: SignatureSource,
) -> None:
    with _scratch(repo) as scratch:
        _take_whole_layers(image, repo, scratch)
        wanted = image.state
        source = OstreeImageReference(signature, _pin(image))
        importer = wanted.importer if wanted and wanted.importer else options.importer_version
        chosen = replace(options, gc=False, target=image.reference, importer_version=importer)
        result = pull(scratch.path, source, chosen, progress)
        if image.commit is not None and wanted is not None and result.commit != image.commit:
            progress.warning(
                f"{image.reference} is not what it was any more: commit {image.commit} cannot be "
                f"made again, {result.commit} takes its place."
            )
        _bring_back(repo, scratch, image.objects)


def _pin(image: DamagedImage) -> ImageReference:
    """Name the very version that was stored, where a registry can be asked for it."""
    if image.state is None or image.reference.transport is not Transport.REGISTRY:
        return image.reference
    return image.reference.with_digest(image.state.manifest_digest).canonicalise()


def _take_whole_layers(image: DamagedImage, repo: Repo, scratch: Repo) -> None:
    """Give *scratch* every layer of the image that is whole; hard links, no copies."""
    if image.state is None:
        return
    verifier = Verifier(repo, contents=True)
    refs = []
    for layer in image.state.manifest.layers:
        ref = blob_ref(layer.digest)
        if layer.digest.hex not in image.unknown and _is_whole(repo, verifier, ref):
            refs.append(ref)
    if refs:
        _tell_what_is_known(image.state, repo, scratch)
        scratch.pull_local(repo.path, sorted(set(refs)), verify_bindings=False)


def _tell_what_is_known(state: ImageState, repo: Repo, scratch: Repo) -> None:
    """Let *scratch* count as present what counts as present in *repo*."""
    record_layers(scratch.path, known_layers(repo.path).values())
    claims = []
    for layer in state.layers or ():
        digest = layer.descriptor.digest
        commit = repo.rev_parse_intact(blob_ref(digest))
        if commit is not None and not is_copied(repo.path, digest, commit):
            claims.append(KnownLayer(digest, layer.kind, commit, layer.diff_id))
    claim_layers(scratch.path, claims)


def _is_whole(repo: Repo, verifier: Verifier, ref: str) -> bool:
    try:
        commit = repo.rev_parse(ref)
    except OrchError:
        return False
    return commit is not None and not verifier.damage(commit) and not repo.is_partial(commit)


def _bring_back(repo: Repo, scratch: Repo, bad: Sequence[str]) -> None:
    """Replace bad objects and refs of *repo* by those of *scratch*.

    ostree looks for missing objects only below commits that are marked as partial; it takes the
    mark away when all of them are there.
    """
    refs = scratch.refs(f"{IMAGE_PREFIX}") | scratch.refs(BLOB_PREFIX)
    for name in bad:
        checksum, _, kind = name.partition(".")
        replacement = scratch.object_path(checksum, _stored_kind(scratch, kind))
        if replacement.exists():
            repo.object_path(checksum, _stored_kind(repo, kind)).unlink(missing_ok=True)
    state = repo.path / "state"
    state.mkdir(exist_ok=True)
    for commit in set(refs.values()):
        (state / f"{commit}.commitpartial").touch()
    record_layers(repo.path, known_layers(scratch.path).values())
    repo.pull_local(scratch.path, sorted(refs), verify_bindings=False)


def _stored_kind(repo: Repo, kind: str) -> str:
    return repo.content_kind if kind == "file" else kind


@contextmanager
def _scratch(repo: Repo) -> Iterator[Repo]:
    with workspace(repo, "repair") as work:
        yield Repo.init(work / "scratch", repo.mode)
