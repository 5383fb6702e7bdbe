"""Where training stands, and what an epoch gives."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


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
