"""Ctrl-C in training sets a flag, which is read between chunks of steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from mlpcore.signals import handlers


class Interruption:
    """A flag that is true once Ctrl-C was pressed within the context `noted`, where it raises no KeyboardInterrupt."""

    def __init__(self) -> None:
        self.pressed = False

    def __bool__(self) -> bool:
        return self.pressed

    @contextlib.contextmanager
    def noted(self) -> Iterator["Interruption"]:
        """Set the flag on SIGINT. Only the main thread can do so, as Python delivers signals there.

        A handler that ignores SIGINT or is the system's default stays in place. Within `shared` the flag is that of the
        outer context.
        """
        if (outer := _shared.get()) is not None and outer is not self:
            yield outer
            return
        if threading.current_thread() is not threading.main_thread() or not callable(signal.getsignal(signal.SIGINT)):
            yield self
            return

        def set_flag(*_: Any) -> None:
            self.pressed = True

        with handlers({signal.SIGINT: set_flag}):
            yield self

    @contextlib.contextmanager
    def shared(self) -> Iterator["Interruption"]:
        """As `noted`; trainings within the context end on this flag, on any thread that has its context variables."""
        with self.noted() as flag:
            outer = _shared.get()
            try:
                _shared.set(flag)
                yield flag
            finally:
                _shared.set(outer)


_shared: ContextVar[Interruption | None] = ContextVar("shared", default=None)


def shared_interruption() -> bool:
    """Whether Ctrl-C was pressed in a context `Interruption.shared` that the caller is in."""
    return bool(_shared.get())
