"""The commands that find, fetch, check and remove bound images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bound_images.check import CheckResult
from bound_images.check import check as check_images
from bound_images.check import verify as verify_images
from bound_images.cli import options as o
from bound_images.cli.app import SESSION, app
from bound_images.cli.output import size
from bound_images.cli.progress import shown_progress
from bound_images.errors import raise_all
from bound_images.plan import SyncPlan
from bound_images.prune import prune as prune_store
from bound_images.rootfs import Root
from bound_images.scan import BoundImage, scan
from bound_images.settings import SyncOptions
from bound_images.sync import plan as plan_images
from bound_images.sync import sync as sync_images

PlanOnly = Annotated[
    bool, typer.Option("--plan", "--dry-run", help="Print what would be done, and do nothing.")
]


@app.command("list")
def list_command(
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    keep_going: o.KeepGoing = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """List the images that a root is bound to."""
    found = scan(Root(root))
    documents = [image_document(image) for image in found.images]
    lines = [f"{image.name}\t{image.key}" for image in found.images]
    if not keep_going:
        raise_all(found.errors, "Some definitions cannot be read.")
    SESSION.output.result_with_errors("images", documents, lines, found.errors)


@app.command("sync")
@app.command("pull", hidden=True)
def sync_command(
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    store: o.StorePath = None,
    lock: o.LockPath = None,
    root_id: o.RootId = None,
    plan: PlanOnly = False,
    source: o.Source = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="Take what the lock file says, not what is newest.")
    ] = False,
    prefer_locked: Annotated[
        bool, typer.Option("--prefer-locked", help="As --locked, where there is a lock file.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="As --locked, and fail rather than use the network.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read back what is there, and repair it.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Follow moved tags, whatever Policy= says.")
    ] = False,
    keep_going: o.KeepGoing = False,
    allow_transport: o.AllowTransport = False,
    jobs: o.Jobs = o.JOBS,
    authfile: o.AuthFile = None,
    tls_verify: o.TlsVerify = None,
    retries: o.Retries = None,
    retry_delay: o.RetryDelay = None,
    timeout: o.Timeout = o.TIMEOUT,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    progress_fd: o.ProgressFd = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Fetch what is missing or has changed, check it, and write the lock file."""
    places = o.Places(root, store, lock, root_id)
    settings = SyncOptions(
        jobs=jobs,
        auth_file=o.environment_auth_file(authfile),
        tls_verify=tls_verify,
        retries=retries,
        retry_delay=retry_delay,
        timeout=timeout,
        lock_timeout=lock_timeout,
        source=source,
        allow_transports=allow_transport,
        keep_going=keep_going,
        pinned=locked or offline or (prefer_locked and places.lock.exists()),
        offline=offline,
        verify=verify,
        refresh=refresh,
    )
    where = (places.root, places.store, places.lock, settings)
    with shown_progress(SESSION.output, progress_fd) as progress:
        if plan:
            todo = plan_images(*where, progress=progress, runner=SESSION.runner)
            SESSION.output.result("plan", plan_document(todo), plan_lines(todo))
            return
        done = sync_images(*where, progress=progress, runner=SESSION.runner)
    documents = [image.to_json() for image in done.record.images]
    lines = [f"{image.action}\t{image.resolved.canonical}" for image in done.plan.images]
    SESSION.output.result_with_errors("images", documents, lines, done.errors)


@app.command("check")
def check_command(
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    store: o.StorePath = None,
    lock: o.LockPath = None,
    root_id: o.RootId = None,
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
            lock_timeout=lock_timeout,
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
            lock_timeout=lock_timeout,
            progress=progress,
            runner=SESSION.runner,
        )
    _show_check(result)


@app.command("prune")
def prune_command(
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    store: o.StorePath = None,
    keep_root: Annotated[
        list[Path] | None,
        typer.Option("--keep-root", help="A root that may still be started; repeat for each."),
    ] = None,
    keep_lock: Annotated[
        list[Path] | None,
        typer.Option("--keep-lock", help="A further lock file whose images stay."),
    ] = None,
    plan: PlanOnly = False,
    lock_timeout: o.LockTimeout = o.LOCK_TIMEOUT,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = 0,
) -> None:
    """Remove the images that no kept root is bound to."""
    done = prune_store(
        o.Places(root, store, None, None).store,
        keep_roots=keep_root or (),
        keep_locks=keep_lock or (),
        apply=not plan,
        lock_timeout=lock_timeout,
        runner=SESSION.runner,
    )
    document = {
        "removed": [
            {"image_id": i.image_id, "names": list(i.names), "size": i.size} for i in done.remove
        ],
        "kept": [
            {"image_id": i.image_id, "names": list(i.names), "size": i.size} for i in done.keep
        ],
        "locks": [str(path) for path in done.locks],
        "bytes": done.bytes,
    }
    lines = [f"remove\t{' '.join(i.names) or i.image_id}" for i in done.remove]
    SESSION.output.result("plan" if plan else "pruned", document, lines)


def image_document(image: BoundImage) -> dict[str, object]:
    """Return an element of the ``images`` of ``list``."""
    return {
        "name": image.name,
        "type": image.type.value,
        "reference": image.reference,
        "canonical": image.canonical,
        "options": image.options.as_keys(),
        "sources": list(image.sources),
    }


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
