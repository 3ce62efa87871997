"""The verbs of ``bootc-orch image`` that delete, forget or copy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bootc_orch.cli.options.configured import lock_timeout
from bootc_orch.cli.options.general import (
    ImageArgument,
    Plan,
    RepoOption,
    exclusive,
    open_repo,
    parse_image,
    stored_image,
)
from orch_frame.boundary import report
from orch_frame.errors import NotFoundError
from orch_frame.options.fetching import LockTimeout
from orch_frame.options.printing import with_output
from orch_frame.output import say, say_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bootc_orch.tools.ostree.repo import Pruned


@with_output
def remove(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Images to remove.")],
    *,
    repo: RepoOption = None,
    skip_gc: Annotated[
        bool, typer.Option("--skip-gc", help="Keep layers and objects that nothing needs then.")
    ] = False,
    plan: Plan = False,
    wait: LockTimeout = None,
) -> None:
    """Remove images, and what nothing needs without them."""
    from bootc_orch.ops.stored.lock import locked
    from bootc_orch.ops.stored.prune import (
        apply_remove,
        collect_garbage,
        plan_remove,
        removed_names,
    )

    opened = open_repo(repo)
    references = [parse_image(image) for image in images]
    with locked(opened.path, exclusive=not plan, timeout=lock_timeout(wait)):
        doomed = plan_remove(opened, references)
        names = list(removed_names(doomed))
        if plan:
            for name in names:
                say(f"Would remove: {name}")
            say_result("plan", {"images": names})
            doomed.require_all()
            return
        apply_remove(doomed, opened)
        swept = None if skip_gc else collect_garbage(opened)
        opened.sync()
    layers = len(swept.layers) if swept else 0
    say(f"Removed images: {len(names)}" + ("" if skip_gc else f" layers: {layers}"))
    result = {"images": names, "layers": layers, "objects": swept.pruned.objects if swept else 0}
    try:
        doomed.require_all()
    except NotFoundError as error:
        raise typer.Exit(report(error, partial={"removed": result})) from error
    say_result("removed", result)


@with_output
def prune_layers(
    *,
    repo: RepoOption = None,
    plan: Plan = False,
    wait: LockTimeout = None,
) -> None:
    """Delete the layers that no image, deployment or derived commit is made of."""
    from bootc_orch.ops.stored.lock import locked
    from bootc_orch.ops.stored.prune import collect_garbage, unused_layers

    opened = open_repo(repo)
    with locked(opened.path, exclusive=not plan, timeout=lock_timeout(wait)):
        if plan:
            unused = [str(digest) for digest in unused_layers(opened)]
            for digest in unused:
                say(f"Would remove layer: {digest}")
            say_result("plan", {"layers": unused})
            return
        swept = collect_garbage(opened)
        opened.sync()
    say(f"Removed layers: {len(swept.layers)}")
    layers = [str(digest) for digest in swept.layers]
    say_result("pruned", {"layers": layers, "objects": swept.pruned.objects})


@with_output
def prune_images(
    *,
    sysroot: Annotated[
        Path, typer.Option("--sysroot", "--root", metavar="DIR", help="The root to look at.")
    ] = Path("/"),
    and_layers: Annotated[
        bool, typer.Option("--and-layers", help="Delete layers that nothing needs then, too.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Delete such layers and all objects without a ref.")
    ] = False,
    plan: Plan = False,
    wait: LockTimeout = None,
) -> None:
    """Remove the images that no deployment follows."""
    from bootc_orch.ops.stored import prune
    from bootc_orch.ops.stored.lock import locked

    exclusive(and_layers=and_layers, full=full)
    opened = open_repo(None, sysroot=sysroot)
    with locked(opened.path, exclusive=not plan, timeout=lock_timeout(wait)):
        doomed = prune.plan_undeployed(opened, prune.deployed_images(sysroot))
        names = list(prune.removed_names(doomed))
        if plan:
            for name in names:
                say(f"Would remove: {name}")
            say_result("plan", {"images": names})
            return
        prune.apply_remove(doomed, opened)
        layers = prune.unused_layers(opened) if and_layers or full else ()
        prune.delete_layers(opened, layers)
        pruned = prune.prune_objects(opened) if full else None
        opened.sync()
    _say_pruned(names, layers=len(layers) if and_layers or full else None, pruned=pruned)
    objects = pruned.objects if pruned else 0
    say_result("pruned", {"images": names, "layers": [str(d) for d in layers], "objects": objects})


@with_output
def clear_cached_update(
    image: ImageArgument,
    *,
    repo: RepoOption = None,
    wait: LockTimeout = None,
) -> None:
    """Forget the newer version that a check has found."""
    from bootc_orch.ops.stored import notes
    from bootc_orch.ops.stored.lock import locked

    opened = open_repo(repo)
    with locked(opened.path, exclusive=True, timeout=lock_timeout(wait)):
        reference, state = stored_image(opened, image)
        cleared = notes.clear_cached_update(opened, state.merge_commit)
    say(f"Cleared the cached update of {reference}" if cleared else "No cached update.")
    say_result("cleared", cleared)


@with_output
def copy(
    reference: ImageArgument,
    *,
    src_repo: Annotated[
        Path, typer.Option("--src-repo", metavar="REPO", help="The repository that has it.")
    ],
    dest_repo: Annotated[
        Path, typer.Option("--dest-repo", metavar="REPO", help="The repository to copy it to.")
    ],
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="IMAGE", help="Store it under this name instead."),
    ] = None,
    plan: Plan = False,
    wait: LockTimeout = None,
) -> None:
    """Copy an image from one repository to another, whatever their modes."""
    from contextlib import ExitStack

    from bootc_orch.ops.stored.copy import apply_copy, plan_copy
    from bootc_orch.ops.stored.lock import locked

    source, destination = open_repo(src_repo), open_repo(dest_repo)
    wanted = parse_image(reference)
    stored_as = parse_image(target) if target else wanted
    with ExitStack() as stack:
        locks = sorted({source.path.resolve(): source, destination.path.resolve(): destination})
        for path in locks:  # in one order for all processes, so that two cannot wait for each other
            writes = path == destination.path.resolve() and not plan
            stack.enter_context(locked(path, exclusive=writes, timeout=lock_timeout(wait)))
        todo = plan_copy(source, destination, wanted, target=stored_as)
        if not plan:
            apply_copy(todo, source, destination, target=stored_as)
    missing = [str(digest) for digest in todo.missing]
    if plan:
        say(f"Would copy {len(missing)} layers of {len(todo.layers)}")
        say_result("plan", {"fetch": missing, "unchanged": todo.unchanged})
        return
    word = "No changes in" if todo.unchanged else "Copied:"
    say(f"{word} {stored_as} => {todo.state.merge_commit}")
    say_result(
        "copied",
        {
            "reference": str(stored_as),
            "commit": todo.state.merge_commit,
            "layers": missing,
            "changed": not todo.unchanged,
        },
    )


def _say_pruned(images: Sequence[str], *, layers: int | None, pruned: Pruned | None) -> None:
    """Print what was deleted; *layers* and *pruned* are None where that was not asked for."""
    if pruned and not (images or layers or pruned.objects):
        say("No content was pruned.")
        return
    say(f"Removed images: {len(images)}")
    if layers is not None:
        say(f"Removed layers: {layers}")
    if pruned is not None:
        say(f"Removed objects: {pruned.objects}")
        say(f"Freed: {pruned.freed or '0 bytes'}")
