"""Row tiles: the sums over a batch, taken part by part to save memory (micro-batches) or side by side on threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from mlpcore.configuration import check_count
from mlpcore.trees import tree_map
from mlpcore.typing import Array, Layer, Noise, Params, Tree


def tiled(net: Layer, function: Callable, rows: int, threads: int = 1) -> Callable:
    """``function`` over tiles of at most ``rows`` rows, added up: the `value_and_grad` of ``net``, or what wraps it.

    Value, weight and gradients are sums over rows, so the parts add up to the whole to rounding. Tiles are cut from the
    front and added from the front: boundaries and order depend on shapes and on ``rows``, never on ``threads``, so the
    bits do not either. With one thread a tile is done before the next begins, which bounds the memory of the caches.

    A network with a layer that mixes rows (``row_independent`` is False) is always taken whole. Running statistics
    are made of rows, so a layer that has some is such a layer; what other networks observe has no leaves.

    x (..., n, in), target (n, ...), weights (n,), and noise whose leaves carry the rows in axis -2.
    """
    check_count("tiled", rows=rows, threads=threads)
    if not net.row_independent:
        return function

    def in_tiles(params: Params, x: Array, target: Array, weights: Array, noise: Noise, full_batch: Tree = ()) -> tuple:
        n = weights.shape[-1]
        if n <= rows:
            return function(params, x, target, weights, noise, full_batch)

        def tile(start: int) -> tuple:
            stop = min(start + rows, n)
            return function(
                params,
                x[..., start:stop, :],
                target[start:stop, ...],
                weights[..., start:stop],
                tree_map(lambda leaf: leaf[..., start:stop, :], noise),
                full_batch,
            )

        total: tuple = ()
        for result in _each(tile, range(0, n, rows), threads):
            *sums, observed = result
            total = tuple(sums) if not total else tree_map(lambda a, b: a + b, total, tuple(sums))
        return *total, observed

    return in_tiles


def _each(function: Callable[[int], tuple], starts: range, threads: int) -> Iterator[tuple]:
    """``map`` on ``threads`` threads; on the calling one where none can be started, after the main thread's end."""
    if threads == 1:
        return map(function, starts)
    with ThreadPoolExecutor(threads) as pool:
        try:
            return pool.map(function, starts)
        except RuntimeError:
            return map(function, starts)
