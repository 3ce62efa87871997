"""Do one thing for many items, some at a time, and keep what failed apart from what did not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain
from typing import TypeVar

from orch_frame.errors import OrchError
from orch_frame.several import raise_all

T = TypeVar("T")
R = TypeVar("R")


class Failures:
    """The failures of one command.

    Args:
        keep_going: Whether they are to be survived.
    """

    def __init__(self, *, keep_going: bool) -> None:
        self._keep_going = keep_going
        self._errors: list[OrchError] = []

    @property
    def errors(self) -> tuple[OrchError, ...]:
        """What failed so far."""
        return tuple(self._errors)

    def add(self, *errors: OrchError) -> None:
        """Note that something failed."""
        self._errors.extend(errors)

    def stop(self, summary: str) -> None:
        """Raise what failed so far, unless it is to be survived.

        Raises:
            OrchError: what failed; a `SeveralError` with *summary* for more than one.
        """
        if not self._keep_going:
            raise_all(self.errors, summary)


def for_each(
    action: Callable[[T], R],
    items: Iterable[T],
    *,
    jobs: int,
    failures: Failures,
    needs: Callable[[T], Collection[str]] = lambda _: (),
) -> list[R]:
    """Do *action* for all *items*, *jobs* at a time; return the results in the order of the items.

    Two items that *needs* gives a common word are never worked on at the same time.

    A `OrchError` goes to *failures*, and its item has no result.  Any other exception, an
    interruption above all, drops what has not begun and goes on.
    """
    results: dict[int, R] = {}
    errors: dict[int, OrchError] = {}
    waiting = {index: (item, frozenset(needs(item))) for index, item in enumerate(items)}
    running: dict[Future[R], tuple[int, frozenset[str]]] = {}
    jobs = max(1, jobs)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            while waiting or running:
                for index, (item, needed) in tuple(waiting.items()):
                    taken = chain.from_iterable(words for _, words in running.values())
                    if len(running) < jobs and needed.isdisjoint(taken):
                        del waiting[index]
                        running[pool.submit(action, item)] = index, needed
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index, _ = running.pop(future)
                    try:
                        results[index] = future.result()
                    except OrchError as error:
                        errors[index] = error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    failures.add(*(errors[index] for index in sorted(errors)))
    return [results[index] for index in sorted(results)]
