"""scikit-learn's rules between epochs: when to stop, and how the learning rate of sgd falls."""

import math
from typing import Any

from mlpcore.model import Model

SMALLEST = 1e-6  # the adaptive rate at which training ends


class Rate:
    """The learning rate: constant, ``first / (rows seen + 1)^power`` set after every epoch ("invscaling"), or divided
    by 5 whenever training stalls ("adaptive"). ``now`` is the current one, ``factor`` what callbacks have made of it.
    """

    def __init__(self, rule: str, first: float, power: float, now: float | None = None, factor: float = 1.0) -> None:
        self.rule, self.first, self.power, self.factor = rule, first, power, factor
        self.now = first if now is None else now
        self._given: float | None = None

    def give(self, model: Model) -> None:
        """Set the model's rate, keeping what a callback has made of it since the last time."""
        if self._given is not None and (seen := model.rate_scale) != self._given:
            self.factor *= seen / self._given
        model.rate_scale = self.now / self.first * self.factor
        self._given = model.rate_scale  # as its dtype holds it

    def epoch_ends(self, rows_seen: int) -> None:
        """Lower the rate as the rule says."""
        if self.rule == "invscaling":
            self.now = self.first / (rows_seen + 1) ** self.power

    def is_last(self, said: str, verbose: bool) -> bool:
        """Whether a stall ends training; the adaptive rate falls instead, until it is small enough."""
        if self.rule != "adaptive":
            ending = " Stopping."
        elif self.now <= SMALLEST:
            ending = " Learning rate too small. Stopping."
        else:
            self.now /= 5.0
            ending = f" Setting learning rate to {self.now:f}"
        if verbose:
            print(said + ending)
        return "Stopping" in ending


class StoppingRule:
    """Counts the epochs without progress: of the training loss, or with ``early_stopping`` of the validation score,
    whose best weights are kept in ``best``."""

    def __init__(self, early_stopping: bool, tol: float, patience: float) -> None:
        self.early_stopping, self.tol, self.patience = early_stopping, tol, patience
        self.count = 0
        self.best_loss = math.inf
        self.best_score = -math.inf
        self.scores: list[float] = []
        self.best: dict[str, Any] | None = None

    def begin(self, model: Model) -> None:
        """The weights to go back to if nothing better is found."""
        if self.early_stopping:
            self.best = model.snapshot()

    def look(self, model: Model, loss: float, score: float | None) -> None:
        """Note an epoch. A score that is not a number counts as progress, and is never the best."""
        if not self.early_stopping:
            self.count = self.count + 1 if loss > self.best_loss - self.tol else 0
            self.best_loss = min(self.best_loss, loss)
            return
        assert score is not None
        self.scores.append(score)
        self.count = self.count + 1 if score < self.best_score + self.tol else 0
        if score > self.best_score:
            self.best_score, self.best = score, model.snapshot()

    @property
    def unscored(self) -> bool:
        """Whether no epoch so far had a score that could be computed, so that none is known to be the best."""
        return bool(self.scores) and self.best_score == -math.inf

    @property
    def is_over(self) -> bool:
        """Whether there was no progress for more than ``patience`` epochs."""
        return self.count > self.patience

    @property
    def said(self) -> str:
        """Why, in scikit-learn's words."""
        what = "Validation score" if self.early_stopping else "Training loss"
        return f"{what} did not improve more than tol={self.tol:f} for {self.patience:g} consecutive epochs."


def going_on(rule: StoppingRule, estimator: Any) -> StoppingRule:
    """The rule with what an earlier fit of the estimator has counted."""
    rule.count = getattr(estimator, "_no_improvement_count", 0)
    if rule.early_stopping:
        rule.scores = list(getattr(estimator, "validation_scores_", None) or [])
        best = getattr(estimator, "best_validation_score_", None)
        rule.best_score = -math.inf if best is None else best
    else:
        best = getattr(estimator, "best_loss_", None)
        rule.best_loss = math.inf if best is None else best
    return rule
