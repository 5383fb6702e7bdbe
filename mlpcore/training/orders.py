"""The order of the rows in each epoch: as they are, or shuffled."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from mlpcore.compiler.row_order import row_order as compiled_order
from mlpcore.random import Stream

MANY_ROWS = 4096  # from which on drawing an order takes NumPy much longer than compiled code


def in_order(rows: int) -> Callable[[int], np.ndarray]:
    """The rows as they are, in every epoch."""
    numbers = np.arange(rows)
    return lambda epoch: numbers


def shuffled(seed: int, rows: int, compile: bool | str = "auto") -> Callable[[int], np.ndarray]:
    """The order of the rows in each epoch, drawn from the seed; while one is in use, a thread draws the next.

    Long ones are drawn in compiled code unless ``compile`` is False; the first is not, as it should not wait for that.
    """
    drawer, stream = ThreadPoolExecutor(1), Stream(seed, "order")
    drawn: dict[int, Future[np.ndarray]] = {}
    draw_next = compiled_order if compile and rows >= MANY_ROWS else Stream.order

    def order(epoch: int) -> np.ndarray:
        future = drawn.pop(epoch, None)
        with contextlib.suppress(RuntimeError):  # the main thread has ended: the next order is drawn when asked for
            drawn[epoch + 1] = drawer.submit(draw_next, replace(stream, step=epoch + 1), rows)
        return replace(stream, step=epoch).order(rows) if future is None else future.result()

    return order
