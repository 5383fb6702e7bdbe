"""Splits chunks of steps into shorter ones, where the rows or noise of all steps would take too much memory."""

from collections.abc import Callable, Iterator

import numpy as np

from mlpcore.backends.run import Draw, shifted
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Array, Tree

NOISE_BYTES = 64 << 20  # size of the draws that are made or sent together


def even_ranges(count: int, bytes_each: int, limit: int) -> list[tuple[int, int]]:
    """``count`` items of ``bytes_each`` bytes split into ranges (start, stop) of at most ``limit`` bytes.

    The ranges are as few and as even as possible. Each has at least one item, even if that is larger than ``limit``.
    """
    if not count:
        return []
    longest = max(1, limit // max(bytes_each, 1))
    length = -(-count // -(-count // longest))
    return [(start, min(start + length, count)) for start in range(0, count, length)]


def split(order: np.ndarray, draw: Draw, step_bytes: int, limit: int) -> list[tuple[np.ndarray, Draw]]:
    """A chunk split into chunks ``(order, draw)`` of at most ``limit`` bytes; a step takes ``step_bytes``."""
    ranges = even_ranges(order.shape[0], step_bytes, limit)
    return [(order[start:stop], shifted(draw, start)) for start, stop in ranges]


def numbered(order: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... in the shape of ``order``: the order of the same steps once their rows are gathered in a table."""
    return np.arange(order.size).reshape(order.shape)


def draw_chunks(steps: int, draw: Draw, asarray: Callable[[np.ndarray], Array]) -> Iterator[tuple[slice, Tree]]:
    """Yield a slice of the steps, and their draws on the device: each leaf stacked along a new first axis, sent once.

    The draws of a slice take at most `NOISE_BYTES`. ``draw(i)`` is called once for each step; if draws have no leaves,
    only for the first step of a slice.
    """
    first = draw(0)
    step_bytes = sum(leaf.nbytes for leaf in leaves(first))
    for start, stop in even_ranges(steps, step_bytes, NOISE_BYTES):
        draws = [draw(i) if i else first for i in range(start, stop if step_bytes else start + 1)]
        yield slice(start, stop), tree_map(lambda *stack: asarray(np.stack(stack)), *draws)


def joined(concat: Callable[[list[Array]], Array]) -> Callable[[list[Array]], Array]:
    """A function that concatenates the losses of chunks, and returns those of a single chunk without a copy."""
    return lambda losses: losses[0] if len(losses) == 1 else concat(losses)
