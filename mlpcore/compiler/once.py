"""Work that one thread does while others that need its result wait; and the lock of tracing and printing."""

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from mlpcore.signals import from_a_handler

Result = TypeVar("Result")
KEPT = 256  # results of a function; the oldest is dropped

# Held while functions are traced and programs printed, with the caches of both. It is plain Python code, so that
# several threads gain nothing, and eight fits of one architecture need one trace. A fork waits for it.
tracing = threading.RLock()
_changing = threading.Lock()  # held for a few operations on dictionaries


class _Running(Generic[Result]):
    """A call, from its begin on; ``over`` is set once there is a result or an error."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.result: Result
        self.error: BaseException | None = None
        self.interrupted = False  # by a signal


class Once(Generic[Result]):
    """A function whose last ``kept`` results are kept by its arguments, as `functools.lru_cache` keeps them.

    Callers that come while it computes wait for the result or the error; errors are not kept. They compute anew what
    another thread was interrupted at by a signal, and a forked child what one of its parent was computing.
    """

    def __init__(self, function: Callable[..., Result], kept: int = KEPT) -> None:
        self.function, self.kept, self.__doc__ = function, kept, function.__doc__
        self.calls: dict[tuple, _Running[Result]] = {}
        _functions.append(self)

    def __call__(self, *arguments: Any) -> Result:
        """The result of the function."""
        while True:
            own, call = None, self.calls.get(arguments)
            if call is None:
                own = _Running[Result]()
                try:
                    with _changing:
                        call = self.calls.setdefault(arguments, own)
                    if call is own:
                        self._compute(own, arguments)
                except BaseException as error:  # of a signal, outside of the function
                    self._interrupted(own, arguments, error)
                    raise
            if not call.over.is_set():
                call.over.wait()
            if call.error is None:
                return call.result
            if call is own or not call.interrupted:
                raise call.error

    def cache_clear(self) -> None:
        """Forget all results."""
        with _changing:
            self.calls.clear()

    def _interrupted(self, call: _Running[Result], arguments: tuple, error: BaseException) -> None:
        if not call.over.is_set():
            call.error, call.interrupted = error, True
            if self.calls.get(arguments) is call:
                self.calls.pop(arguments, None)
        call.over.set()

    def _compute(self, call: _Running[Result], arguments: tuple) -> None:
        try:
            call.result = self.function(*arguments)
        except BaseException as error:
            call.error, call.interrupted = error, not isinstance(error, Exception) or from_a_handler(error)
            with _changing:
                self.calls.pop(arguments, None)
        finally:
            call.over.set()
        with _changing:
            while len(self.calls) > self.kept:
                del self.calls[next(iter(self.calls))]


_functions: list[Once] = []


def _in_child() -> None:
    global _changing
    _changing = threading.Lock()
    tracing.release()
    for function in _functions:
        function.calls = {arguments: call for arguments, call in function.calls.items() if call.over.is_set()}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=tracing.acquire, after_in_parent=tracing.release, after_in_child=_in_child)
