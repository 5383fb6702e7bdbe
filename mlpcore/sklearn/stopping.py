"""scikit-learn's rules between epochs: the stopping rule, and the learning rate of sgd."""

import math
from typing import Any

from mlpcore.model import Model

SMALLEST = 1e-6  # the adaptive rate at which training ends


class Rate:
    """The learning rate: constant, ``first / (rows seen + 1)^power`` set after every epoch ("invscaling"), or divided
    by 5 whenever training stalls ("adaptive").

    ``current`` is the rate by the rule. The model's rate is ``current * factor``, where ``factor`` is the product of
    the changes that callbacks have made.
    """

    def __init__(
        self, rule: str, first: float, power: float, current: float | None = None, factor: float = 1.0
    ) -> None:
        self.rule, self.first, self.power, self.factor = rule, first, power, factor
        self.current = first if current is None else current
        self._applied: float | None = None

    def apply(self, model: Model) -> None:
        """Set the model's rate; a change that a callback made since the last call is multiplied into ``factor``."""
        if self._applied is not None and (seen := model.rate_scale) != self._applied:
            self.factor *= seen / self._applied
        model.rate_scale = self.current / self.first * self.factor
        self._applied = model.rate_scale  # rounded to the model's dtype

    def end_epoch(self, rows_seen: int) -> None:
        """Lower the rate by the rule."""
        if self.rule == "invscaling":
            self.current = self.first / (rows_seen + 1) ** self.power

    def is_last(self, reason: str, verbose: bool) -> bool:
        """Whether a stall ends training; the adaptive rate is lowered instead until it is small enough."""
        if self.rule != "adaptive":
            ending = " Stopping."
        elif self.current <= SMALLEST:
            ending = " Learning rate too small. Stopping."
        else:
            self.current /= 5.0
            ending = f" Setting learning rate to {self.current:f}"
        if verbose:
            print(reason + ending)
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
        """Keep the initial weights, to be restored if no better ones are found."""
        if self.early_stopping:
            self.best = model.snapshot()

    def update(self, model: Model, loss: float, score: float | None) -> None:
        """Count an epoch. A score of NaN counts as progress, and is never the best."""
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
        """Whether no epoch so far had a defined score, so that none is the best."""
        return bool(self.scores) and self.best_score == -math.inf

    @property
    def is_over(self) -> bool:
        """Whether there was no progress for more than ``patience`` epochs in a row."""
        return self.count > self.patience

    @property
    def reason(self) -> str:
        """The reason for stopping, in the words of scikit-learn's message."""
        quantity = "Validation score" if self.early_stopping else "Training loss"
        return f"{quantity} did not improve more than tol={self.tol:f} for {self.patience:g} consecutive epochs."


def continued_rule(rule: StoppingRule, estimator: Any) -> StoppingRule:
    """The rule with the counts and best values of the estimator's earlier fit."""
    rule.count = getattr(estimator, "_no_improvement_count", 0)
    if rule.early_stopping:
        rule.scores = list(getattr(estimator, "validation_scores_", None) or [])
        best = getattr(estimator, "best_validation_score_", None)
        rule.best_score = -math.inf if best is None else best
    else:
        best = getattr(estimator, "best_loss_", None)
        rule.best_loss = math.inf if best is None else best
    return rule
