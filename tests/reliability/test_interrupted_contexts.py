"""Contexts that an alarm interrupts, at every instruction at which Python handles signals: all is as before."""

import gc
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from alarms import Late, alarm, handled
from fitting import PLAIN, X, make
from interrupts import Points
from processes import needs_fork, needs_instructions

import mlpcore as mc
from mlpcore.backends import state_lock
from mlpcore.backends.precision import switched
from mlpcore.backends.state_lock import StateLock
from mlpcore.compiler import blas_threads, pool
from mlpcore.training.interruption import Interruption

pytestmark = [needs_fork, needs_instructions]


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """A program's handler of alarms."""
    with handled():
        yield


def test_in_the_lock_of_a_state() -> None:
    """Whichever instruction it comes at, also at the end of a context."""
    model = make(PLAIN)
    predicted = model.predict(X)
    with Points() as points:
        model.predict(X)
    inside = [point for point in points.passes if point[0] == state_lock.__file__]
    assert inside
    for point in inside:
        with pytest.raises(Late), Points(point, 1, alarm):
            model.predict(X)
        assert not model.trainer._lock._readers
        np.testing.assert_array_equal(model.predict(X), predicted)


def ctrl_c() -> Any:
    """The handler of Ctrl-C, and whether a fit would have its own flag for it."""
    own, handler = Interruption(), signal.getsignal(signal.SIGINT)
    with own.noted() as flag:
        return flag is own, handler


def in_a_cycle(context: Callable[[], AbstractContextManager], point: Any, number: int) -> None:
    """An alarm in a context whose error stays in the function that has caught it, until garbage is collected."""
    error: Exception | None = None
    try:
        with Points(point, number, alarm), context():
            pass
    except Late as late:
        error = late
    assert error is not None


@contextmanager
def both(outer: AbstractContextManager, inner: AbstractContextManager) -> Iterator[None]:
    """One context in another."""
    with outer, inner:
        yield


class Switch:
    """A number that a process has once."""

    value = 4

    def read(self) -> int:
        """The number."""
        return self.value

    def write(self, value: int) -> None:
        """Set it."""
        self.value = value

    def add(self, change: Any) -> None:
        """Change it."""
        self.value += change.value


@pytest.mark.parametrize(
    "which", ["Ctrl-C", "switch", "tiles", "BLAS", "reading", "writing", "settings", "settings twice"]
)
def test_where_a_context_begins_and_ends(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it changes is as before, whichever instruction of it the alarm comes at."""
    switch, lock, scope = Switch(), StateLock(), partial(mc.get_backend("numpy").scope, "float32")
    monkeypatch.setattr(pool, "address", lambda: 1)
    monkeypatch.setattr(pool, "_library", lambda: SimpleNamespace(mlpcore_use=switch.add))
    monkeypatch.setattr(blas_threads, "thread_settings", lambda: (blas_threads.Threads(switch.read, switch.write),))
    contexts: dict[str, Callable[[], AbstractContextManager]] = {
        "Ctrl-C": Interruption().shared,
        "switch": partial(switched, switch.read, switch.write, 1),
        "tiles": pool.unused,
        "BLAS": blas_threads.single_threaded,
        "reading": lock.reading,
        "writing": lock.writing,
        "settings": scope,
        "settings twice": lambda: both(scope(), scope()),
    }

    def state() -> Any:
        return np.geterr(), ctrl_c(), switch.value, lock._writing, lock._writers_waiting, dict(lock._readers)

    context, before, number = contexts[which], state(), Counter[Any]()
    with context():
        assert state() != before
    with Points() as points, context():
        pass
    assert state() == before and points.passes
    gc.freeze()  # what other tests have left would take its time
    try:
        for point in points.passes.elements():
            number[point] += 1
            in_a_cycle(context, point, number[point])
            gc.collect()
            assert state() == before, point
    finally:
        gc.unfreeze()


@pytest.mark.parametrize(("others", "own"), [("reading", "writing"), ("writing", "reading"), ("writing", "writing")])
def test_a_wait_for_other_threads(others: str, own: str) -> None:
    """It ends with the alarm, and nobody waits for a thread that has left: neither who came meanwhile nor who comes."""
    lock, inside, over = StateLock(), threading.Event(), threading.Event()

    def other() -> None:
        with getattr(lock, others)():
            inside.set()
            over.wait(20)

    def later() -> None:
        inside.wait(20)
        while not (lock._writers_waiting or lock._readers_waiting):
            time.sleep(0.001)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGALRM)).start()
        entered(lock.reading())

    ends, came = begun(other), begun(later)
    inside.wait(20)
    with pytest.raises(Late), getattr(lock, own)():
        pytest.fail("two are in the lock")
    if others == "reading":
        came.join(20)
        assert not came.is_alive()
    over.set()
    for thread in (ends, came, *(begun(partial(entered, context())) for context in (lock.reading, lock.writing))):
        thread.join(20)
        assert not thread.is_alive()


def begun(work: Callable[[], None]) -> threading.Thread:
    """A thread that does the work."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def entered(context: AbstractContextManager) -> None:
    """Enter a context."""
    with context:
        pass
