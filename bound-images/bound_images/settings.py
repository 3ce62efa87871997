"""How a ``sync`` goes about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orch_frame.lock import DEFAULT_TIMEOUT

# podman unpacks layers under one lock, and most of a pull is waiting: for that, or the network.
DEFAULT_JOBS = 4
PULL_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """How a sync goes about it.

    Attributes:
        jobs: Images that are fetched at the same time.
        auth_file: The authentication file for images whose definition names none.
        tls_verify: Whether to demand valid certificates where the definition leaves it open.
        retries: Further attempts after a transient failure where the definition names none.
        retry_delay: Seconds before the second attempt, doubled each time.
        timeout: Seconds that one attempt to fetch an image may take.
        lock_timeout: Seconds to wait for another process that uses the store.
        source: ``containers-storage:…``, ``oci:DIR`` or ``oci-archive:FILE``; None: registries.
        allow_transports: Whether definitions may name archives and directories of this machine.
        host_files: Whether definitions may name credentials and certificates of this machine.
        keep_going: Whether a failure of one image or definition leaves the others alone.
        pinned: Whether to take what the lock file says instead of what the names stand for now;
            what is in the store then needs no network.
        offline: Whether to take what the store has, and to fail rather than to ask a registry.
        verify: Whether to read back what the store already has.
        refresh: Whether to take every ``Policy=`` for always, and so follow moved tags.
    """

    jobs: int = DEFAULT_JOBS
    auth_file: Path | None = None
    tls_verify: bool | None = None
    retries: int | None = None
    retry_delay: float | None = None
    timeout: float | None = PULL_SECONDS
    lock_timeout: float = DEFAULT_TIMEOUT
    source: str | None = None
    allow_transports: bool = False
    host_files: bool = False
    keep_going: bool = False
    pinned: bool = False
    offline: bool = False
    verify: bool = False
    refresh: bool = False
