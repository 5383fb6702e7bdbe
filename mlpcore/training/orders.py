"""The order of the rows in each epoch: unchanged or shuffled."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache

import numpy as np

from mlpcore.random import Stream

MANY_ROWS = 4096  # from here on compiled code draws an order much faster than NumPy
BLOCK_ROWS, TOGETHER = 1024, 64  # rows that are read from a disk as one piece, and blocks whose rows are mixed


Order = Callable[[int], np.ndarray]  # the row numbers of an epoch, in order


def compiled_order(stream: Stream, rows: int) -> np.ndarray:
    """``stream.order(rows)`` in compiled code."""
    from mlpcore.compiler.row_order import row_order  # here, so that `import mlpcore` leaves the compiler out

    return row_order(stream, rows)


def in_order(rows: int) -> Order:
    """The row numbers in order, the same in every epoch."""
    numbers = np.arange(rows)
    return lambda epoch: numbers


def shuffled(
    seed: int, rows: int, compile: bool | str = "auto", drawer: Executor | None = None, path: str = "order"
) -> Order:
    """A function from the epoch to a permutation of the row numbers, drawn from the seed and the path.

    A thread draws the order of the next epoch in advance, in compiled code for many rows unless ``compile`` is False.
    The first order is drawn by NumPy, as it would have to wait for the compilation.
    """
    drawer, stream = drawer or ThreadPoolExecutor(1), Stream(seed, path)
    drawn: dict[int, Future[np.ndarray]] = {}
    draw_next = compiled_order if compile and rows >= MANY_ROWS else Stream.order

    def order(epoch: int) -> np.ndarray:
        future = drawn.pop(epoch, None)
        with contextlib.suppress(RuntimeError):  # no new threads once the main thread has ended
            drawn[epoch + 1] = drawer.submit(draw_next, replace(stream, step=epoch + 1), rows)
        return replace(stream, step=epoch).order(rows) if future is None else future.result()

    return order


def shuffled_blocks(seed: int, rows: int, path: str = "order") -> Order:
    """An order for rows on a disk, which reads whole blocks: blocks of 1024 rows are shuffled, and then the rows of
    every 64 blocks that follow each other."""
    starts = np.arange(0, rows, BLOCK_ROWS)

    def order(epoch: int) -> np.ndarray:
        stream = Stream(seed, path, step=epoch)
        shuffled_starts, parts = starts[stream.child("blocks").order(starts.size)], list[np.ndarray]()
        for first in range(0, starts.size, TOGETHER):
            blocks = [
                np.arange(start, min(start + BLOCK_ROWS, rows)) for start in shuffled_starts[first : first + TOGETHER]
            ]
            numbers = np.concatenate(blocks)
            parts.append(numbers[stream.child(first).order(numbers.size)])
        return np.concatenate(parts)

    return order


def order_of_rows(
    seed: int,
    rows: int,
    shuffle: bool | str,
    compile: bool | str = "auto",
    drawer: Executor | None = None,
    path: str = "order",
) -> Order:
    """The order for an argument ``shuffle``: False, True or "blocks"."""
    if shuffle == "blocks":
        return shuffled_blocks(seed, rows, path)
    return shuffled(seed, rows, compile, drawer, path) if shuffle else in_order(rows)


def shuffled_many(seed: int, rows: int, compile: bool | str, drawer: Executor) -> Order:
    """As `shuffled`, for one of many networks: short orders are drawn when needed, which takes less than a thread."""
    if rows >= MANY_ROWS:
        return shuffled(seed, rows, compile, drawer)
    stream = Stream(seed, "order")
    return lambda epoch: replace(stream, step=epoch).order(rows)


def shared_order(order: Order) -> Order:
    """The same order for several networks that are trained side by side: each is drawn once."""
    return lru_cache(maxsize=2)(order)
