"""``bootc-orch bound-images``: the separate program for app images, as a group of this one."""

from __future__ import annotations

import sys

import typer

from orch_frame.errors import ToolMissingError

app = typer.Typer(add_completion=False)


@app.callback()
def group() -> None:
    """Hold the one command; a Typer application of one command would have no group."""


@app.command(
    "bound-images",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
)
def bound_images(ctx: typer.Context) -> None:
    """Keep the app images that an operating-system root is bound to ready for podman."""
    try:
        from bound_images.cli import main
    except ModuleNotFoundError as error:
        raise ToolMissingError("bound-images") from error
    sys.argv = [f"{sys.argv[0]} bound-images", *ctx.args]
    main()
