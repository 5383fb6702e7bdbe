"""Work on a device, captured as a CUDA graph: one launch in place of many."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any


def capture(cupy: Any, work: Callable[[], None]) -> Callable[[], None]:
    """A function that launches, on the then current stream, what ``work()`` launches.

    ``work`` does not run: its launches are recorded on a stream of their own, with the addresses that they have now. It
    may neither allocate memory nor copy from or to the host. Its kernels must have run before, which loads them.
    """
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            work()
        except BaseException:
            with suppress(Exception):  # CUDA may have ended the capture already; the first error says more
                stream.end_capture()
            raise
        graph = stream.end_capture()
    return lambda: graph.launch()
