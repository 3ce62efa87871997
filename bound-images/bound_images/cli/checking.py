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

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("check")
def check_command(
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    store: o.StorePath = None,
    lock: o.LockPath = None,
    root_id: o.RootId = None,
    keep_going: o.KeepGoing = False,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Succeed only if every bound image is in the store as the lock file says."""
    places = o.Places(root, store, lock, root_id)
    _show_check(
        check_images(
            places.root,
            places.store,
            places.lock,
            SyncOptions(keep_going=keep_going, lock_timeout=lock_timeout),
            runner=SESSION.runner,
        )
    )


@app.command("verify")
def verify_command(
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    store: o.StorePath = None,
    lock: o.LockPath = None,
    root_id: o.RootId = None,
    keep_going: o.KeepGoing = False,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    progress_fd: o.ProgressFd = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Check, and read every layer of every bound image back."""
    places = o.Places(root, store, lock, root_id)
    with shown_progress(SESSION.output, progress_fd) as progress:
        result = verify_images(
            places.root,
            places.store,
            places.lock,
            SyncOptions(keep_going=keep_going, lock_timeout=lock_timeout),
            progress=progress,
            runner=SESSION.runner,
        )
    _show_check(result)


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
