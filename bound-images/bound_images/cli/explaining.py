"""The command ``explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from bound_images.cli import options as o
from bound_images.cli.documents import image_document
from bound_images.cli.output import size
from bound_images.cli.session import SESSION
from bound_images.ops.explain import Explanation
from bound_images.ops.explain import explain as explain_image
from orch_frame.options.fetching import LockTimeout
from orch_frame.options.printing import with_output

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("explain")
@with_output
def explain_command(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The name or id of an image, or a unit that binds it."),
    ],
    *,
    places: o.Places,
    lock_timeout: LockTimeout = None,
) -> None:
    """Say why an image is in the store, and what would happen to it."""
    where = places.find()
    found = explain_image(
        where.root,
        where.store,
        name,
        locks=(where.lock,) if places.lock else (),
        lock_timeout=o.lock_seconds(lock_timeout),
        runner=SESSION.runner,
    )
    SESSION.output.result("image", _document(found), _lines(found))


def _document(found: Explanation) -> dict[str, object]:
    stored = found.stored
    return {
        "name": found.name,
        "reason": found.reason,
        "bound": [image_document(image) for image in found.bound],
        "locks": [{"path": str(path), "image_id": image_id} for path, image_id in found.locks],
        "stored": stored
        and {
            "image_id": stored.image_id,
            "names": list(stored.names),
            "digest": stored.digest,
            "size": stored.size,
            "layers": list(found.layers),
            "verified": found.verified,
        },
    }


def _lines(found: Explanation) -> list[str]:
    lines = [found.reason]
    for image in found.bound:
        lines.append(f"bound as {image.reference} by {', '.join(image.sources)}")
    lines += [f"recorded as {image_id[:12]} in {path}" for path, image_id in found.locks]
    if found.stored:
        whole = "known to be whole" if found.verified else "not verified yet"
        lines.append(f"stored as {found.stored.image_id[:12]}, {size(found.stored.size)}, {whole}")
        lines += [f"named {name}" for name in found.stored.names]
    return lines
