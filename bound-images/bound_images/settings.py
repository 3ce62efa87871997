"""How a ``sync`` goes about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from orch_frame.transfer import TransferOptions

__all__ = ["SyncOptions", "TransferOptions"]

# podman unpacks layers under one lock, and most of a pull is waiting: for that, or the network.
DEFAULT_JOBS = 4
STALL_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """How a sync goes about it.

    Attributes:
        transfer: How images are fetched where their definitions leave it open; offline, what the
            store has is taken, and to ask a registry is a failure.
        source: ``containers-storage:…``, ``oci:DIR`` or ``oci-archive:FILE``; None: registries.
        allow_transports: Whether definitions may name archives and directories of this machine.
        host_files: Whether definitions may name credentials and certificates of this machine.
        keep_going: Whether a failure of one image or definition leaves the others alone.
        pinned: Whether to take what the lock file says instead of what the names stand for now;
            what is in the store then needs no network.
        verify: Whether to read back what the store already has.
        refresh: Whether to take every ``Policy=`` for always, and so follow moved tags.
    """

    transfer: TransferOptions = field(default_factory=TransferOptions)
    source: str | None = None
    allow_transports: bool = False
    host_files: bool = False
    keep_going: bool = False
    pinned: bool = False
    verify: bool = False
    refresh: bool = False

    @property
    def jobs(self) -> int:
        """Images that are fetched at the same time."""
        return self.transfer.jobs or DEFAULT_JOBS

    @property
    def stall_seconds(self) -> float:
        """Seconds without a byte after which a transfer counts as stalled."""
        return self.transfer.timeout or STALL_SECONDS
