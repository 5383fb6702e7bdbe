"""Ctrl-C in training sets a flag, which is read between chunks of steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Interruption:
    """A flag that is true once Ctrl-C was pressed within the context `noted`, where it raises no KeyboardInterrupt."""

    def __init__(self) -> None:
        self.pressed = False

    def __bool__(self) -> bool:
        return self.pressed

    @contextlib.contextmanager
    def noted(self) -> Iterator["Interruption"]:
        """Set the flag on SIGINT. Only the main thread can do so, as Python delivers signals there.

        A handler that ignores SIGINT or is the system's default stays in place.
        """
        if threading.current_thread() is not threading.main_thread() or not callable(signal.getsignal(signal.SIGINT)):
            yield self
            return

        def set_flag(*_: Any) -> None:
            self.pressed = True

        before = signal.signal(signal.SIGINT, set_flag)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)
