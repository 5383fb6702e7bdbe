"""Ctrl-C while training: noted, and looked at between chunks of steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Interruption:
    """True once Ctrl-C was pressed; inside the context the press is noted instead of raised."""

    def __init__(self) -> None:
        self.pressed = False

    def __bool__(self) -> bool:
        return self.pressed

    @contextlib.contextmanager
    def noted(self) -> Iterator["Interruption"]:
        """Note SIGINT in the main thread, where Python delivers it; other threads never see one.

        Where the program ignores it, or leaves it to the system, so it stays.
        """
        if threading.current_thread() is not threading.main_thread() or not callable(signal.getsignal(signal.SIGINT)):
            yield self
            return

        def note(*_: Any) -> None:
            self.pressed = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)
