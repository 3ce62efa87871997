"""Try again what may pass: by the class of the error, never by a guess."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)
from tenacity.before_sleep import before_sleep_log

from bound_images.units.options import PullOptions
from orch_frame.errors import TransientError
from orch_frame.transfer import TransferOptions

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 30.0
T = TypeVar("T")


def with_retries(
    action: Callable[[], T],
    options: PullOptions,
    transfer: TransferOptions,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return what *action* returns, trying it again after a `TransientError`.

    Args:
        action: What to do.
        options: ``Retry=`` and ``RetryDelay=`` of the definition, which come first.
        transfer: What holds where the definition says nothing.
        sleep: Waits, and may raise to end it all.
    """
    own_delay = options.retry_seconds
    count = transfer.retries if options.retries is None else options.retries
    initial = transfer.retry_delay if own_delay is None else own_delay
    attempts = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(count + 1),
        wait=wait_exponential(multiplier=initial, max=MAX_WAIT_SECONDS) + wait_random(0, initial),
        before_sleep=before_sleep_log(logger, logging.WARNING),
        sleep=sleep,
        reraise=True,
    )
    return attempts(action)
