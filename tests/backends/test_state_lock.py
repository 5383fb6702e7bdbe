"""The lock of a state: many read or one writes, nobody waits for ever, and a fork finds nobody in it."""

import threading
import time
from typing import Any

import pytest
from many_threads import THREADS, at_once
from processes import holds_in_child, needs_fork

from mlpcore.backends.state_lock import StateLock, writing_all


def test_many_read_or_one_writes() -> None:
    lock, numbers, wrong = StateLock(), [0, 0], list[tuple[int, int]]()
    most, inside = [0], [0]

    def read() -> None:
        for _ in range(200):
            with lock.reading():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                first = numbers[0]
                time.sleep(0)
                if first != numbers[1]:
                    wrong.append((first, numbers[1]))
                inside[0] -= 1

    def write() -> None:
        for _ in range(200):
            with lock.writing():
                numbers[0] += 1
                time.sleep(0)
                numbers[1] += 1

    at_once([read] * (THREADS - 2) + [write] * 2)
    assert numbers == [400, 400] and not wrong and most[0] > 1


def test_readers_together() -> None:
    lock, both = StateLock(), threading.Barrier(2)

    def read() -> None:
        with lock.reading():
            both.wait(20)

    assert at_once([read, read]) == [None, None]


@pytest.mark.parametrize("busy", ["reading", "writing"])
def test_one_thread_does_not_keep_the_others_out(busy: str) -> None:
    """Seven threads that do nothing else let the eighth in, at every one of its calls."""
    lock, over = StateLock(), threading.Event()

    def always() -> None:
        while not over.is_set():
            with getattr(lock, busy)():
                time.sleep(0.001)

    def sometimes() -> float:
        began = time.monotonic()
        for _ in range(20):
            with lock.writing() if busy == "reading" else lock.reading():
                pass
        over.set()
        return time.monotonic() - began

    assert at_once([sometimes, *[always] * (THREADS - 1)], 60)[0] < 20


def test_a_reader_may_read_while_another_thread_waits_to_write() -> None:
    lock, waits = StateLock(), threading.Event()

    def write() -> None:
        waits.set()
        with lock.writing():
            pass

    with lock.reading():
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        waits.wait()
        time.sleep(0.05)
        with lock.reading():
            pass
    writer.join(20)
    assert not writer.is_alive()


@pytest.mark.parametrize("make", [StateLock.reading, StateLock.writing])
def test_a_context_that_an_interrupt_keeps_from_ending_ends_with_its_object(make: Any) -> None:
    lock = StateLock()
    context = make(lock)
    context.__enter__()
    del context
    written = threading.Thread(target=lambda: lock.writing().__enter__(), daemon=True)
    written.start()
    written.join(20)
    assert not written.is_alive()


def test_several_locks_are_taken_in_one_order() -> None:
    locks = [StateLock() for _ in range(4)]

    def write(number: int) -> int:
        for _ in range(200):
            with writing_all(locks[number % 4 :] + locks[: number % 4]):
                time.sleep(0)
        return number

    assert at_once([lambda number=number: write(number) for number in range(THREADS)], 60) == [*range(THREADS)]


@needs_fork
def test_a_fork_waits_for_a_write_and_finds_nobody() -> None:
    lock, numbers, over = StateLock(), [0, 0], threading.Event()

    def write() -> None:
        while not over.is_set():
            with lock.writing():
                numbers[0] += 1
                time.sleep(0.01)
                numbers[1] += 1

    def read() -> None:
        while not over.is_set():
            with lock.reading():
                time.sleep(0.01)

    def holds() -> bool:
        with lock.reading(), lock.reading():
            same = numbers[0] == numbers[1]
        with lock.writing():
            return same

    threads = [threading.Thread(target=work) for work in (write, read, read)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert holds_in_child(holds, 20)
    finally:
        over.set()
        for thread in threads:
            thread.join()
