"""The order of the rows in each epoch: unchanged or shuffled."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from mlpcore.compiler.row_order import row_order as compiled_order
from mlpcore.random import Stream

MANY_ROWS = 4096  # from here on compiled code draws an order much faster than NumPy


def in_order(rows: int) -> Callable[[int], np.ndarray]:
    """The row numbers in order, the same in every epoch."""
    numbers = np.arange(rows)
    return lambda epoch: numbers


def shuffled(seed: int, rows: int, compile: bool | str = "auto") -> Callable[[int], np.ndarray]:
    """A function from the epoch to a permutation of the row numbers, drawn from the seed.

    A thread draws the order of the next epoch in advance, in compiled code for many rows unless ``compile`` is False.
    The first order is drawn by NumPy, as it would have to wait for the compilation.
    """
    drawer, stream = ThreadPoolExecutor(1), Stream(seed, "order")
    drawn: dict[int, Future[np.ndarray]] = {}
    draw_next = compiled_order if compile and rows >= MANY_ROWS else Stream.order

    def order(epoch: int) -> np.ndarray:
        future = drawn.pop(epoch, None)
        with contextlib.suppress(RuntimeError):  # no new threads once the main thread has ended
            drawn[epoch + 1] = drawer.submit(draw_next, replace(stream, step=epoch + 1), rows)
        return replace(stream, step=epoch).order(rows) if future is None else future.result()

    return order
