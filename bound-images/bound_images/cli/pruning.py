"""The command ``prune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bound_images.cli import options as o
from bound_images.cli.output import size
from bound_images.cli.session import SESSION
from bound_images.ops.prune import PrunePlan, require_roots
from bound_images.ops.prune import prune as prune_store
from bound_images.rootfs import Root
from orch_frame.options.fetching import LockTimeout, path
from orch_frame.options.printing import with_output

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("prune")
@with_output
def prune_command(
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    store: o.StorePath = None,
    keep_root: Annotated[
        list[Path] | None,
        typer.Option(
            "--keep-root",
            parser=path,
            metavar="DIR",
            help="A root that may still be started; repeat for each.",
        ),
    ] = None,
    keep_lock: Annotated[
        list[Path] | None,
        typer.Option(
            "--keep-lock",
            parser=path,
            metavar="FILE",
            help="A further lock file whose images stay.",
        ),
    ] = None,
    plan: o.PlanOnly = False,
    lock_timeout: LockTimeout = None,
) -> None:
    """Remove the images that no kept root is bound to."""
    require_roots(keep_root or ())
    done = prune_store(
        o.find_store(Root(root), store),
        keep_roots=keep_root or (),
        keep_locks=keep_lock or (),
        apply=not plan,
        lock_timeout=o.lock_seconds(lock_timeout),
        runner=SESSION.runner,
    )
    _show(done, noun="plan" if plan else "pruned")


def _show(done: PrunePlan, *, noun: str) -> None:
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
    lines = [
        *(f"remove\t{size(i.size)}\t{' '.join(i.names) or i.image_id}" for i in done.remove),
        *(f"remove\t{path}" for path in done.locks),
        f"total\t{size(done.bytes)}",
    ]
    SESSION.output.result(noun, document, lines)
