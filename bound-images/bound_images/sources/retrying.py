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

from bound_images.settings import SyncOptions
from bound_images.units.options import DEFAULT_RETRIES, DEFAULT_RETRY_DELAY, PullOptions
from orch_frame.errors import TransientError

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 30.0
T = TypeVar("T")


def with_retries(
    action: Callable[[], T],
    options: PullOptions,
    settings: SyncOptions,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return what *action* returns, trying it again after a `TransientError`.

    Args:
        action: What to do.
        options: ``Retry=`` and ``RetryDelay=`` of the definition, which come first.
        settings: What holds where the definition says nothing.
        sleep: Waits, and may raise to end it all.
    """
    count = _first(options.retries, settings.retries, DEFAULT_RETRIES)
    initial = _first(options.retry_seconds, settings.retry_delay, DEFAULT_RETRY_DELAY)
    attempts = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(int(count) + 1),
        wait=wait_exponential(multiplier=initial, max=MAX_WAIT_SECONDS) + wait_random(0, initial),
        before_sleep=before_sleep_log(logger, logging.WARNING),
        sleep=sleep,
        reraise=True,
    )
    return attempts(action)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
