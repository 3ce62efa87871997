"""Keep the app images that an operating-system root is bound to ready in containers/storage.

The names below are the library's interface; everything else may change.  Nothing here prints,
exits or installs signal handlers: failures are `BoundImagesError`, and `exit_status` gives the
status that the command line would end with.
"""

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
