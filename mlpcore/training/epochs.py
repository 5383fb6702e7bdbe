"""The epochs of a fit: each is trained, looked at on validation data, noted, shown to callbacks and kept on disk."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mlpcore.errors import TrainingInterrupted
from mlpcore.training.checkpoints import Checkpoints
from mlpcore.training.events import Report, Stop, call, call_every, every, has_state
from mlpcore.training.history import History
from mlpcore.training.loop import Interruption, Trainer


class Plan(NamedTuple):
    """What a fit trains on, checked and on the backend; ``evaluate`` is None where there is no validation data."""

    data: tuple
    weights: np.ndarray
    order: Callable[[int], np.ndarray]
    batch_size: int
    epochs: int
    evaluate: Callable[[], dict[str, float]] | None


def train(
    model: Any, trainer: Trainer, plan: Plan, callbacks: Sequence[Any], checkpoints: Checkpoints, history: History
) -> History:
    """Train until the history has ``plan.epochs`` rows, or a callback or Ctrl-C ends it.

    ``history`` holds the epochs done before a resume, and a fit that a callback has ended is over. A checkpoint is
    written after the callbacks of an epoch, none within one. What callbacks with a state do to the model at the end of
    the fit they do again after a resume; where another has changed it there, one more checkpoint is written.
    """
    begun: list[Any] = []
    try:
        with Interruption().noted() as interruption:
            _begin(model, trainer, callbacks, plan.epochs - len(history), checkpoints, begun)
            while len(history) < plan.epochs and history.stopped is None:
                result = trainer.epoch(plan.data, plan.weights, plan.order, plan.batch_size, interruption)
                if result.whole:
                    values = {"loss": result.loss, "learning_rate": model.learning_rate}
                    values["rows_per_second"] = result.rows_per_second
                    if plan.evaluate is not None:
                        values |= {f"val_{name}": value for name, value in plan.evaluate().items()}
                    history.rows.append(values)
                    report = Report(model, trainer.progress.epoch, plan.epochs, values)
                    stops = [stop for stop in call(callbacks, "on_epoch_end", report) if isinstance(stop, Stop)]
                    if stops:
                        history.stopped = stops[0].reason
                    checkpoints.save(history)
                if interruption:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        history.stopped = "interrupted"
        warnings.warn(
            f"training was interrupted in epoch {trainer.progress.epoch + 1}; the model stands at its last whole "
            "step, and fit goes on from there",
            TrainingInterrupted,
            stacklevel=3,
        )
        return history
    finally:
        changed = _end(model, trainer, begun)
    if changed:
        checkpoints.save(history)
    return history


def _begin(
    model: Any, trainer: Trainer, callbacks: Sequence[Any], epochs: int, checkpoints: Checkpoints, begun: list[Any]
) -> None:
    """Begin with every callback, and add it to ``begun``; in a resumed fit then put all where the checkpoint stands.

    A state that a callback cannot take leaves the model as it was.
    """
    before = trainer.state, trainer.progress
    checkpoints.put()
    for callback in callbacks:
        call([callback], "on_fit_begin", model, epochs)
        begun.append(callback)
    try:
        checkpoints.put_callbacks()
    except BaseException:
        call_every(begun, "on_fit_end", model)
        begun.clear()
        trainer.state, trainer.progress = before
        raise


def _end(model: Any, trainer: Trainer, begun: Sequence[Any]) -> bool:
    """End with every callback, whatever others raise; whether one without a state has changed the model."""
    changed = []

    def end(callback: Any) -> None:
        before = trainer.state
        call([callback], "on_fit_end", model)
        changed.append(trainer.state is not before and not has_state(callback))

    every(partial(end, callback) for callback in begun)
    return any(changed)
