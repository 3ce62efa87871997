"""Keep the app images that an operating-system root is bound to ready in containers/storage.

The names below are the library's interface; everything else may change.  Nothing here prints,
exits or installs signal handlers: failures are `BoundImagesError`, and `exit_status` gives the
status that the command line would end with.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bound_images.check import CheckedImage, CheckResult, Verdict, check, verify
    from bound_images.errors import BoundImagesError, SeveralError, exit_status
    from bound_images.events import Event, Progress, State
    from bound_images.plan import Action, PlannedImage, SyncPlan
    from bound_images.programs import Cancelled, Runner
    from bound_images.prune import PrunePlan, prune
    from bound_images.record import LockedImage, Record
    from bound_images.record import read as read_record
    from bound_images.rootfs import Root
    from bound_images.scan import BoundImage, Scan, scan
    from bound_images.settings import SyncOptions
    from bound_images.sync import SyncResult, plan, sync
    from bound_images.where import default_lock, default_store, root_id

__version__ = "0.1.0"
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
    "check": "CheckedImage CheckResult Verdict check verify",
    "errors": "BoundImagesError SeveralError exit_status",
    "events": "Event Progress State",
    "plan": "Action PlannedImage SyncPlan",
    "programs": "Cancelled Runner",
    "prune": "PrunePlan prune",
    "record": "LockedImage Record",
    "rootfs": "Root",
    "scan": "BoundImage Scan scan",
    "settings": "SyncOptions",
    "sync": "SyncResult plan sync",
    "where": "default_lock default_store root_id",
}
_PLACES = {name: (home, name) for home, names in _HOMES.items() for name in names.split()} | {
    "read_record": ("record", "read")
}


class _Interface(ModuleType):
    """This package as a module; the names of the interface come before those of its modules."""

    def __getattr__(self, name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        home, attribute = _PLACES[name]
        found = getattr(import_module(f"{self.__name__}.{home}"), attribute)
        vars(self)[name] = found
        return found

    def __setattr__(self, name: str, value: object) -> None:
        # Importing the module `check` would otherwise hide the function of the same name.
        if not (name in _PLACES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Interface
