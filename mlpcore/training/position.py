"""Where training stands, and what an epoch gives."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class EpochResult(NamedTuple):
    """The mean objective over the epoch's rows, and the speed; ``whole`` is False if the epoch was interrupted.

    ``losses`` are the objectives of the steps and ``order`` the row numbers, for callers that average otherwise.
    """

    loss: float
    rows_per_second: float
    whole: bool
    losses: list[float]
    order: np.ndarray


@dataclass
class Position:
    """The numbers of complete epochs and of steps so far. Row orders and noise are functions of them."""

    epoch: int = 0
    step: int = 0


def batch_mean_weight(weights: np.ndarray, batch_size: int) -> float:
    """The mean weight of the rows, given in order, without those of batches whose weights are all zero."""
    starts = np.arange(0, weights.size, batch_size)
    sums, rows = np.add.reduceat(weights, starts), np.diff(starts, append=weights.size)
    return float(np.sum(sums) / max(np.sum(rows[sums > 0]), 1))
