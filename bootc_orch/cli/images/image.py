"""``bootc-orch image``: the images in a repository, with the verbs of ``ostree container image``.

The lines on standard output are those that scripts know from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.images import upkeep
from bootc_orch.cli.images.pull import pull
from bootc_orch.cli.options.general import (
    ImageArgument,
    RepoOption,
    open_repo,
    stored_image,
)
from bootc_orch.cli.terminal.describe import created_text, history_json, image_json, inspect_json
from bootc_orch.cli.terminal.render import Column, is_terminal, say_table, short_digest, size_text
from orch_frame.boundary import report
from orch_frame.errors import StoreDamagedError
from orch_frame.options.printing import with_output
from orch_frame.output import mode, say, say_document, say_raw, say_result

if TYPE_CHECKING:
    from bootc_orch.model.image.reference import ImageReference
    from bootc_orch.ops.stored.store import ImageListing, ImageState

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command()(pull)


@app.callback()
def image_group() -> None:
    """Pull, list and remove the images in an ostree repository."""


@app.command("list")
@with_output
def list_command(*, repo: RepoOption = None) -> None:
    """List the stored images: on a terminal as a table, else one reference a line."""
    from bootc_orch.ops.stored.store import list_images

    listing = list_images(open_repo(repo))
    if not mode.json:
        _say_images(listing)
    images = [image_json(reference, state) for reference, state in listing.images]
    if listing.damaged:
        raise typer.Exit(report(_damage(listing), partial={"images": images}))
    say_result("images", images)


@app.command()
@with_output
def inspect(image: ImageArgument, *, repo: RepoOption = None) -> None:
    """Show one image: versions, dates, labels, layers and their sizes."""
    opened = open_repo(repo)
    reference, state = stored_image(opened, image)
    say_result("image", inspect_json(opened, reference, state))
    if not mode.json:
        _say_inspected(reference, state)


@app.command()
@with_output
def history(image: ImageArgument, *, repo: RepoOption = None) -> None:
    """Show how each layer of an image came about."""
    _, state = stored_image(open_repo(repo), image)
    entries = history_json(state.manifest, state.config)
    if not mode.json:
        columns = (Column("ID"), Column("SIZE", right=True), Column("CREATED BY", flexible=True))
        say_table(
            columns,
            [
                (short_digest(entry["digest"]), size_text(entry["size"]), entry["created_by"] or "")
                for entry in entries
            ],
        )
    say_result("history", entries)


@app.command()
@with_output
def metadata(
    image: ImageArgument,
    *,
    repo: RepoOption = None,
    config: Annotated[
        bool, typer.Option("--config", help="The config instead of the manifest.")
    ] = False,
) -> None:
    """Print an image's manifest as it is recorded, in canonical JSON."""
    _, state = stored_image(open_repo(repo), image)
    if mode.json:
        noun, document = ("config", state.config) if config else ("manifest", state.manifest)
        say_document({noun: document.document})
        return
    say_raw(state.config.canonical() if config else state.manifest.canonical())


for command in (
    upkeep.remove,
    upkeep.prune_layers,
    upkeep.prune_images,
    upkeep.clear_cached_update,
    upkeep.copy,
):
    app.command()(command)


def _damage(listing: ImageListing) -> StoreDamagedError:
    total = len(listing.damaged) + len(listing.images)
    return StoreDamagedError(
        f"{len(listing.damaged)} of {total} image refs are damaged.",
        details="\n".join(f"{ref}: {reason}" for ref, reason in listing.damaged.items()),
        hint="Remove or pull these images again; the others are usable.",
    )


def _say_images(listing: ImageListing) -> None:
    if not is_terminal():
        for reference, _ in listing.images:
            say(str(reference))
        return
    columns = (
        Column("IMAGE", flexible=True),
        Column("VERSION"),
        Column("CREATED"),
        Column("DIGEST"),
        Column("SIZE", right=True),
    )
    rows = [
        (
            str(reference),
            state.config.version or "",
            (created_text(state) or "")[:10],
            short_digest(str(state.manifest_digest)),
            size_text(state.size),
        )
        for reference, state in listing.images
    ]
    say_table(columns, rows)


def _say_inspected(reference: ImageReference, state: ImageState) -> None:
    facts = {
        "Image": str(reference),
        "Digest": str(state.manifest_digest),
        "Commit": state.merge_commit,
        "Base commit": state.base_commit or "missing",
        "Version": state.config.version,
        "Created": created_text(state),
        "Architecture": state.config.architecture,
        "Size": f"{size_text(state.size)} in {len(state.manifest.layers)} layers",
        "Stored by": state.importer,
        "Update seen": str(state.cached_update.manifest_digest) if state.cached_update else None,
    }
    for name, value in facts.items():
        if value:
            say(f"{name + ':':<14} {value}")
    if state.config.labels:
        say("Labels:")
        for label, text in sorted(state.config.labels.items()):
            say(f"    {label}={text}")
    say("Layers:")
    kinds = [str(layer.kind) for layer in state.layers or ()]
    for index, layer in enumerate(state.manifest.layers):
        kind = kinds[index] if kinds else "layer"
        say(f"    {layer.digest}  {kind:<7}  {size_text(layer.size)}")
