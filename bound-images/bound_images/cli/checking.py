"""The commands ``check`` and ``verify``."""

from __future__ import annotations

import typer

from bound_images.cli import options as o
from bound_images.cli.progress import shown_progress
from bound_images.cli.session import SESSION
from bound_images.ops.check import CheckResult
from bound_images.ops.check import check as check_images
from bound_images.ops.check import verify as verify_images
from bound_images.settings import SyncOptions
from orch_frame.options.fetching import LockTimeout
from orch_frame.options.printing import with_output
from orch_frame.transfer import TransferOptions

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("check")
@with_output
def check_command(
    *,
    places: o.Places,
    keep_going: o.KeepGoing = False,
    lock_timeout: LockTimeout = None,
) -> None:
    """Succeed only if every bound image is in the store as the lock file says."""
    found = places.find()
    _show_check(
        check_images(
            found.root,
            found.store,
            found.lock,
            _options(lock_timeout, keep_going=keep_going),
            runner=SESSION.runner,
        )
    )


@app.command("verify")
@with_output
def verify_command(
    *,
    places: o.Places,
    keep_going: o.KeepGoing = False,
    lock_timeout: LockTimeout = None,
    progress_fd: o.ProgressFd = None,
) -> None:
    """Check, and read every layer of every bound image back."""
    found = places.find()
    with shown_progress(SESSION.output, progress_fd) as progress:
        result = verify_images(
            found.root,
            found.store,
            found.lock,
            _options(lock_timeout, keep_going=keep_going),
            progress=progress,
            runner=SESSION.runner,
        )
    _show_check(result)


def _options(lock_timeout: float | None, *, keep_going: bool) -> SyncOptions:
    transfer = TransferOptions(lock_timeout=o.lock_seconds(lock_timeout))
    return SyncOptions(transfer, keep_going=keep_going)


def _show_check(result: CheckResult) -> None:
    documents = [
        {
            "canonical": image.canonical,
            "image_id": image.image_id or None,
            "verdict": image.verdict.value,
            "detail": image.detail or None,
        }
        for image in result.images
    ]
    lines = [f"{image.verdict}\t{image.canonical}" for image in result.images]
    SESSION.output.result_with_errors("images", documents, lines, result.errors)
