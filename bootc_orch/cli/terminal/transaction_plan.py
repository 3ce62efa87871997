"""Print what a transaction would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootc_orch.cli.terminal.describe import plan_json
from bootc_orch.cli.terminal.names import (
    long_name,
    short_name,
)
from bootc_orch.cli.terminal.progress import say_transfer
from bootc_orch.cli.terminal.render import size_text
from bootc_orch.cli.terminal.root_difference import detail_lines, difference_json, summary_lines
from orch_frame.output import say, say_result

if TYPE_CHECKING:
    from bootc_orch.ops.host.transaction_plan import Space, TransactionPlan


UNKNOWN = (
    "Bound images, packages and files: known once the image is fetched; --plan --diff fetches it, "
    "and deploys nothing"
)


def say_transaction_plan(
    plan: TransactionPlan, *, headline: str = "Would queue for next boot"
) -> None:
    """Print the plan, as lines or as JSON; *headline* says what would be done with the image."""
    if plan.host is not None:
        say_transfer(plan.host.transfer)
        for layer in plan_json(plan.host)["fetch"]:
            say(f"Would fetch: {layer['digest']} ({size_text(layer['size'])})")
    if plan.deployed:
        say(f"No changes in: {long_name(plan.wanted.target)}")
    else:
        say(f"{headline}: {short_name(plan.wanted.target)}")
    if plan.fetched is not None:
        size = size_text(plan.fetched.transfer.needed_bytes)
        say(f"Fetched, not deployed: {size}; gc removes it if nothing deploys it")
    for line in summary_lines(plan.difference) if plan.difference else ():
        say(line)
    if plan.apps is None:
        say(UNKNOWN)
    elif plan.difference is None:
        say("Packages and files: compared by --plan --diff")
    for app in plan.apps or ():
        say(f"Bound image: {app.reference}: {app.action} ({size_text(app.size)})")
    for name, space in (("root", plan.root), ("boot", plan.boot)):
        say(f"Space on {name}: {_space_text(space)}")
    for line in detail_lines(plan.difference) if plan.difference else ():
        say(line)
    say_result("plan", _document(plan))


def _document(plan: TransactionPlan) -> dict[str, Any]:
    host = plan_json(plan.host) if plan.host else {"present": None, "fetch": [], "bytes": 0}
    apps = None
    if plan.apps is not None:
        apps = [
            {"reference": app.reference, "action": app.action, "size": app.size}
            for app in plan.apps
        ]
    return {
        **host,
        "reference": str(plan.wanted.target),
        "deployed": plan.deployed,
        "bound_images": apps,
        "fetched": _fetched(plan),
        "difference": difference_json(plan.difference) if plan.difference else None,
        "space": {
            "root": {"needed": plan.root.needed, "free": plan.root.free},
            "boot": {"needed": plan.boot.needed, "free": plan.boot.free},
        },
    }


def _fetched(plan: TransactionPlan) -> list[dict[str, Any]] | None:
    """List the layers that the plan itself brought in; None where it was not to fetch any."""
    if plan.difference is None:
        return None
    fetched: list[dict[str, Any]] = plan_json(plan.fetched)["fetch"] if plan.fetched else []
    return fetched


def _space_text(space: Space) -> str:
    needed = "unknown" if space.needed is None else size_text(space.needed)
    return f"{needed} needed, {size_text(space.free)} free"
