"""``bootc-orch image pull``: fetch the image of an operating system into a repository."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.options.fetching import pull_options
from bootc_orch.cli.options.general import (
    Plan,
    ProgressFd,
    RepoOption,
    Unchanged77,
    exclusive,
    open_repo,
    tell_unchanged,
)
from bootc_orch.cli.terminal.describe import plan_document, plan_json
from bootc_orch.cli.terminal.progress import reporting, say_transfer
from bootc_orch.cli.terminal.render import size_text
from orch_frame.errors import NotFoundError, UsageError
from orch_frame.options.fetching import Fetching
from orch_frame.options.printing import with_output
from orch_frame.output import say, say_result

if TYPE_CHECKING:
    from bootc_orch.model.image.reference import OstreeImageReference
    from bootc_orch.ops.opening.pull_plan import PullPlan, PullResult
    from bootc_orch.ops.stored.store import ImageState
    from bootc_orch.tools.ostree.repo import Repo


class VarContentChoice(StrEnum):
    """The values of ``--var-content``."""

    AUTO = "auto"
    KEEP = "keep"
    FACTORY = "factory"


Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[REPO] REFERENCE",
        help="The repository, unless --repo or the system's is meant, and the image, such as "
        "ostree-unverified-registry:quay.io/a/b:1.",
        show_default=False,
    ),
]
Check = Annotated[
    Path | None,
    typer.Option(
        "--check",
        metavar="FILE",
        help="Only look for a newer version, and write its manifest to FILE.",
    ),
]
DigestFile = Annotated[
    Path | None,
    typer.Option(
        "--ostree-digestfile", metavar="FILE", help="Write the commit's checksum to FILE."
    ),
]
VarContent = Annotated[
    VarContentChoice,
    typer.Option(
        "--var-content",
        metavar="auto|keep|factory",
        help="What becomes of /var in derived layers: kept, moved below "
        "/usr/share/factory/var, or as this version of ostree needs it.",
    ),
]
UnprivilegedProxy = Annotated[
    bool,
    typer.Option("--unprivileged-proxy", help="Let skopeo run as nobody, without any privilege."),
]
AllowIma = Annotated[
    bool, typer.Option("--allow-ima", help="Keep IMA signatures that derived layers bring.")
]


@with_output
def pull(
    words: Words,
    *,
    repo: RepoOption = None,
    check: Check = None,
    ostree_digestfile: DigestFile = None,
    plan: Plan = False,
    var_content: VarContent = VarContentChoice.AUTO,
    unchanged_exit_77: Unchanged77 = False,
    fetching: Fetching,
    unprivileged_proxy: UnprivilegedProxy = False,
    allow_ima: AllowIma = False,
    progress_fd: ProgressFd = None,
) -> None:
    """Pull an image into a repository, layer by layer; nothing is visible before it is verified."""
    from bootc_orch.ops.importing.pull import plan_pull
    from bootc_orch.ops.importing.pull import pull as pull_image

    exclusive(check=check, plan=plan)
    exclusive(check=check, offline=fetching.offline)
    path, reference = _positionals(words, repo)
    opened = open_repo(path)
    options = pull_options(
        fetching, var_content=var_content, unprivileged=unprivileged_proxy, allow_ima=allow_ima
    )
    with reporting(progress_fd) as progress:
        if plan or check:
            found = plan_pull(opened.path, reference, options, progress)
        else:
            result = pull_image(opened.path, reference, options, progress)
    if check and found:
        _write_check(opened, reference, found, check, wait=options.transfer.lock_timeout)
    if plan or check:
        changed = found is not None
        _say_plan(opened, reference, found)
    else:
        changed = result.changed
        _say_pulled(reference, result, ostree_digestfile)
    tell_unchanged(unchanged_exit_77, changed=changed)


def _positionals(words: list[str], repo: Path | None) -> tuple[Path | None, OstreeImageReference]:
    """Tell a repository and a reference from a reference alone.

    Raises:
        UsageError: there are more than two words, or two and ``--repo``.
    """
    from bootc_orch.model.image.reference import OstreeImageReference

    if len(words) > 2:
        raise UsageError("image pull takes a repository and a reference, or a reference alone.")
    if len(words) == 2 and repo is not None:
        raise UsageError("The repository is given twice: as --repo and as the first of two words.")
    path = Path(words[0]) if len(words) == 2 else repo
    return path, OstreeImageReference.parse(words[-1])


def _stored_state(repo: Repo, reference: OstreeImageReference) -> ImageState:
    """The state of an image that was just found to be stored."""
    from bootc_orch.ops.stored.store import image_state

    state = image_state(repo, reference.image)
    if state is None:
        raise NotFoundError(f"{reference.image} has been removed meanwhile.")
    return state


def _write_check(
    repo: Repo, reference: OstreeImageReference, plan: PullPlan, path: Path, *, wait: float
) -> None:
    """Write the newer manifest to *path*, and note it on the stored version if there is one."""
    from bootc_orch.ops.stored.lock import locked
    from bootc_orch.ops.stored.notes import write_cached_update
    from bootc_orch.ops.stored.store import CachedUpdate, image_state

    path.write_text(plan.image.manifest.canonical())
    with locked(repo.path, exclusive=True, timeout=wait):
        state = image_state(repo, reference.image)
        if state is not None:
            update = CachedUpdate(plan.image.digest, plan.image.manifest, plan.image.config)
            write_cached_update(repo, state.merge_commit, update)


def _say_plan(repo: Repo, reference: OstreeImageReference, plan: PullPlan | None) -> None:
    if plan is None:
        state = _stored_state(repo, reference)
        say(f"No changes in {reference} => {state.merge_commit}")
        present = len({layer.digest for layer in state.manifest.layers})
        document = plan_document(str(state.manifest_digest), present=present)
    else:
        say_transfer(plan.transfer)
        document = plan_json(plan)
        for layer in document["fetch"]:
            say(f"Would fetch: {layer['digest']} ({size_text(layer['size'])})")
    say_result("plan", document)


def _say_pulled(
    reference: OstreeImageReference, result: PullResult, digestfile: Path | None
) -> None:
    if digestfile is not None:
        digestfile.write_text(result.commit)
    word = "Wrote:" if result.changed else "No changes in"
    say(f"{word} {reference} => {result.commit}")
    say_result(
        "pulled",
        {
            "reference": str(reference),
            "commit": result.commit,
            "manifest_digest": str(result.manifest_digest),
            "changed": result.changed,
            "warnings": list(result.warnings),
            "plan": plan_json(result.plan) if result.plan else None,
        },
    )
