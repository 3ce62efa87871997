"""Print what a transaction would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootc_orch.cli.output import say, say_result
from bootc_orch.cli.progress import say_transfer
from bootc_orch.cli.pull import plan_json
from bootc_orch.cli.render import size_text
from bootc_orch.cli.transactions import (
    long_name,
    short_name,
)

if TYPE_CHECKING:
    from bootc_orch.ops.transaction_plan import Space, TransactionPlan


def say_transaction_plan(plan: TransactionPlan) -> None:
    """Print the plan, as lines or as JSON."""
    if plan.host is not None:
        say_transfer(plan.host.transfer)
        for layer in plan_json(plan.host)["fetch"]:
            say(f"Would fetch: {layer['digest']} ({size_text(layer['size'])})")
    if plan.deployed:
        say(f"No changes in: {long_name(plan.wanted.target)}")
    else:
        say(f"Would queue for next boot: {short_name(plan.wanted.target)}")
    if plan.apps is None:
        say("Bound images: known once the image is pulled")
    for app in plan.apps or ():
        say(f"Bound image: {app.reference}: {app.action} ({size_text(app.size)})")
    for name, space in (("root", plan.root), ("boot", plan.boot)):
        say(f"Space on {name}: {_space_text(space)}")
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
        "space": {
            "root": {"needed": plan.root.needed, "free": plan.root.free},
            "boot": {"needed": plan.boot.needed, "free": plan.boot.free},
        },
    }


def _space_text(space: Space) -> str:
    needed = "unknown" if space.needed is None else size_text(space.needed)
    return f"{needed} needed, {size_text(space.free)} free"
