"""Stochastic training with scikit-learn's row order, losses, learning rates and stopping rules."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from mlpcore.errors import MlpcoreWarning, NonFiniteError
from mlpcore.model import Model
from mlpcore.sklearn.draws import Draws
from mlpcore.sklearn.stopping import Rate, StoppingRule
from mlpcore.sklearn.warm_start import WarmStart
from mlpcore.training import epochs
from mlpcore.training.events import Report, Stop
from mlpcore.training.history import History
from mlpcore.training.position import EpochResult
from mlpcore.training.recovery import Recovery
from mlpcore.typing import Dataset

Memory = WarmStart  # its name in pickles written before December 2026
# The curves that only some fits have: the column of the history, and the fitted attribute.
OPTIONAL = {"val_loss": "validation_loss_curve_", "skipped": "skipped_curve_", "restored": "restored_curve_"}
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


class Batches(NamedTuple):
    """The training data of a fit, and the batch size."""

    data: Dataset  # ``(x, target, weights)`` of all n rows, on the backend
    weights: np.ndarray  # (n,) the weights of the rows, on the host
    rows: np.ndarray  # the numbers of the rows to train on
    batch_size: int

    def mean(self, result: EpochResult) -> float:
        """The mean of an epoch's batch losses, weighted by batch size.

        Batches whose rows all weigh 0 do not count, nor do those that were skipped, whose loss is NaN.
        """
        sizes = np.full(len(result.losses), self.batch_size)
        sizes[-1] = result.order.size - self.batch_size * (len(sizes) - 1)
        starts = np.arange(len(sizes)) * self.batch_size
        skipped = np.isnan(result.losses)
        counted = sizes * (np.add.reduceat(self.weights[result.order], starts) > 0) * ~skipped
        return float(np.sum(np.where(skipped, 0.0, result.losses) * counted) / max(np.sum(counted), 1))


@dataclass
class FitLog:
    """The log of the epochs, which becomes fitted attributes."""

    loss_curve: list[float] = field(default_factory=list)
    curves: dict[str, list[float] | None] = field(default_factory=lambda: dict.fromkeys(OPTIONAL.values()))
    rows_seen: int = 0
    epochs: int = 0

    def note(self, values: dict[str, float], rows: int) -> None:
        """Record an epoch of ``rows`` rows."""
        self.epochs += 1
        self.rows_seen += rows
        self.loss_curve.append(values["loss"])
        for column, name in OPTIONAL.items():
            if column in values:
                self.curves[name] = [*(self.curves[name] or []), values[column]]


class FitPlan(NamedTuple):
    """The arguments of the estimator that the epochs need.

    ``validate`` returns ``(loss, score)`` on held-out rows; the score is None where no stopping rule uses it.
    """

    max_iter: int
    shuffle: bool
    once: bool  # a partial_fit: one epoch, and no warning that training has not converged
    verbose: bool
    callbacks: Sequence[Any]
    validate: Callable[[Model], tuple[float, float | None]] | None
    on_nonfinite: str


@dataclass
class EpochRules:
    """scikit-learn's rules as the first callback: records epochs, sets the learning rate and stops training."""

    rate: Rate
    stopping: StoppingRule
    log: FitLog
    rows: int
    verbose: bool

    def on_fit_begin(self, model: Model, epochs: int) -> None:
        """Set the rate of the first epoch."""
        self.rate.apply(model)

    def on_epoch_end(self, report: Report) -> Stop | None:
        """Record the epoch, and set the rate of the next one."""
        self.log.note(report.values, self.rows)
        score = report.values.get("val_score")
        if self.verbose:
            print(f"Iteration {self.log.epochs}, loss = {report.values['loss']:.8f}")
            if score is not None:
                print(f"Validation score: {score:f}")
        self.stopping.update(report.model, report.values["loss"], score)
        self.rate.end_epoch(self.log.rows_seen)
        over = self.stopping.is_over
        last = over and self.rate.is_last(self.stopping.reason, self.verbose)
        if over and not last:
            self.stopping.count = 0
        self.rate.apply(report.model)
        return Stop(self.stopping.reason) if last else None

    def on_fit_end(self, model: Model) -> None:
        """Restore the best weights, before the callbacks of the user see the end of the fit."""
        if self.stopping.best is not None and not self.stopping.unscored:
            model.restore(self.stopping.best)


def train(
    model: Model, batches: Batches, draws: Draws, plan: FitPlan, rate: Rate, stopping: StoppingRule, log: FitLog
) -> None:
    """Train the model for ``plan.max_iter`` epochs, or until the stopping rule, a callback or Ctrl-C ends it.

    ``log``, ``stopping`` and ``rate`` are updated. A loss that is not finite ends training, where ``plan.on_nonfinite``
    does not help: with a warning and the best weights if early stopping has kept any, else with a ValueError.
    """
    rows, recovery = batches.rows, Recovery(plan.on_nonfinite)
    rules = EpochRules(rate, stopping, log, rows.size, plan.verbose)
    log.epochs = 0

    @lru_cache(maxsize=1)  # an epoch that is trained again has the same order, though every draw is another one
    def order(epoch: int) -> np.ndarray:
        return rows[draws.order(rows.size)] if plan.shuffle else rows

    def evaluate() -> dict[str, float]:
        assert plan.validate is not None
        loss, score = plan.validate(model)
        return {"loss": loss} | ({} if score is None else {"score": score})

    max_epochs, validate = 1 if plan.once else plan.max_iter, None if plan.validate is None else evaluate
    of_epochs = order, batches.batch_size, max_epochs, validate, batches.mean, recovery
    fit = epochs.Plan(batches.data, batches.weights, *of_epochs)
    history, interrupted, diverged = History(), False, False
    try:
        with model.backend.scope(model.dtype):
            interrupted = epochs.train(model, fit, [rules, *plan.callbacks], history)
    except NonFiniteError as error:
        if stopping.best is None:
            raise ValueError(NOT_FINITE if plan.on_nonfinite == "raise" else str(error)) from error
        diverged = True
        log.loss_curve.append(float("nan"))
        stopping.scores.append(float("nan"))
        log.epochs += 1
        warnings.warn(f"Training diverged, and the best weights are kept: {error}", ConvergenceWarning, stacklevel=7)
    if history.stopped is None and not plan.once and not diverged:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({plan.max_iter}) reached and the optimization "
            "hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=7,
        )
    rate.apply(model)
    if (report := recovery.report(OPTIONAL["skipped"])) is not None:
        warnings.warn(f"fit: {report}", MlpcoreWarning, stacklevel=7)
    if interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=7)
    if diverged and stopping.best is not None:
        model.restore(stopping.best)
