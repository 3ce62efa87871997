"""The command ``lock``."""

from __future__ import annotations

from dataclasses import replace

import typer

from bound_images.cli import options as o
from bound_images.cli.progress import shown_progress
from bound_images.cli.session import SESSION
from bound_images.ops.sync import lock_images
from bound_images.settings import SyncOptions
from orch_frame.options.fetching import LockTimeout, Reaching
from orch_frame.options.printing import with_output

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("lock")
@with_output
def lock_command(
    *,
    places: o.Places,
    source: o.Source = None,
    allow_transport: o.AllowTransport = False,
    allow_host_files: o.AllowHostFiles = False,
    reaching: Reaching,
    lock_timeout: LockTimeout = None,
) -> None:
    """Write down what the images stand for now, for sync --locked and export to keep to."""
    found = places.find(needs_store=places.lock is None)
    transfer = replace(o.transfer_options(reaching), lock_timeout=o.lock_seconds(lock_timeout))
    settings = SyncOptions(
        transfer,
        source=source,
        allow_transports=allow_transport,
        host_files=allow_host_files,
    )
    with shown_progress(SESSION.output, None) as progress:
        record = lock_images(
            found.root,
            found.store if places.store else None,
            found.lock,
            settings,
            progress=progress,
            runner=SESSION.runner,
        )
    documents = [image.to_json() for image in record.images]
    lines = [f"{image.canonical}\t{image.digest}" for image in record.images]
    SESSION.output.result("images", documents, lines)
