"""The order of the rows in each epoch: as they are, or shuffled."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache

import numpy as np

from mlpcore.compiler.row_order import row_order as compiled_order
from mlpcore.random import Stream

MANY_ROWS = 4096  # from which on drawing an order takes NumPy much longer than compiled code


Order = Callable[[int], np.ndarray]  # the numbers of the rows in an epoch


def in_order(rows: int) -> Order:
    """The rows as they are, in every epoch."""
    numbers = np.arange(rows)
    return lambda epoch: numbers


def shuffled(seed: int, rows: int, compile: bool | str = "auto", drawer: Executor | None = None) -> Order:
    """The order of the rows in each epoch, drawn from the seed; while one is in use, ``drawer`` draws the next.

    The drawer is a thread of its own by default.

    Long ones are drawn in compiled code unless ``compile`` is False; the first is not, as it should not wait for that.
    """
    drawer, stream = drawer or ThreadPoolExecutor(1), Stream(seed, "order")
    drawn: dict[int, Future[np.ndarray]] = {}
    draw_next = compiled_order if compile and rows >= MANY_ROWS else Stream.order

    def order(epoch: int) -> np.ndarray:
        future = drawn.pop(epoch, None)
        with contextlib.suppress(RuntimeError):  # the main thread has ended: the next order is drawn when asked for
            drawn[epoch + 1] = drawer.submit(draw_next, replace(stream, step=epoch + 1), rows)
        return replace(stream, step=epoch).order(rows) if future is None else future.result()

    return order


def shared_order(order: Order) -> Order:
    """The same order for several networks that are trained side by side: each is drawn once."""
    return lru_cache(maxsize=2)(order)
