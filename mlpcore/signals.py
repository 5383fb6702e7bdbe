"""Signals that wait while something is half done, errors of their handlers, and contexts that these interrupt."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import CodeType, FrameType
from typing import Any
from weakref import ref

# Those that programs handle; to look at all takes longer than a short chunk of steps.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGVTALRM", "SIGXCPU", "SIGUSR1", "SIGUSR2")
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))  # Windows has two
Handler = Callable[[int, FrameType | None], object]


@contextmanager
def signals_wait() -> Iterator[None]:
    """Handlers of `SIGNALS` that are Python functions, as that of Ctrl-C is, run only at the end of this context.

    Else they run in the main thread between any two operations, and may raise. In other threads nothing needs to wait.
    """
    came: list[partial] = []

    def waiting(handler: Handler) -> Handler:
        return lambda number, frame: came.append(partial(handler, number, frame))

    try:
        with _changed(waiting):
            yield
    finally:
        errors = list[BaseException]()
        for call in came:  # all of them, whatever one raises
            try:
                call()
            except BaseException as error:
                errors.append(error)
        if errors:
            raise errors.pop(0)


class _Raised(BaseException):
    """Stands for what a handler has raised, as code that catches every Exception does not catch this."""


@contextmanager
def signals_pass() -> Iterator[None]:
    """What such a handler raises leaves this context, as Ctrl-C does, whatever errors the code within catches.

    Else the TimeoutError of an alarm would be taken for that of a compiler that fails. Where every microsecond counts,
    `from_a_handler` is for code that catches all errors.
    """
    raised: list[Exception] = []

    def passing(handler: Handler) -> Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except Exception as error:
                raised.append(error)
                raise _Raised from None

        return handle

    try:
        with _changed(passing):
            yield
    finally:
        if raised:
            error = raised.pop(0)
            try:
                raise error from error.__cause__
            finally:
                del error  # else it would hold all frames until the next garbage collection


def _changed(change: Callable[[Handler], Handler]) -> AbstractContextManager[None]:
    """The context in which those handlers of `SIGNALS` are ``change`` of them; nothing changes in other threads."""
    main = threading.current_thread() is threading.main_thread()
    found = {number: signal.getsignal(number) for number in SIGNALS} if main else {}
    return handlers({number: change(handler) for number, handler in found.items() if callable(handler)})


class _Own:
    """A handler of a context, which is known as such."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.handler(number, frame)


@contextmanager
def handlers(given: Mapping[int, Handler]) -> Iterator[None]:
    """In this context these signals have other handlers in place of Python functions; only for the main thread.

    What is set for a signal meanwhile, as by its handler itself, stays.
    """
    before, own = {number: signal.getsignal(number) for number in given}, {n: _Own(given[n]) for n in given}
    try:
        for number, handler in own.items():
            signal.signal(number, handler)
        yield
    except GeneratorExit:  # the end was interrupted, and contexts around this one may have ended first
        before = {number: handler for number, handler in before.items() if signal.getsignal(number) is own[number]}
        raise
    finally:
        try:
            _restore(before)
        except BaseException:  # of one that was set again, as its signal came at once
            _restore(before)
            raise


def _restore(before: Mapping[int, Any]) -> None:
    for number, handler in before.items():
        if isinstance(signal.getsignal(number), _Own):
            signal.signal(number, handler)


_ends: dict[int, ref] = {}  # kept here: the garbage collector forgets references in a cycle with their objects


def ends_with(context: object, leave: Callable[..., object], *arguments: object) -> None:
    """Call ``leave(*arguments)`` when the object ``context`` ends, unless `ended` was called.

    It was not where Ctrl-C has kept ``__exit__`` from its end. A ``__del__`` would run each time, and Python drops the
    errors in it.
    """
    _ends[id(context)] = ref(context, partial(_end, id(context), leave, *arguments))


def ended(context: object) -> None:
    """``__exit__`` of the context has come to its end."""
    _ends.pop(id(context), None)


def _end(number: int, leave: Callable[..., object], *arguments: object) -> None:
    _ends.pop(number, None)
    leave(*arguments[:-1])  # the last is the reference


def from_a_handler(error: BaseException) -> bool:
    """Whether a handler that is a Python function, and is set still, has raised the error."""
    codes = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code not in codes:
        trace = trace.tb_next
    return trace is not None


def _code(handler: Any) -> CodeType | None:
    """The code of a function, a method, a part of one or an object that can be called; None for other handlers."""
    while isinstance(handler, partial):
        handler = handler.func
    if not callable(handler):
        return None
    return getattr(handler, "__code__", None) or getattr(type(handler).__call__, "__code__", None)
