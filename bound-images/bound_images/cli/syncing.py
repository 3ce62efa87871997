"""The command ``sync``, also called ``pull``."""

from __future__ import annotations

from typing import Annotated

import typer

from bound_images.cli import options as o
from bound_images.cli.output import size
from bound_images.cli.progress import shown_progress
from bound_images.cli.session import SESSION
from bound_images.ops.plan import SyncPlan
from bound_images.ops.sync import SyncResult
from bound_images.ops.sync import plan as plan_images
from bound_images.ops.sync import sync as sync_images
from bound_images.settings import SyncOptions
from orch_frame.errors import UsageError
from orch_frame.options.fetching import Fetching
from orch_frame.options.printing import with_output

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("sync")
@app.command("pull", hidden=True)
@with_output
def sync_command(
    *,
    places: o.Places,
    plan: o.PlanOnly = False,
    source: o.Source = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="Take what the lock file says, not what is newest.")
    ] = False,
    prefer_locked: Annotated[
        bool, typer.Option("--prefer-locked", help="As --locked, where there is a lock file.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read back what is there, and repair it.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Follow moved tags, whatever Policy= says.")
    ] = False,
    keep_going: o.KeepGoing = False,
    allow_transport: o.AllowTransport = False,
    allow_host_files: o.AllowHostFiles = False,
    fetching: Fetching,
    progress_fd: o.ProgressFd = None,
) -> None:
    """Fetch what is missing or has changed, check it, and write the lock file."""
    if refresh and (locked or fetching.offline):
        raise UsageError(
            "--refresh asks what is newest, which --locked and --offline exclude.",
            hint="Say one of them.",
        )
    found = places.find()
    settings = SyncOptions(
        o.transfer_options(fetching),
        source=source,
        allow_transports=allow_transport,
        host_files=allow_host_files,
        keep_going=keep_going,
        pinned=locked or fetching.offline or (prefer_locked and found.lock.exists()),
        verify=verify,
        refresh=refresh,
    )
    where = (found.root, found.store, found.lock, settings)
    with shown_progress(SESSION.output, progress_fd) as progress:
        if plan:
            todo = plan_images(*where, progress=progress, runner=SESSION.runner)
            document, lines = plan_document(todo), plan_lines(todo)
            SESSION.output.result_with_errors("plan", document, lines, todo.errors)
            return
        done = sync_images(*where, progress=progress, runner=SESSION.runner)
    _show(done)


def _show(done: SyncResult) -> None:
    documents = [image.to_json() for image in done.record.images]
    lines = [f"{image.action}\t{image.resolved.canonical}" for image in done.plan.images]
    SESSION.output.result_with_errors("images", documents, lines, done.errors)


def plan_document(plan: SyncPlan) -> dict[str, object]:
    """Return the ``plan`` of ``sync --plan``."""
    return {
        "images": [
            {
                "reference": image.resolved.image.reference,
                "canonical": image.resolved.canonical,
                "digest": image.resolved.digest,
                "image_id": image.resolved.image_id,
                "action": image.action.value,
                "bytes": image.bytes,
                "fetch": [{"digest": blob.digest, "size": blob.size} for blob in image.fetch],
            }
            for image in plan.images
        ],
        "bytes": plan.bytes,
        "bytes_needed": plan.bytes_needed,
    }


def plan_lines(plan: SyncPlan) -> list[str]:
    """Return what ``sync --plan`` prints."""
    lines = [
        f"{image.action}\t{size(image.bytes)}\t{image.resolved.canonical}" for image in plan.images
    ]
    return [*lines, f"total\t{size(plan.bytes)}"]
