"""Options that many commands share, and how they combine with the configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from orch_frame import output
from orch_frame.errors import NotFoundError, NothingToDo, UsageError

if TYPE_CHECKING:
    from bootc_orch.config import Config
    from bootc_orch.model.image.reference import ImageReference
    from bootc_orch.ops.stored.store import ImageState
    from bootc_orch.tools.ostree.repo import Repo

T = TypeVar("T")

SYSTEM_REPOS = ("sysroot/ostree/repo", "ostree/repo")


def _use_json(value: bool) -> bool:  # noqa: FBT001 - called by Typer
    output.mode.json = output.mode.json or value
    return value


def _be_quiet(value: bool) -> bool:  # noqa: FBT001 - called by Typer
    output.mode.quiet = output.mode.quiet or value
    return value


def _be_verbose(value: bool) -> bool:  # noqa: FBT001 - called by Typer
    if value:
        output.mode.verbose = True
        output.start_logging()
    return value


Json = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=_use_json,
        is_eager=True,
        help="Print one JSON object; a failure prints one too.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=_be_quiet, help="Print no progress.")
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        callback=_be_verbose,
        is_eager=True,
        help="Say on standard error what is done.",
    ),
]
ImageArgument = Annotated[
    str, typer.Argument(metavar="IMAGE", help="As TRANSPORT:NAME, such as docker://quay.io/a/b:1.")
]
RepoOption = Annotated[
    Path | None,
    typer.Option("--repo", metavar="REPO", help="The ostree repository; default: the system's."),
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
Plan = Annotated[
    bool,
    typer.Option("--plan", "--dry-run", help="Print what would be done, and change nothing."),
]
Diff = Annotated[
    bool,
    typer.Option(
        "--diff",
        help="With --plan: fetch the image, deploy nothing, and print which app images, packages "
        "and files differ.",
    ),
]
LockTimeout = Annotated[
    float | None,
    typer.Option(
        "--lock-timeout", min=0, metavar="SECONDS", help="How long to wait for another process."
    ),
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


@dataclass(slots=True)
class _Choice:
    path: Path | None = None
    config: Config | None = None


_choice = _Choice()


def choose_config(path: str | None) -> None:
    """Remember the configuration file that the command line names; it is read when needed."""
    _choice.path = Path(path) if path else None
    _choice.config = None


def config() -> Config:
    """Return the configuration, read at most once a command.

    Raises:
        ConfigError: the file cannot be read or understood.
    """
    if _choice.config is None:
        from bootc_orch.config import load_config

        _choice.config = load_config(_choice.path)
    return _choice.config


def first_given(option: T | None, configured: T | None, default: T) -> T:
    """Return the option's value, else the configured one, else *default*."""
    if option is not None:
        return option
    return default if configured is None else configured


def lock_timeout(given: float | None) -> float:
    """Return how many seconds to wait for a lock."""
    from orch_frame.lock import DEFAULT_TIMEOUT

    return first_given(given, config().lock_timeout, DEFAULT_TIMEOUT)


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


def require_plan(*, plan: bool, diff: bool) -> None:
    """Make sure that ``--diff`` comes with ``--plan``: who asks what differs wants no deployment.

    Raises:
        UsageError: it does not.
    """
    if diff and not plan:
        raise UsageError("--diff is a part of a plan.", hint="Add --plan; nothing was done.")


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
