"""A lock for the arrays of a model's state: many threads read them, or steps overwrite them."""

import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from weakref import WeakSet

from mlpcore.compiler import blas_threads, once  # noqa: F401  # see the end
from mlpcore.signals import ended, ends_with

_numbers = itertools.count()
_locks: WeakSet["StateLock"] = WeakSet()
_registering = threading.Lock()  # `_locks` does not change while a fork goes through it


class StateLock:
    """Any number of threads are in `reading`, or one is in `writing`.

    A thread that comes while another one waits to write lets that one go first, and is let in before the next, so that
    neither predictions nor training wait for ever. A thread in `reading` may enter it again. Where several locks are
    needed, they are taken in the order of their ``number``.
    """

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.reset()
        with _registering:
            _locks.add(self)

    def reset(self) -> None:
        """Forget all threads: in a forked child they do not exist."""
        # Entered itself, as the Condition enters it in Python code, which signals interrupt. A lost context may end,
        # by the garbage collector, while its thread is in the lock.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._readers: dict[int, int] = {}  # the numbers of contexts that are entered, with those of their threads
        self._writing, self._writers_waiting = False, 0
        self._readers_waiting, self._admitted = 0, 0  # the latter are those that go before the next writer
        self._writes = 0  # that are over

    def reading(self) -> "Reading":
        """A context in which no step overwrites the state."""
        return Reading(self)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A context in which no other thread reads the state, or overwrites it."""
        mine = False
        try:
            with self._lock:
                self._writers_waiting += 1
                try:
                    self._changed.wait_for(lambda: not (self._writing or self._readers or self._admitted))
                except BaseException:
                    self._writers_waiting -= 1
                    self._admit()
                    raise
                self._writers_waiting -= 1
                self._writing = mine = True
            yield
        finally:
            if mine:
                with self._lock:
                    self._writing = False
                    try:
                        self._admit()
                    except BaseException:  # Ctrl-C
                        self._admit()
                        raise

    def begin_reading(self, number: int) -> None:
        """Enter the context of this number."""
        with self._lock:
            thread = threading.get_ident()
            if (self._writing or self._writers_waiting) and thread not in self._readers.values():
                self._wait_for_a_write()
            self._readers[number] = thread

    def end_reading(self, number: int) -> None:
        """Leave the context of this number, unless it was not entered or is left."""
        with self._lock:
            if number in self._readers:
                if self._writers_waiting:
                    self._changed.notify_all()
                del self._readers[number]

    def _wait_for_a_write(self) -> None:
        before = self._writes
        self._readers_waiting += 1
        try:
            self._changed.wait_for(lambda: self._writes > before)
        finally:
            self._readers_waiting -= 1
            if self._writes > before:
                self._admitted -= 1
                self._changed.notify_all()

    def _admit(self) -> None:
        """Let in the readers that have waited for a write to end."""
        self._writes += 1
        self._admitted = self._readers_waiting
        self._changed.notify_all()


class Reading:  # a class, because a generator takes twice the time
    """The context of `StateLock.reading`."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self, lock: StateLock) -> None:
        self.lock = lock

    def __enter__(self) -> None:
        ends_with(self, self.lock.end_reading, id(self))
        self.lock.begin_reading(id(self))

    def __exit__(self, *error: object) -> None:
        self.lock.end_reading(id(self))
        ended(self)


@contextmanager
def writing_all(locks: Iterable[StateLock]) -> Iterator[None]:
    """`StateLock.writing` of all of them."""
    with ExitStack() as held:
        for lock in sorted(locks, key=lambda lock: lock.number):
            held.enter_context(lock.writing())
        yield


# A fork waits until nobody writes, so that the child finds whole states, and nobody in a lock. Who is in a lock may
# trace a function, or set BLAS's threads. So a fork takes these locks before those of the two modules imported above,
# as Python calls first what was registered last.
_forking: list[Reading] = []


def _before_fork() -> None:
    _registering.acquire()
    _forking[:] = [lock.reading() for lock in sorted(_locks, key=lambda lock: lock.number)]
    for reading in _forking:
        reading.__enter__()


def _in_parent() -> None:
    for reading in _forking:
        reading.__exit__()
    _forking.clear()
    _registering.release()


def _in_child() -> None:
    for reading in _forking:
        reading.lock.reset()
    _forking.clear()
    _registering.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
