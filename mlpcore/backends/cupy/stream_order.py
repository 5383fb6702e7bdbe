"""Orders work on different CUDA streams, because printed programs keep state and working memory between calls."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any


def stream_order(cupy: Any, number: int) -> Callable[[], AbstractContextManager[None]]:
    """A function that makes a context for work on the current stream of device ``number``.

    The work in a context begins when the work in the previous context is done, even if that was on another stream.
    """
    last: list[tuple[int, Any]] = []  # the stream's handle, and an event after its work

    @contextmanager
    def ordered() -> Iterator[None]:
        with cupy.cuda.Device(number):
            stream = cupy.cuda.get_current_stream()
            event = last[0][1] if last else cupy.cuda.Event(disable_timing=True)
            if last and last[0][0] != stream.ptr:
                stream.wait_event(event)
            try:
                yield
            finally:
                with suppress(cupy.cuda.runtime.CUDARuntimeError):  # of a broken device, whose error was raised before
                    event.record(stream)
                    last[:] = [(stream.ptr, event)]

    return ordered
