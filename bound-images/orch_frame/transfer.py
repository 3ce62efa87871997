"""How images are fetched: one value, from the command line to whatever program fetches them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orch_frame.lock import DEFAULT_TIMEOUT

DEFAULT_RETRIES = 3
DEFAULT_RETRY_DELAY = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOptions:
    """How images are fetched, be it that of a system or those of its apps.

    What the definition of an app image says itself comes first, except for *anonymous*.

    Attributes:
        jobs: How many layers or app images are fetched at a time; None to choose.
        retries: How often a failure that may pass is tried again.
        retry_delay: Seconds before the first of these; it doubles each time.
        timeout: Seconds without a byte after which a transfer counts as stalled; None to choose.
        lock_timeout: Seconds to wait for another process that holds a lock.
        authfile: Credentials for registries; None for those of the host.
        anonymous: Send no credentials, whatever is configured.
        cert_dir: A directory with certificates; None for the system's.
        tls_verify: Whether to demand valid certificates; None to go by the configuration of
            registries.
        offline: Whether only what is stored will do.
    """

    jobs: int | None = None
    retries: int = DEFAULT_RETRIES
    retry_delay: float = DEFAULT_RETRY_DELAY
    timeout: float | None = None
    lock_timeout: float = DEFAULT_TIMEOUT
    authfile: Path | None = None
    anonymous: bool = False
    cert_dir: Path | None = None
    tls_verify: bool | None = None
    offline: bool = False
