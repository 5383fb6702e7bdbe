"""A second thread for lists of calls: NumPy lets go of the interpreter's lock while it computes."""

import os
import threading
from queue import SimpleQueue

from mlpcore.backends.replay.calls import Call

THREADS = 2 if (os.cpu_count() or 1) > 1 else 1


def run(calls: list[Call]) -> None:
    """Do the calls."""
    for function, args in calls:
        function(*args)


class Helper:
    """A thread that waits for lists of calls; started with the first one."""

    def __init__(self) -> None:
        self._given: SimpleQueue[list[Call]] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._process = 0

    def start(self, calls: list[Call]) -> None:
        """Begin with the calls."""
        if self._process != os.getpid():  # a fork has none of its parent's threads
            self.__init__()  # type: ignore[misc]
            self._process = os.getpid()
            threading.Thread(target=self._work, name="mlpcore", daemon=True).start()
        self._given.put(calls)

    def wait(self) -> None:
        """Wait for the end; an error in the calls is raised here."""
        error = self._done.get()
        if error is not None:
            raise error

    def _work(self) -> None:
        while True:
            calls = self._given.get()
            try:
                run(calls)
            except BaseException as error:
                self._done.put(error)
            else:
                self._done.put(None)


HELPER = Helper()


def run_both(here: list[Call], there: list[Call]) -> None:
    """Two lists of calls that do not touch each other's results, side by side."""
    HELPER.start(there)
    try:
        run(here)
    finally:
        HELPER.wait()
