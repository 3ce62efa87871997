"""The command ``lock``."""

from __future__ import annotations

import typer

from bound_images.cli import options as o
from bound_images.cli.progress import shown_progress
from bound_images.cli.session import SESSION
from bound_images.ops.sync import lock_images
from bound_images.settings import SyncOptions

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("lock")
def lock_command(
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    store: o.StorePath = None,
    lock: o.LockPath = None,
    root_id: o.RootId = None,
    source: o.Source = None,
    allow_transport: o.AllowTransport = False,
    allow_host_files: o.AllowHostFiles = False,
    jobs: o.Jobs = o.JOBS,
    authfile: o.AuthFile = None,
    tls_verify: o.TlsVerify = None,
    retries: o.Retries = None,
    retry_delay: o.RetryDelay = None,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Write down what the images stand for now, for sync --locked and export to keep to."""
    places = o.Places(root, store, lock, root_id, needs_store=lock is None)
    settings = SyncOptions(
        jobs=jobs,
        auth_file=o.environment_auth_file(authfile),
        tls_verify=tls_verify,
        retries=retries,
        retry_delay=retry_delay,
        lock_timeout=lock_timeout,
        source=source,
        allow_transports=allow_transport,
        host_files=allow_host_files,
    )
    with shown_progress(SESSION.output, None) as progress:
        record = lock_images(
            places.root,
            places.store if store else None,
            places.lock,
            settings,
            progress=progress,
            runner=SESSION.runner,
        )
    documents = [image.to_json() for image in record.images]
    lines = [f"{image.canonical}\t{image.digest}" for image in record.images]
    SESSION.output.result("images", documents, lines)
