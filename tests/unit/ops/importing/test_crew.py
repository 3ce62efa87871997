"""Workers share tasks; the first failure ends all of them, and is the one that is told."""

from __future__ import annotations

import threading

import pytest

from bootc_orch.ops.importing.crew import Cancelled, Crew


def nothing():
    pass


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_is_done_once_and_the_first_ones_are_taken_first(workers):
    crew, taken = Crew(range(20), nothing), []

    def work():
        while (task := crew.take()) is not None:
            taken.append(task)

    crew.work([work] * workers)
    assert sorted(taken) == list(range(20))
    assert taken[0] == 0 if workers == 1 else taken.index(0) < workers


def test_the_first_failure_stops_the_others_and_is_raised():
    failed = threading.Event()
    crew = Crew(range(100), failed.set)
    ended = []

    def fail():
        raise ValueError("first")

    def wait():
        assert failed.wait(10)
        ended.append(crew.take())
        crew.require_going()

    with pytest.raises(ValueError, match="first"):
        crew.work([wait, fail, wait])
    assert ended == [None, None]


def test_who_is_told_to_stop_ends_with_what_came_of_it():
    crew = Crew([], nothing)
    crew.require_going()
    crew.work([])
    cause = OSError("cut off")
    with pytest.raises(Cancelled) as caught:
        crew.require_going(cause)
    assert caught.value.__cause__ is cause


def test_a_worker_that_was_cancelled_is_no_failure():
    def cancelled():
        raise Cancelled

    Crew([1], nothing).work([cancelled])


def test_who_waits_is_woken_when_all_is_done():
    woken = []
    Crew([], lambda: woken.append(True)).work([])
    assert woken


def test_a_pause_ends_when_the_crew_stops():
    crew = Crew([1], nothing)
    started = threading.Event()

    def pause():
        started.set()
        crew.sleep(60)
        crew.require_going()

    def fail():
        assert started.wait(10)
        raise ValueError("no pause")

    with pytest.raises(ValueError, match="no pause"):
        crew.work([pause, fail])


def test_an_interruption_of_the_caller_ends_the_workers(monkeypatch):
    woken = threading.Event()
    crew = Crew([1], woken.set)
    original = threading.Thread.join
    interrupted = []

    def join(thread, timeout=None):
        if not interrupted:
            interrupted.append(thread)
            raise KeyboardInterrupt
        original(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", join)
    with pytest.raises(KeyboardInterrupt):
        crew.work([lambda: woken.wait(10)])
    assert woken.is_set()
    assert not interrupted[0].is_alive()
