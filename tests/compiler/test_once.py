"""Work that one thread does while others wait for its result, also across a fork."""

import threading
import time
from typing import Any

import pytest
from alarms import Late, alarm, handled
from interrupts import Points
from many_threads import THREADS, at_once
from processes import holds_in_child, needs_fork, needs_instructions

from mlpcore.compiler.once import KEPT, Once, tracing


class Slow:
    """A function that counts its calls, each of which takes a while."""

    def __init__(self, fails: type[BaseException] | None = None) -> None:
        self.fails, self.calls, self.began = fails, 0, threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        """A new object."""
        self.calls += 1
        fails = self.fails
        self.began.set()
        time.sleep(0.2)
        if fails:
            raise fails(str(self.calls))
        return object()


def test_eight_threads_get_the_result_of_one_call() -> None:
    slow = Slow()
    function = Once(slow)
    results = at_once([lambda: function("a")] * THREADS)
    assert slow.calls == 1 and len({*map(id, results)}) == 1
    assert function("a") is results[0] and function("b") is not results[0]
    function.cache_clear()
    assert function("a") is not results[0]


def test_an_error_is_that_of_all_who_wait_and_is_not_kept() -> None:
    function = Once(Slow(fails=ValueError))
    assert {str(error) for error in at_once([lambda: function("a")] * THREADS)} == {"1"}
    with pytest.raises(ValueError, match="2"):
        function("a")


@needs_fork
def test_what_a_handler_raises_is_not_raised_in_those_that_wait() -> None:
    began, results = threading.Event(), list[Any]()

    def compute() -> str:
        if not began.is_set():
            began.set()
            time.sleep(0.1)
            alarm()
        return "a"

    function = Once(compute)
    other = threading.Thread(target=lambda: began.wait(20) and results.append(function()), daemon=True)
    with handled():
        other.start()
        with pytest.raises(Late):
            function()
    other.join(20)
    assert results == ["a"]


@needs_instructions
def test_no_call_waits_for_one_that_was_interrupted() -> None:
    """Whichever instruction the signal comes at."""
    function = Once(lambda number: [number])
    with handled():
        with Points() as points:
            function(-1)
        for number, point in enumerate(points.passes):
            with pytest.raises(Late), Points(point, 1, alarm):
                function(number)
            (result,) = at_once([lambda number=number: function(number)], 20)
            assert result == [number], point


def test_what_interrupts_one_thread_is_not_raised_in_those_that_wait() -> None:
    """They compute it anew, one of them for all."""
    slow = Slow(fails=KeyboardInterrupt)
    function = Once(slow)
    results: list[Any] = []

    def interrupted() -> None:
        with pytest.raises(KeyboardInterrupt):
            function("a")

    def waits() -> None:
        slow.began.wait()
        slow.fails = None
        results.append(function("a"))

    at_once([interrupted] + [waits] * (THREADS - 1))
    assert len(results) == THREADS - 1 and len({*map(id, results)}) == 1 and slow.calls == 2


def test_the_oldest_results_are_dropped() -> None:
    function = Once(lambda number: [number])
    first, *_, last = [function(number) for number in range(KEPT + 1)]
    assert function(KEPT) is last and function(0) is not first


@needs_fork
def test_a_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    slow = Slow()
    function = Once(slow)
    kept = function("kept")
    slow.began.clear()
    other = threading.Thread(target=function, args=("a",))
    other.start()
    slow.began.wait()
    assert holds_in_child(lambda: function("a") is function("a") and function("kept") is kept, 20)
    other.join()


@needs_fork
def test_a_fork_waits_for_what_is_traced() -> None:
    began, half = threading.Event(), []

    def trace() -> None:
        with tracing:
            half.append(1)
            began.set()
            time.sleep(0.3)
            half.append(2)

    other = threading.Thread(target=trace)
    other.start()
    began.wait()

    def holds() -> bool:
        with tracing:
            return half == [1, 2]

    assert holds_in_child(holds, 20)
    other.join()
    with tracing:
        assert holds_in_child(lambda: tracing.acquire(blocking=False), 20)
