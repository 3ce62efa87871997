"""Check a repository: refs, images, layers, merge commits and their objects, with each other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bootc_orch.model.gvariant import Commit
from bootc_orch.model.image.layout import LayerKind
from bootc_orch.model.image.manifest import Manifest
from bootc_orch.model.image.refs import BLOB_PREFIX, IMAGE_PREFIX, blob_ref
from bootc_orch.ops.checking.finding import Finding, Remedy, Severity
from bootc_orch.ops.checking.fsck_records import check_notes, check_records
from bootc_orch.ops.checking.fsck_verity import check_verity
from bootc_orch.ops.checking.verify_objects import Verifier, affected
from bootc_orch.ops.stored.prune import ROOT_PREFIXES
from bootc_orch.ops.stored.store import (
    ImageState,
    commit_state,
    digest_of,
    is_image_commit,
    manifest_of,
    reference_of,
)
from bootc_orch.tools.ostree.objects import RepoMode
from bootc_orch.tools.ostree.repo import Repo
from orch_frame.errors import OrchError


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        findings: What is wrong, in the order in which it was found.
        objects: How many objects were looked at.
        images: How many images.
        deployments: How many deployments.
    """

    findings: tuple[Finding, ...]
    objects: int = 0
    images: int = 0
    deployments: int = 0

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that are no mere warnings."""
        return tuple(one for one in self.findings if one.severity is Severity.ERROR)


def check_repository(repo: Repo, *, contents: bool = True) -> Report:
    """Check everything in *repo* that a ref leads to.

    Args:
        repo: The repository.
        contents: Whether to read and hash the content of every file.

    Raises:
        OrchError: the caller may not read all of it.
    """
    if contents and repo.mode is RepoMode.BARE and os.geteuid() != 0:
        raise needs_root(repo.path)
    scan = repo.scan_refs()
    made_of = _images_by_ref(repo, scan.commits)
    findings = [
        _ref_finding(ref, reason, tuple(sorted(made_of.get(ref, ()))))
        for ref, reason in scan.damaged.items()
    ]
    verifier = Verifier(repo, contents=contents)
    damage = {commit: verifier.damage(commit) for commit in sorted(set(scan.commits.values()))}
    users: dict[str, list[str]] = {}
    images = 0
    for ref, commit in scan.commits.items():
        users.setdefault(commit, []).append(ref)
        if ref.startswith(f"{IMAGE_PREFIX}/"):
            images += 1
            findings += _check_image(repo, ref, commit)
        elif ref.startswith(tuple(f"{prefix}/" for prefix in ROOT_PREFIXES)):
            findings += _check_held_layers(repo, ref, commit)
        elif ref.startswith(f"{BLOB_PREFIX}/"):
            findings += _check_layer_name(ref)
    for name, commits in affected(damage).items():
        refs = tuple(sorted(ref for commit in commits for ref in users[commit]))
        images_of = {image for ref in refs for image in made_of.get(ref, ())}
        findings.append(_object_finding(name, refs, tuple(sorted(images_of))))
    findings += _partial_marks(repo, damage)
    findings += check_records(repo, made_of)
    findings += check_notes(repo, damage)
    findings += check_verity(repo)
    return Report(tuple(findings), verifier.checked + len(damage), images)


def needs_root(path: Path) -> OrchError:
    """Return the refusal to check *path*: what may not be read would be taken for damaged."""
    return OrchError(
        f"Only root may read everything in {path}, which a check has to.",
        hint="Run the command as root.",
        path=str(path),
    )


def _ref_finding(ref: str, reason: str, images: tuple[str, ...]) -> Finding:
    """A damaged image is named by its ref; a layer comes back with an image that has it."""
    repairable = bool(images) or image_name(ref) is not None
    remedy = Remedy.REPAIR if repairable else Remedy.REMOVE_REF
    return Finding("damaged-ref", ref, reason, remedy, images=images)


def _check_image(repo: Repo, ref: str, commit: str) -> Iterator[Finding]:
    try:
        name = str(reference_of(ref))
    except OrchError as error:  # no name, so nowhere to have it again from
        yield Finding("damaged-image", ref, error.summary, Remedy.REMOVE_REF)
        return
    try:
        state = commit_state(repo, commit)
    except OrchError as error:
        yield Finding("damaged-image", ref, error.summary, Remedy.REPAIR)
        return
    yield from _missing_layers(repo, name, state.manifest)
    yield from _check_base(repo, name, state)


def _missing_layers(repo: Repo, name: str, manifest: Manifest) -> Iterator[Finding]:
    for layer in manifest.layers:
        try:
            present = repo.rev_parse(blob_ref(layer.digest)) is not None
        except OrchError:  # reported as a damaged ref
            present = True
        if not present:
            yield Finding(
                "missing-layer",
                str(layer.digest),
                f"Image {name} is made of layer {layer.digest}, which has no ref.",
                Remedy.REPAIR,
                images=(name,),
            )


def _check_base(repo: Repo, name: str, state: ImageState) -> Iterator[Finding]:
    """Make sure that the merge commit has the base as its parent, and chunks are named rightly."""
    layers = state.layers
    if layers is None:
        yield Finding(
            "odd-layers",
            name,
            f"The layers of image {name} cannot be told apart by its recorded config.",
            Remedy.REPAIR,
            Severity.WARNING,
            images=(name,),
        )
        return
    for layer in layers:
        if layer.kind is LayerKind.CHUNK and layer.repeats is None:
            yield from _check_chunk(repo, name, blob_ref(layer.descriptor.digest))


def _check_chunk(repo: Repo, name: str, ref: str) -> Iterator[Finding]:
    try:
        commit = repo.rev_parse(ref)
        tree = repo.dirtree(repo.commit(commit).tree) if commit else None
    except OrchError:  # reported with the objects
        return
    for file, checksum in tree.files if tree else ():
        if file.decode(errors="backslashreplace") != checksum.hex():
            yield Finding(
                "damaged-chunk",
                ref,
                f"Chunk layer {ref} names object {checksum.hex()} {file!a}.",
                Remedy.REPAIR,
                images=(name,),
            )
            return


def _check_held_layers(repo: Repo, ref: str, commit: str) -> Iterator[Finding]:
    """A deployment works without its layers; only sharing and repair need them."""
    try:
        head: Commit = repo.commit(commit)
        layers = manifest_of(head, commit).layers if is_image_commit(head) else ()
    except OrchError:  # reported with the objects
        return
    for layer in layers:
        try:
            present = repo.rev_parse(blob_ref(layer.digest)) is not None
        except OrchError:
            present = True
        if not present:
            yield Finding(
                "missing-layer",
                str(layer.digest),
                f"The deployed commit {commit} ({ref}) is made of layer {layer.digest}, which has "
                "no ref.",
                Remedy.REPAIR,
                Severity.WARNING,
            )


def _check_layer_name(ref: str) -> Iterator[Finding]:
    try:
        digest_of(ref)
    except OrchError as error:
        yield Finding("odd-ref", ref, error.summary, Remedy.REMOVE_REF, Severity.WARNING)


def _images_by_ref(repo: Repo, commits: Mapping[str, str]) -> dict[str, set[str]]:
    """Map each ref to the images that stand or fall with it: images themselves, and layers."""
    found: dict[str, set[str]] = {}
    for ref, commit in commits.items():
        name = image_name(ref)
        if name is None:
            continue
        found.setdefault(ref, set()).add(name)
        try:
            layers = manifest_of(repo.commit(commit), commit).layers
        except OrchError:  # reported as a damaged image
            continue
        for layer in layers:
            found.setdefault(blob_ref(layer.digest), set()).add(name)
    return found


def _object_finding(name: str, refs: tuple[str, ...], images: tuple[str, ...]) -> Finding:
    return Finding(
        "damaged-object",
        name,
        f"Object {name} is missing or damaged; refs that need it: {', '.join(refs)}.",
        _remedy_for_object(refs, images),
        images=images,
        objects=(name,),
    )


def _remedy_for_object(refs: tuple[str, ...], images: tuple[str, ...]) -> Remedy:
    """Only an image says where its objects can be had again."""
    if images:
        return Remedy.REPAIR
    if any(ref.startswith(tuple(f"{prefix}/" for prefix in ROOT_PREFIXES)) for ref in refs):
        return Remedy.PULL_AND_REPAIR
    return Remedy.REMOVE_REF


def image_name(ref: str) -> str | None:
    """Return the image that *ref* is of; None if it is of none, or its name cannot be read."""
    if not ref.startswith(f"{IMAGE_PREFIX}/"):
        return None
    try:
        return str(reference_of(ref))
    except OrchError:
        return None


def _partial_marks(repo: Repo, damage: dict[str, frozenset[str]]) -> Iterator[Finding]:
    for mark in sorted((repo.path / "state").glob("*.commitpartial")):
        commit = mark.name.removesuffix(".commitpartial")
        if damage.get(commit) == frozenset():
            yield Finding(
                "false-mark",
                commit,
                f"Commit {commit} is marked as partial, but is whole.",
                Remedy.REPAIR,
                Severity.WARNING,
            )
