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

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("export")
def export_command(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="DIR, oci:DIR or oci-archive:FILE.")
    ],
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    lock: Annotated[
        Path | None,
        typer.Option(
            "--lock", parser=o.path, metavar="FILE", help="Export what this lock file says."
        ),
    ] = None,
    source: o.Source = None,
    allow_transport: o.AllowTransport = False,
    allow_host_files: o.AllowHostFiles = False,
    authfile: o.AuthFile = None,
    tls_verify: o.TlsVerify = None,
    jobs: o.Jobs = o.JOBS,
    retries: o.Retries = None,
    retry_delay: o.RetryDelay = None,
    timeout: o.Timeout = o.TIMEOUT,
    progress_fd: o.ProgressFd = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Copy all bound images and their lock into one OCI layout, for hosts without a network."""
    layout = ExportTarget.parse(target)
    settings = SyncOptions(
        jobs=jobs,
        auth_file=o.environment_auth_file(authfile),
        tls_verify=tls_verify,
        retries=retries,
        retry_delay=retry_delay,
        timeout=timeout,
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
def import_command(
    bundle: Annotated[
        Path,
        typer.Argument(parser=o.path, metavar="BUNDLE", help="The exported directory or archive."),
    ],
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    store: o.StorePath = None,
    lock: o.LockPath = None,
    root_id: o.RootId = None,
    jobs: o.Jobs = o.JOBS,
    keep_going: o.KeepGoing = False,
    timeout: o.Timeout = o.TIMEOUT,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    progress_fd: o.ProgressFd = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Bring an export into the store, without a network, and write the lock file."""
    places = o.Places(root, store, lock, root_id)
    settings = SyncOptions(
        jobs=jobs, keep_going=keep_going, timeout=timeout, lock_timeout=lock_timeout
    )
    with shown_progress(SESSION.output, progress_fd) as progress:
        done = import_bundle(
            bundle,
            places.root,
            Destination(places.store, places.lock),
            settings,
            progress=progress,
            runner=SESSION.runner,
        )
    documents = [image.to_json() for image in done.record.images]
    lines = [f"{image.action}\t{image.resolved.canonical}" for image in done.plan.images]
    SESSION.output.result_with_errors("images", documents, lines, done.errors)
