"""Chunks of steps cut into shorter ones, where rows or noise of all steps at once would take too much memory."""

from collections.abc import Callable, Iterator

import numpy as np

from mlpcore.backends.run import Draw, shifted
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Array, Tree

NOISE_BYTES = 64 << 20  # of draws that are made or sent together


def even_ranges(count: int, bytes_each: int, limit: int) -> list[tuple[int, int]]:
    """``count`` things cut into ranges (start, stop) of at most ``limit`` bytes, as few and as even as can be.

    A range holds one thing at least, also where that takes more than ``limit``.
    """
    if not count:
        return []
    longest = max(1, limit // max(bytes_each, 1))
    length = -(-count // -(-count // longest))
    return [(start, min(start + length, count)) for start in range(0, count, length)]


def split(order: np.ndarray, draw: Draw, step_bytes: int, limit: int) -> list[tuple[np.ndarray, Draw]]:
    """The steps of a chunk as chunks ``(order, draw)`` of at most ``limit`` bytes, of ``step_bytes`` for each step."""
    ranges = even_ranges(order.shape[0], step_bytes, limit)
    return [(order[start:stop], shifted(draw, start)) for start, stop in ranges]


def numbered(order: np.ndarray) -> np.ndarray:
    """The order of the same steps in a table that holds their rows one behind the other."""
    return np.arange(order.size).reshape(order.shape)


def draw_chunks(steps: int, draw: Draw, asarray: Callable[[np.ndarray], Array]) -> Iterator[tuple[slice, Tree]]:
    """The numbers of some steps at a time, and their draws on the device, stacked leaf by leaf: a transfer for each."""
    first = draw(0)
    step_bytes = sum(leaf.nbytes for leaf in leaves(first))
    for start, stop in even_ranges(steps, step_bytes, NOISE_BYTES):
        draws = [draw(i) if i else first for i in range(start, stop if step_bytes else start + 1)]
        yield slice(start, stop), tree_map(lambda *stack: asarray(np.stack(stack)), *draws)


def joined(concat: Callable[[list[Array]], Array]) -> Callable[[list[Array]], Array]:
    """``concat`` for the losses of chunks, of which there is mostly one."""
    return lambda losses: losses[0] if len(losses) == 1 else concat(losses)
