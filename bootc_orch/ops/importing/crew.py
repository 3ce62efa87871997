"""Workers that share a list of tasks, each in a thread of its own; the first failure ends all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

Task = TypeVar("Task")


class Cancelled(Exception):  # noqa: N818 - not an error: the reason is reported by who failed
    """Another worker failed, or the user interrupted; what this one does is of no use any more."""


class Crew(Generic[Task]):
    """The tasks that are left and who works on them.

    Args:
        tasks: What is to be done, the first one first.
        wake: Called when no more will be done: makes whoever waits for something go on at once.
    """

    def __init__(self, tasks: Iterable[Task], wake: Callable[[], None]) -> None:
        self._pending = list(tasks)[::-1]
        self._wake = wake
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def work(self, workers: Sequence[Callable[[], None]]) -> None:
        """Run *workers*, each of which takes tasks until there are none, to their end.

        Raises:
            BaseException: the first that one of them raised, `Cancelled` excepted.
        """
        threads = [
            threading.Thread(target=self._run, args=(worker,), daemon=True) for worker in workers
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self._stop()
            for thread in threads:
                if thread.is_alive():
                    thread.join()
        if self._failure is not None:
            raise self._failure

    def take(self) -> Task | None:
        """Return the next task; None when all are taken, or the crew stops."""
        with self._lock:
            if self._stopped.is_set() or not self._pending:
                return None
            return self._pending.pop()

    def require_going(self, cause: BaseException | None = None) -> None:
        """End a task that is of no use any more; *cause* is what has come of ending it.

        Raises:
            Cancelled: the crew stops.
        """
        if self._stopped.is_set():
            raise Cancelled from cause

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds, or until the crew stops."""
        self._stopped.wait(seconds)

    def _run(self, worker: Callable[[], None]) -> None:
        try:
            worker()
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            with self._lock:
                if self._failure is None:
                    self._failure = error
            self._stop()

    def _stop(self) -> None:
        self._stopped.set()
        self._wake()
