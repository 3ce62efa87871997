"""Keep the app images that an operating-system root is bound to ready in containers/storage.

The names below are the library's interface; everything else may change.  Nothing here prints,
exits or installs signal handlers: failures are `BoundImagesError`, and `exit_status` gives the
status that the command line would end with.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from orch_frame import __version__ as __version__

if TYPE_CHECKING:
    from bound_images.errors import BoundImagesError, SeveralError, exit_status
    from bound_images.events import Event, Progress, State
    from bound_images.ops.check import CheckedImage, CheckResult, Verdict, check, verify
    from bound_images.ops.plan import Action, PlannedImage, SyncPlan
    from bound_images.ops.prune import PrunePlan, prune
    from bound_images.ops.sync import SyncResult, plan, sync
    from bound_images.programs import Cancelled, Runner
    from bound_images.rootfs import Root
    from bound_images.settings import SyncOptions, TransferOptions
    from bound_images.storage.record import LockedImage, Record
    from bound_images.storage.record import read as read_record
    from bound_images.units.scan import BoundImage, Scan, scan
    from bound_images.where import default_lock, default_store, root_id

__all__ = [
    "Action",
    "BoundImage",
    "BoundImagesError",
    "Cancelled",
    "CheckResult",
    "CheckedImage",
    "Event",
    "LockedImage",
    "PlannedImage",
    "Progress",
    "PrunePlan",
    "Record",
    "Root",
    "Runner",
    "Scan",
    "SeveralError",
    "State",
    "SyncOptions",
    "SyncPlan",
    "SyncResult",
    "TransferOptions",
    "Verdict",
    "check",
    "default_lock",
    "default_store",
    "exit_status",
    "plan",
    "prune",
    "read_record",
    "root_id",
    "scan",
    "sync",
    "verify",
]

# Where each name comes from.  It is loaded when it is first asked for: the command line starts in
# a fraction of the time that all of them take.
_HOMES = {
    "errors": "BoundImagesError SeveralError exit_status",
    "events": "Event Progress State",
    "storage.record": "LockedImage Record",
    "ops.check": "CheckedImage CheckResult Verdict check verify",
    "ops.plan": "Action PlannedImage SyncPlan",
    "ops.prune": "PrunePlan prune",
    "ops.sync": "SyncResult plan sync",
    "programs": "Cancelled Runner",
    "rootfs": "Root",
    "settings": "SyncOptions TransferOptions",
    "units.scan": "BoundImage Scan scan",
    "where": "default_lock default_store root_id",
}
_PLACES = {name: (home, name) for home, names in _HOMES.items() for name in names.split()} | {
    "read_record": ("storage.record", "read")
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, attribute = _PLACES[name]
    found: object = getattr(import_module(f"{__name__}.{home}"), attribute)
    globals()[name] = found
    return found
