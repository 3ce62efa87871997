"""The command ``list``."""

from __future__ import annotations

import typer

from bound_images.cli import options as o
from bound_images.cli.documents import image_document
from bound_images.cli.session import SESSION
from bound_images.rootfs import Root
from bound_images.units.scan import scan
from orch_frame.options.printing import with_output
from orch_frame.several import raise_all

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("list")
@with_output
def list_command(
    *,
    root: o.RootPath = o.DEFAULT_ROOT,
    keep_going: o.KeepGoing = False,
) -> None:
    """List the images that a root is bound to."""
    found = scan(Root(root))
    documents = [image_document(image) for image in found.images]
    lines = [f"{image.name}\t{image.key}" for image in found.images]
    if not keep_going:
        raise_all(found.errors, "Some definitions cannot be read.")
    SESSION.output.result_with_errors("images", documents, lines, found.errors)
