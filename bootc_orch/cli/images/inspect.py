"""``layers``, ``du``, ``explain`` and ``gc``: what a repository holds, why, and what can go."""

from __future__ import annotations

from typing import Annotated

import typer

from bootc_orch.cli.options.configured import lock_timeout
from bootc_orch.cli.options.general import (
    Plan,
    RepoOption,
    open_repo,
)
from bootc_orch.cli.terminal.render import Column, is_terminal, say_table, short_digest, size_text
from orch_frame.options.fetching import LockTimeout
from orch_frame.options.printing import with_output
from orch_frame.output import mode, say, say_result

app = typer.Typer(add_completion=False)


@app.command()
@with_output
def layers(*, repo: RepoOption = None) -> None:
    """List the stored layers: kind, sizes, and the images that are made of them."""
    from bootc_orch.ops.stored.store import list_images
    from bootc_orch.ops.stored.usage import layer_usage

    opened = open_repo(repo)
    listing = list_images(opened)
    listing.require_intact()
    found = layer_usage(opened, listing)
    say_result(
        "layers",
        [
            {
                "digest": str(layer.digest),
                "kind": str(layer.kind),
                "size": layer.size,
                "compressed_size": layer.compressed_size,
                "images": list(layer.images),
                "commit": layer.commit,
            }
            for layer in found
        ],
    )
    if mode.json:
        return
    columns = (
        Column("LAYER"),
        Column("KIND"),
        Column("SIZE", right=True),
        Column("COMPRESSED", right=True),
        Column("IMAGES", flexible=True),
    )
    terminal = is_terminal()
    rows = [
        (
            short_digest(str(layer.digest)) if terminal else str(layer.digest),
            str(layer.kind),
            size_text(layer.size),
            "" if layer.compressed_size is None else size_text(layer.compressed_size),
            " ".join(layer.images) or "none",
        )
        for layer in found
    ]
    say_table(columns, rows)


@app.command()
@with_output
def du(*, repo: RepoOption = None) -> None:
    """Show how many bytes on disk each image shares with others, and how many are its own."""
    from bootc_orch.ops.stored.store import list_images
    from bootc_orch.ops.stored.usage import image_usage

    opened = open_repo(repo)
    listing = list_images(opened)
    listing.require_intact()
    usage = image_usage(opened, listing)
    say_result(
        "images",
        [
            {"reference": image.reference, "shared": image.shared, "unique": image.unique}
            for image in usage
        ],
    )
    if not mode.json:
        columns = (
            Column("IMAGE", flexible=True),
            Column("SHARED", right=True),
            Column("UNIQUE", right=True),
        )
        say_table(
            columns,
            [(i.reference, size_text(i.shared), size_text(i.unique)) for i in usage],
        )


@app.command()
@with_output
def explain(
    target: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A layer's digest, a commit or object checksum, an image, or a ref.",
        ),
    ],
    *,
    repo: RepoOption = None,
) -> None:
    """Say what keeps a layer, a commit or an image alive."""
    from bootc_orch.ops.stored.explain import explain as explain_target

    found = explain_target(open_repo(repo), target)
    say_result(
        "explain",
        {
            "target": found.target,
            "kind": str(found.kind),
            "commit": found.commit,
            "alive": found.alive,
            "kept_by": [
                {"kind": str(keeper.kind), "name": keeper.name, "reason": keeper.reason}
                for keeper in found.kept_by
            ],
        },
    )
    commit = f" (commit {found.commit})" if found.commit not in (None, found.target) else ""
    say(f"{found.kind} {found.target}{commit}")
    for keeper in found.kept_by:
        say(f"    kept by {keeper.kind} {keeper.name}: it {keeper.reason}")
    if not found.alive:
        say("    kept by nothing: the next gc deletes it")


@app.command()
@with_output
def gc(
    *,
    repo: RepoOption = None,
    plan: Plan = False,
    wait: LockTimeout = None,
) -> None:
    """Delete layers that nothing is made of, and objects that no ref reaches."""
    from bootc_orch.ops.stored.lock import locked
    from bootc_orch.ops.stored.prune import apply_gc, plan_gc

    opened = open_repo(repo)
    with locked(opened.path, exclusive=not plan, timeout=lock_timeout(wait)):
        garbage = plan_gc(opened)
        if not plan:
            apply_gc(garbage, opened)
            opened.sync()
    document = {
        "layers": [str(digest) for digest in garbage.layers],
        "objects": garbage.objects,
        "bytes": garbage.size,
    }
    say_result("plan" if plan else "removed", document)
    if not garbage.layers and not garbage.objects:
        say("No content would be pruned." if plan else "No content was pruned.")
        return
    verb = "Would remove" if plan else "Removed"
    if plan:
        for digest in garbage.layers:
            say(f"Would remove layer: {digest}")
    say(f"{verb} layers: {len(garbage.layers)}")
    say(f"{verb} objects: {garbage.objects}")
    say(f"{'Would free' if plan else 'Freed'}: {size_text(garbage.size)}")
