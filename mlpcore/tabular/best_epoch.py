"""BestEpoch: a callback that keeps the weights of the epoch with the best score on held-out rows."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.model import Model
from mlpcore.training.events import Report, Stop


class BestEpoch:
    """Keeps the weights of the best epoch, and restores them when the fit ends; ``scores`` has a number for each epoch.

    ``score`` is a function of the report of an epoch, larger is better, or None: then the last weights stay. Of equal
    scores the last epoch counts, or with ``patience`` the first; training then ends after so many epochs without a
    better one. It also ends at ``deadline``, a time of `time.monotonic`.
    """

    def __init__(
        self, score: Callable[[Report], float] | None, patience: int | None = None, deadline: float = math.inf
    ) -> None:
        self.score, self.patience, self.deadline = score, patience, deadline
        self.scores: list[float] = []
        self.best, self.epoch = -math.inf, 0
        self._snapshot: dict[str, Any] | None = None

    def on_epoch_end(self, report: Report) -> Stop | None:
        """Score the epoch."""
        if self.score is not None:
            self._judge(report.model, self.score(report))
            if self.patience is not None and len(self.scores) - self.epoch >= self.patience:
                return Stop(f"the score was best in epoch {self.epoch} and not since")
        if time.monotonic() >= self.deadline:
            return Stop("the time is over")
        return None

    def on_fit_end(self, model: Model) -> None:
        """Restore the best weights."""
        if self._snapshot is not None:
            model.restore(self._snapshot)
            self._snapshot = None

    def _judge(self, model: Model, score: float) -> None:
        self.scores.append(score)
        if score > self.best or (score == self.best and self.patience is None):
            self.best, self.epoch, self._snapshot = score, len(self.scores), model.snapshot()


def negative_error(prediction: np.ndarray, target: np.ndarray, weights: np.ndarray, scale: np.ndarray) -> float:
    """Minus the weighted mean squared error of the columns (n, c), in units of ``scale`` (c,)."""
    errors = np.mean(np.square((prediction.astype(np.float64) - target) / scale), axis=1)
    return -float(np.average(errors, weights=weights))
