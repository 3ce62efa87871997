"""Do one thing for many items, some at a time, and keep what failed apart from what did not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bound_images.errors import BoundImagesError, raise_all

T = TypeVar("T")
R = TypeVar("R")


class Failures:
    """The failures of one command.

    Args:
        keep_going: Whether they are to be survived.
    """

    def __init__(self, *, keep_going: bool) -> None:
        self._keep_going = keep_going
        self._errors: list[BoundImagesError] = []

    @property
    def errors(self) -> tuple[BoundImagesError, ...]:
        """What failed so far."""
        return tuple(self._errors)

    def add(self, *errors: BoundImagesError) -> None:
        """Note that something failed."""
        self._errors.extend(errors)

    def stop(self, summary: str) -> None:
        """Raise what failed so far, unless it is to be survived.

        Raises:
            BoundImagesError: what failed; a `SeveralError` with *summary* for more than one.
        """
        if not self._keep_going:
            raise_all(self.errors, summary)


def for_each(
    action: Callable[[T], R], items: Iterable[T], *, jobs: int, failures: Failures
) -> list[R]:
    """Do *action* for all *items*, *jobs* at a time; return the results in the order of the items.

    A `BoundImagesError` goes to *failures*, and its item has no result.  Any other exception, an
    interruption above all, drops what has not begun and goes on.
    """
    results: list[R] = []
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        futures = [pool.submit(action, item) for item in items]
        try:
            for future in futures:
                try:
                    results.append(future.result())
                except BoundImagesError as error:
                    failures.add(error)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results
