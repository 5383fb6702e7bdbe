"""The rows of an epoch in batches: their division into chunks of steps, their weights, and the mean of their losses."""

import math
import operator
from collections.abc import Callable, Iterator, Sequence

import numpy as np

SUMMED = 1e200  # losses below it can be multiplied by weights and added up in float64
SHIFT = 500  # binary digits


def in_chunks(
    order: np.ndarray, batch_size: int, most: int, until: Callable[[], int | None] = lambda: None
) -> Iterator[np.ndarray]:
    """The order divided into chunks (steps, batch_size) of about equal length, then the smaller last batch.

    A chunk has at most ``most`` steps, and ``until()`` when it is taken, if that is a number.
    """
    steps = order.size // batch_size
    length = -(-steps // -(-steps // most)) if steps else 1
    batches = order[: steps * batch_size].reshape(steps, batch_size)
    start = 0
    while start < steps:
        end = min(start + length, steps, start + (until() or length))
        yield batches[start:end]
        start = end
    if order.size % batch_size:
        yield order[None, steps * batch_size :]


def batch_weights(weights: np.ndarray, order: np.ndarray, batch_size: int, unweighted: bool) -> list[float]:
    """The total weight of the rows of every batch; the rows are given in order."""
    steps = order.size // batch_size
    whole, rest = order[: steps * batch_size].reshape(steps, batch_size), order[steps * batch_size :]
    batches = [whole] if not rest.size else [whole, rest[None]]
    if unweighted:
        return [float(batch.shape[1]) for batch in batches for _ in range(batch.shape[0])]
    return [float(total) for batch in batches for total in weights[batch].sum(axis=1)]


def mean_loss(losses: Sequence[float], weights: Sequence[float]) -> tuple[float, int]:
    """The mean of the losses of batches by their weights, and the number of batches that were skipped (loss NaN).

    Batches that were skipped do not count in the mean; it is NaN if all were, and 0 if all weights are.
    """
    counted = [(loss, weight) for loss, weight in zip(losses, weights, strict=True) if weight]
    valid = [(loss, weight) for loss, weight in counted if not math.isnan(loss)]
    skipped = len(counted) - len(valid)
    if not valid:
        return math.nan if skipped else 0.0, skipped
    losses, weights = zip(*valid, strict=True)
    # One exact sum over the steps, which does not depend on the division into chunks.
    total = math.fsum(weights)
    if max(map(abs, losses)) < SUMMED:
        return math.fsum(map(operator.mul, losses, weights)) / total, skipped
    scaled = (math.ldexp(loss, -SHIFT) for loss in losses)  # the sum itself would overflow
    return math.ldexp(math.fsum(map(operator.mul, scaled, weights)) / total, SHIFT), skipped


def batch_mean_weight(weights: np.ndarray, batch_size: int) -> float:
    """The mean weight of the rows, given in order, without those of batches whose weights are all zero."""
    starts = np.arange(0, weights.size, batch_size)
    sums, rows = np.add.reduceat(weights, starts), np.diff(starts, append=weights.size)
    return float(np.sum(sums) / max(np.sum(rows[sums > 0]), 1))
