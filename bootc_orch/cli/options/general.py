"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orch_frame.errors import NotFoundError, NothingToDo, UsageError

if TYPE_CHECKING:
    from bootc_orch.model.image.reference import ImageReference
    from bootc_orch.ops.stored.store import ImageState
    from bootc_orch.tools.ostree.repo import Repo

SYSTEM_REPOS = ("sysroot/ostree/repo", "ostree/repo")


ImageArgument = Annotated[
    str, typer.Argument(metavar="IMAGE", help="As TRANSPORT:NAME, such as docker://quay.io/a/b:1.")
]
RepoOption = Annotated[
    Path | None,
    typer.Option("--repo", metavar="REPO", help="The ostree repository; default: the system's."),
]
Plan = Annotated[
    bool,
    typer.Option("--plan", "--dry-run", help="Print what would be done, and change nothing."),
]
Unchanged77 = Annotated[
    bool, typer.Option("--unchanged-exit-77", help="Exit with 77 if there is nothing new.")
]
ProgressFd = Annotated[
    int | None,
    typer.Option(
        "--progress-fd",
        min=3,
        metavar="FD",
        help="Write progress there as lines of JSON (bootc's progress-v0).",
    ),
]


def open_repo(path: Path | None, *, sysroot: Path = Path("/")) -> Repo:
    """Open the repository at *path*, or the one of *sysroot*.

    Raises:
        NotFoundError: there is none.
    """
    from bootc_orch.tools.ostree.repo import Repo

    if path is not None:
        return Repo(path)
    candidates = [sysroot / name for name in SYSTEM_REPOS]
    return Repo(next((repo for repo in candidates if repo.is_dir()), candidates[-1]))


def parse_image(text: str) -> ImageReference:
    """Read ``TRANSPORT:NAME``, with or without the ``ostree-…`` part that says who vouches.

    Raises:
        UsageError: *text* is neither.
    """
    from bootc_orch.ops.stored.explain import parse_image

    return parse_image(text)


def stored_image(repo: Repo, text: str) -> tuple[ImageReference, ImageState]:
    """Read the image reference *text*, and the state of that image in *repo*.

    Raises:
        NotFoundError: it is not stored there.
        UsageError: *text* is no reference.
    """
    from bootc_orch.ops.stored.store import image_state

    reference = parse_image(text)
    state = image_state(repo, reference)
    if state is None:
        raise NotFoundError(
            f"{reference} is not stored in {repo.path}.",
            hint="See what is with: bootc-orch image list",
            image=str(reference),
        )
    return reference, state


def tell_unchanged(asked: bool, *, changed: bool) -> None:  # noqa: FBT001 - the option itself
    """Exit with the status that ``--unchanged-exit-77`` asks for where nothing has changed."""
    if asked and not changed:
        raise typer.Exit(NothingToDo.exit_code)


def exclusive(**given: object) -> None:
    """Make sure that at most one of the options *given* is used.

    Raises:
        UsageError: there are more.
    """
    used = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(used) > 1:
        raise UsageError(f"{used[0]} and {used[1]} exclude each other.")
