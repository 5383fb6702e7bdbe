"""Two threads of our own in the place of BLAS's two, for steps whose products are large.

NumPy lets go of the interpreter's lock while it computes, so large calls run side by side. BLAS's own second thread
spins while it waits for its next product, and takes the core from any other thread; so for such a step BLAS is told
to use one thread, and its products are halved like everything else. On more than two cores BLAS is left alone.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

from mlpcore.backends.replay.calls import Call

_BLAS = threading.RLock()  # one fit at a time may change what is a setting of the whole process


def run(calls: list[Call]) -> None:
    """Do the calls."""
    for function, args in calls:
        function(*args)


class SecondThread:
    """A thread that does tasks in the order in which they come; started with the first one."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._process = 0

    def start(self, task: Callable[[], None]) -> None:
        """Put a task, which raises nothing, at the end of the queue."""
        if self._process != os.getpid():  # a fork has none of its parent's threads
            self._tasks = SimpleQueue()
            threading.Thread(target=self._work, args=(self._tasks,), name="mlpcore", daemon=True).start()
            self._process = os.getpid()
        self._tasks.put(task)

    def finish(self) -> None:
        """Wait until every task that was started is done. An interrupt is raised afterwards, for until then the thread
        writes into arrays that the caller would use again."""
        if self._process != os.getpid():
            return
        done, interrupt = threading.Event(), None
        self._tasks.put(done.set)
        while not done.is_set():
            try:
                done.wait()
            except BaseException as raised:
                interrupt = raised
        if interrupt is not None:
            raise interrupt

    @staticmethod
    def _work(tasks: SimpleQueue[Callable[[], None]]) -> None:
        while True:
            tasks.get()()


SECOND = SecondThread()


def run_both(here: list[Call], there: list[Call]) -> None:
    """Two lists of calls that do not touch each other's results, side by side; an error of either is raised."""
    errors: list[BaseException] = []

    def task() -> None:
        try:
            run(there)
        except BaseException as raised:
            errors.append(raised)

    try:
        SECOND.start(task)
        run(here)
    finally:
        SECOND.finish()
    if errors:
        raise errors[0]


def together(parts: list[Callable[[], Any]]) -> list[Any]:
    """The results of calls that do not touch each other's arrays: two of them side by side, on two cores."""
    if len(parts) != 2 or not two_threads():
        return [part() for part in parts]
    results: list[Any] = [None, None]

    def keep(i: int) -> None:
        results[i] = parts[i]()

    with blas_alone():
        run_both([(keep, (0,))], [(keep, (1,))])
    return results


@lru_cache(maxsize=1)
def _blas() -> Any:
    """threadpoolctl's view of the BLAS libraries, or None without it (scikit-learn brings it)."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController().select(user_api="blas")


def two_threads() -> bool:
    """Whether BLAS uses two threads, as it does on two cores, and can be told to use one."""
    libraries = [] if _blas() is None else _blas().info()
    return bool(libraries) and all(library["num_threads"] == 2 for library in libraries)


@contextmanager
def blas_alone() -> Iterator[None]:
    """BLAS on the calling thread only, until the end of the context.

    What an interrupted caller left undone in the second thread is finished first.
    """
    with _BLAS, _blas().limit(limits=1):
        SECOND.finish()
        yield
