"""The commands ``export`` and ``import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bound_images.cli import options as o
from bound_images.cli.output import size
from bound_images.cli.progress import shown_progress
from bound_images.cli.session import SESSION
from bound_images.ops.bundle import ExportTarget, export_images, import_bundle
from bound_images.ops.sync import Destination
from bound_images.rootfs import Root
from bound_images.settings import SyncOptions
from orch_frame.options.fetching import Jobs, LockTimeout, Reaching, Timeout, path
from orch_frame.options.printing import with_output
from orch_frame.transfer import TransferOptions

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("export")
@with_output
def export_command(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="DIR, oci:DIR or oci-archive:FILE.")
    ],
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    lock: Annotated[
        Path | None,
        typer.Option(
            "--lock", parser=path, metavar="FILE", help="Export what this lock file says."
        ),
    ] = None,
    source: o.Source = None,
    allow_transport: o.AllowTransport = False,
    allow_host_files: o.AllowHostFiles = False,
    reaching: Reaching,
    progress_fd: o.ProgressFd = None,
) -> None:
    """Copy all bound images and their lock into one OCI layout, for hosts without a network."""
    layout = ExportTarget.parse(target)
    settings = SyncOptions(
        o.transfer_options(reaching),
        source=source,
        allow_transports=allow_transport,
        host_files=allow_host_files,
    )
    with shown_progress(SESSION.output, progress_fd) as progress:
        made = export_images(
            Root(root),
            layout,
            lock,
            settings,
            progress=progress,
            runner=SESSION.runner,
        )
    document = {
        "path": str(made.path),
        "bytes": made.bytes,
        "images": [image.to_json() for image in made.record.images],
    }
    lines = [f"exported\t{image.canonical}" for image in made.record.images]
    SESSION.output.result("export", document, [*lines, f"total\t{size(made.bytes)}"])


@app.command("import")
@with_output
def import_command(
    bundle: Annotated[
        Path,
        typer.Argument(parser=path, metavar="BUNDLE", help="The exported directory or archive."),
    ],
    *,
    places: o.Places,
    jobs: Jobs = None,
    keep_going: o.KeepGoing = False,
    timeout: Timeout = None,
    lock_timeout: LockTimeout = None,
    progress_fd: o.ProgressFd = None,
) -> None:
    """Bring an export into the store, without a network, and write the lock file."""
    found = places.find()
    transfer = TransferOptions(
        jobs=jobs, timeout=timeout, lock_timeout=o.lock_seconds(lock_timeout)
    )
    with shown_progress(SESSION.output, progress_fd) as progress:
        done = import_bundle(
            bundle,
            found.root,
            Destination(found.store, found.lock),
            SyncOptions(transfer, keep_going=keep_going),
            progress=progress,
            runner=SESSION.runner,
        )
    documents = [image.to_json() for image in done.record.images]
    lines = [f"{image.action}\t{image.resolved.canonical}" for image in done.plan.images]
    SESSION.output.result_with_errors("images", documents, lines, done.errors)
