"""The epochs of a stochastic fit, with scikit-learn's order of rows, learning rates and rules for stopping."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from mlpcore.errors import NonFiniteError
from mlpcore.model import Model
from mlpcore.sklearn.draws import Draws
from mlpcore.sklearn.stopping import Rate, Watch
from mlpcore.training.events import Report, Stop, call, call_every
from mlpcore.training.loop import EpochResult, Interruption
from mlpcore.trees import tree_map

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


@dataclass
class Memory:
    """What one fit leaves to the next: the model with the optimizer's state, the draws, and the learning rate with
    the factor of callbacks.

    The first two are None where the next fit begins anew; scikit-learn calls this the optimizer.
    """

    model: Model | None
    draws: Draws | None
    learning_rate: float
    factor: float = 1.0


@contextmanager
def unharmed(memory: Memory | None, draws_too: bool) -> Iterator[None]:
    """Put the memory's model and draws back as they were, should anything be raised; steps write into their vectors.

    The draws only where they are the estimator's own (``draws_too``), not a `RandomState` of the caller.
    """
    model, draws = (None, None) if memory is None else (memory.model, memory.draws)
    if model is not None:
        trainer = model._trainer
        with model.backend.scope(model.dtype):
            state, progress = tree_map(lambda leaf: leaf + 0, trainer.state), replace(trainer.progress)
    if draws is not None and draws_too:
        random, last = draws.random.get_state(), draws.last
    try:
        yield
    except BaseException:
        if model is not None:
            trainer.state, trainer.progress = state, progress
        if draws is not None and draws_too:
            draws.random.set_state(random)
            draws.last = last
        raise


class Batches(NamedTuple):
    """The rows of a fit: the table, target and weights on the backend, the weights on the host, the numbers of the rows
    to train on, and how many make a batch."""

    data: tuple
    weights: np.ndarray
    rows: np.ndarray
    batch_size: int

    def mean(self, result: EpochResult, order: np.ndarray) -> float:
        """The mean of the batches' losses, each counted as its rows are: a batch without weight is left out."""
        sizes = np.full(len(result.losses), self.batch_size)
        sizes[-1] = order.size - self.batch_size * (len(sizes) - 1)
        starts = np.arange(len(sizes)) * self.batch_size
        counted = sizes * (np.add.reduceat(self.weights[order], starts) > 0)
        return float(np.sum(np.multiply(result.losses, counted)) / max(np.sum(counted), 1))


@dataclass
class Told:
    """What the epochs have shown, as the fitted attributes name it."""

    loss_curve: list[float] = field(default_factory=list)
    validation_loss_curve: list[float] | None = None
    rows_seen: int = 0
    epochs: int = 0
    interrupted: bool = False
    diverged: bool = False


class Plan(NamedTuple):
    """How a fit goes: the arguments of the estimator that the epochs need, and the functions that look at the model.

    ``validate`` gives ``(loss, score)`` on held-out rows, where there are some; a score that nobody watches is None.
    """

    max_iter: int
    shuffle: bool
    once: bool  # a partial_fit: one epoch, and no warning that it was the last
    verbose: bool
    callbacks: Sequence[Any]
    validate: Callable[[Model], tuple[float, float | None]] | None


def train(model: Model, batches: Batches, draws: Draws, plan: Plan, rate: Rate, watch: Watch, told: Told) -> None:
    """Train the model for ``plan.max_iter`` epochs, or until the rule for stopping, a callback or Ctrl-C ends it.

    ``told``, ``watch`` and ``rate`` are brought up to date. A loss that is not finite ends training too: a ValueError,
    but where early stopping holds better weights to go back to.
    """
    begun: list[Any] = []
    told.epochs = 0
    rate.give(model)
    try:
        with Interruption().noted() as interruption:
            for callback in plan.callbacks:
                call([callback], "on_fit_begin", model, plan.max_iter)
                begun.append(callback)
            while told.epochs < plan.max_iter:
                if _epoch(model, batches, draws, plan, rate, watch, told, interruption):
                    break
                if plan.once:
                    break
                if told.epochs == plan.max_iter:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({plan.max_iter}) reached and the optimization "
                        "hasn't converged yet.",
                        ConvergenceWarning,
                        stacklevel=6,
                    )
    except KeyboardInterrupt:
        told.interrupted = True
    except NonFiniteError as error:
        if watch.best is None:
            raise ValueError(NOT_FINITE) from error
        told.diverged = True
        told.loss_curve.append(float("nan"))
        watch.scores.append(float("nan"))
        told.epochs += 1
        warnings.warn(f"Training diverged, and the best weights are kept: {error}", ConvergenceWarning, stacklevel=6)
    finally:
        call_every(begun, "on_fit_end", model)
    rate.give(model)
    if told.interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=6)
    if watch.best is not None and (told.diverged or not watch.unscored):
        model.restore(watch.best)


def _epoch(
    model: Model,
    batches: Batches,
    draws: Draws,
    plan: Plan,
    rate: Rate,
    watch: Watch,
    told: Told,
    interruption: Interruption,
) -> bool:
    """One epoch and the look at what it brought; whether it was the last."""
    rows = batches.rows
    order = rows[draws.order(rows.size)] if plan.shuffle else rows
    with model.backend.scope(model.dtype):
        result = model._trainer.epoch(
            batches.data, batches.weights, lambda epoch: order, batches.batch_size, interruption
        )
    if not result.whole:
        raise KeyboardInterrupt
    loss = batches.mean(result, order)
    told.epochs += 1
    told.rows_seen += rows.size
    told.loss_curve.append(loss)
    if plan.verbose:
        print(f"Iteration {told.epochs}, loss = {loss:.8f}")
    values = {"loss": loss, "learning_rate": model.learning_rate, "rows_per_second": result.rows_per_second}
    score = None
    if plan.validate is not None:
        held_out, score = plan.validate(model)
        told.validation_loss_curve = [*(told.validation_loss_curve or []), held_out]
        values |= {"val_loss": held_out} | ({} if score is None else {"val_score": score})
        if plan.verbose and score is not None:
            print(f"Validation score: {score:f}")
    watch.look(model, loss, score)
    rate.epoch_ends(told.rows_seen)
    stopping = watch.is_over and rate.is_last(watch.said, plan.verbose)
    if watch.is_over and not stopping:
        watch.count = 0
    rate.give(model)
    report = Report(model, told.epochs, plan.max_iter, values)
    stops = [one for one in call(plan.callbacks, "on_epoch_end", report) if isinstance(one, Stop)]
    if interruption:
        raise KeyboardInterrupt
    return stopping or bool(stops)
