"""Signals that wait while something is half done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

# Those that programs handle; to look at all takes longer than a short chunk of steps.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2")
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))  # Windows has two


@contextmanager
def signals_wait() -> Iterator[None]:
    """Handlers of `SIGNALS` that are Python functions, as that of Ctrl-C is, run only at the end of this context.

    Else they run in the main thread between any two operations, and may raise. In other threads nothing needs to wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append((number, frame))

    def handle() -> None:
        for number, frame in came:
            handlers[number](number, frame)

    found = {number: signal.getsignal(number) for number in SIGNALS}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    with ExitStack() as stack:
        stack.callback(handle)  # last, and also after an error
        for number, handler in handlers.items():
            stack.callback(signal.signal, number, handler)
            signal.signal(number, note)
        yield
