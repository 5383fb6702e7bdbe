"""Work on a device, captured as a CUDA graph: one launch in place of many."""

from collections.abc import Callable
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
            _give_up(stream)
            raise
        graph = stream.end_capture()
    return lambda: graph.launch()


def _give_up(stream: Any) -> None:
    """End a capture whose graph is not wanted; CUDA may have ended it with an error already."""
    try:
        stream.end_capture()
    except Exception:  # the error that is on its way says more
        return
