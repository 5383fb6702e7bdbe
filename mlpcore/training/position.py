"""Where training stands, and what an epoch gives."""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SUMMED = 1e200  # losses below it can be multiplied by weights and added up in float64
SHIFT = 500  # binary digits


class EpochResult(NamedTuple):
    """The mean objective over the epoch's rows, and the speed; ``whole`` is False if the epoch was interrupted.

    ``losses`` are the objectives of the steps, NaN for those that were skipped, whose number is ``skipped``, and
    ``order`` the row numbers, for callers that average otherwise.
    """

    loss: float
    rows_per_second: float
    whole: bool
    losses: list[float]
    order: np.ndarray
    skipped: int = 0


@dataclass
class Position:
    """The numbers of complete epochs and of steps so far. Row orders and noise are functions of them."""

    epoch: int = 0
    step: int = 0


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
