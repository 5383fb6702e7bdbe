"""The epochs of a fit: each is trained, looked at on validation data, noted, shown to callbacks and kept on disk."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mlpcore.backends.calls import Calls, alone
from mlpcore.training.checkpoints import Checkpoints
from mlpcore.training.events import Report, Stop, call, call_every, every, has_state
from mlpcore.training.history import History
from mlpcore.training.interruption import Interruption
from mlpcore.training.loop import EpochResult
from mlpcore.typing import Dataset


class Plan(NamedTuple):
    """What a fit trains on, checked and on the backend.

    ``order(epoch)`` are the numbers of its rows, ``epochs`` the most there are. ``evaluate`` gives what is measured
    after an epoch, by name; None where there is no validation data. ``loss`` is the epoch's loss.
    """

    data: Dataset
    weights: np.ndarray
    order: Callable[[int], np.ndarray]
    batch_size: int
    epochs: int
    evaluate: Callable[[], dict[str, float]] | None = None
    loss: Callable[[EpochResult], float] = lambda result: result.loss


def train(
    model: Any, plan: Plan, callbacks: Sequence[Any], history: History, checkpoints: Checkpoints | None = None
) -> bool:
    """Train as `training` does, alone."""
    with Interruption().noted() as interruption:
        return alone(training(model, plan, callbacks, history, checkpoints, interruption))


def training(
    model: Any,
    plan: Plan,
    callbacks: Sequence[Any],
    history: History,
    checkpoints: Checkpoints | None,
    interruption: Interruption,
) -> Calls[bool]:
    """Train until the history has ``plan.epochs`` rows, or a callback or Ctrl-C ends it; whether Ctrl-C did.

    ``history`` holds the epochs done before a resume, and a fit that a callback has ended is over. Rules for stopping
    and for the learning rate are callbacks too. A checkpoint is written after the callbacks of an epoch, none within
    one. What callbacks with a state do to the model at the end of the fit they do again after a resume; where another
    has changed it there, one more checkpoint is written.
    """
    trainer, begun = model.trainer, list[Any]()
    try:
        _begin(model, callbacks, plan.epochs - len(history), checkpoints, begun)
        while len(history) < plan.epochs and history.stopped is None:
            result = yield from trainer.epoch_calls(plan.data, plan.weights, plan.order, plan.batch_size, interruption)
            if result.whole:
                values = {"loss": plan.loss(result), "learning_rate": model.learning_rate}
                values["rows_per_second"] = result.rows_per_second
                if plan.evaluate is not None:
                    values |= {f"val_{name}": value for name, value in plan.evaluate().items()}
                history.rows.append(values)
                report = Report(model, trainer.progress.epoch, plan.epochs, values)
                stops = [stop for stop in call(callbacks, "on_epoch_end", report) if isinstance(stop, Stop)]
                if stops:
                    history.stopped = stops[0].reason
                if checkpoints is not None:
                    checkpoints.save(history)
            if interruption:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        history.stopped = "interrupted"
        return True
    finally:
        changed = _end(model, begun)
    if changed and checkpoints is not None:
        checkpoints.save(history)
    return bool(interruption)  # pressed while callbacks ended


def _begin(
    model: Any, callbacks: Sequence[Any], epochs: int, checkpoints: Checkpoints | None, begun: list[Any]
) -> None:
    """Begin with every callback, and add it to ``begun``; in a resumed fit then put all where the checkpoint stands.

    A state that a callback cannot take leaves the model as it was.
    """
    trainer = model.trainer
    before = trainer.state, trainer.progress
    if checkpoints is not None:
        checkpoints.put()
    for callback in callbacks:
        call([callback], "on_fit_begin", model, epochs)
        begun.append(callback)
    try:
        if checkpoints is not None:
            checkpoints.put_callbacks()
    except BaseException:
        call_every(begun, "on_fit_end", model)
        begun.clear()
        trainer.state, trainer.progress = before
        raise


def _end(model: Any, begun: Sequence[Any]) -> bool:
    """End with every callback, whatever others raise; whether one without a state has changed the model."""
    changed = []

    def end(callback: Any) -> None:
        before = model.trainer.state
        call([callback], "on_fit_end", model)
        changed.append(model.trainer.state is not before and not has_state(callback))

    every(partial(end, callback) for callback in begun)
    return any(changed)
