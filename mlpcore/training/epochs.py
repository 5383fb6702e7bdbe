"""The loop over the epochs of a fit: training, validation, history, callbacks and checkpoints."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mlpcore.backends.calls import Calls, alone
from mlpcore.distributed.communicator import Communicator
from mlpcore.training.events import Report, Stop, call, call_every, every, has_state
from mlpcore.training.history import History
from mlpcore.training.interruption import Interruption
from mlpcore.training.loop import Trainer
from mlpcore.training.position import EpochResult
from mlpcore.training.recovery import RAISE, Recovery
from mlpcore.training.saving import Pauses, Saving
from mlpcore.typing import Dataset


class Plan(NamedTuple):
    """The data of a fit, checked and on the backend, and how it trains on them.

    ``weights`` (n,) are the row weights on the host. ``order(epoch)`` returns the row numbers of an epoch in order,
    ``epochs`` is the largest length of the history. ``evaluate()`` returns the validation values after an epoch by
    name; it is None without validation data. ``loss(result)`` is the loss of an epoch in the history. ``recovery`` is
    what happens where a step is not finite.
    """

    data: Dataset
    weights: np.ndarray
    order: Callable[[int], np.ndarray]
    batch_size: int
    epochs: int
    evaluate: Callable[[], dict[str, float]] | None = None
    loss: Callable[[EpochResult], float] = lambda result: result.loss
    recovery: Recovery = RAISE


def train(model: Any, plan: Plan, callbacks: Sequence[Any], history: History, saving: Saving | None = None) -> bool:
    """Train as `training` does, its calls of compiled code one after the other."""
    with Interruption().noted() as interruption:
        return alone(training(model, plan, callbacks, history, saving, interruption))


def training(
    model: Any,
    plan: Plan,
    callbacks: Sequence[Any],
    history: History,
    saving: Saving | None,
    interruption: Interruption,
) -> Calls[bool]:
    """Train until the history has ``plan.epochs`` rows, or a callback or Ctrl-C stops it. Returns whether Ctrl-C did.

    ``history`` holds the epochs done before a resume; if its fit was stopped by a callback, nothing is trained. Rules
    for stopping and for the learning rate are callbacks too. After an epoch, a checkpoint is written once its callbacks
    have been called. One more is written if in ``on_fit_end`` a callback without a state changed the model; changes by
    callbacks with a state need none, as these callbacks make them again after a resume.
    """
    trainer: Trainer = model.trainer
    begun = list[Any]()
    ranks: Communicator = trainer.communicator
    plan.recovery.begin(history)
    with trainer.one_thread.training("fit"):
        try:
            done, pauses = ranks.on_first(lambda: _begin(model, callbacks, plan.epochs - len(history), saving, begun))
            trainer.share()
            after_chunk = partial(_after_chunk, ranks, saving, history) if pauses.within else None
            while len(history) < plan.epochs and history.stopped is None:
                with ranks.or_abort(f"in epoch {trainer.progress.epoch + 1}"):
                    paused = done, after_chunk, pauses.steps
                    epoch = partial(trainer.epoch_calls, *plan[:4], interruption, *paused, plan.recovery)
                    result, done = (yield from plan.recovery.epoch(trainer, epoch)), []
                    if result.whole:
                        values = {"loss": plan.loss(result), "learning_rate": model.learning_rate}
                        values["rows_per_second"] = result.rows_per_second
                        values |= plan.recovery.columns(trainer.progress.epoch, result)
                        if plan.evaluate is not None:
                            values |= {f"val_{name}": value for name, value in plan.evaluate().items()}
                        history.rows.append(values)
                if result.whole:
                    ended = partial(_epoch_end, model, callbacks, plan, history, saving)
                    history.rows[-1], history.stopped, changed = ranks.on_first(ended)
                    if changed:
                        trainer.share()
                if ranks.any(interruption):
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            history.stopped = "interrupted"
            return True
        finally:
            changed, unsaved = ranks.on_first(partial(_end, model, begun))
            if changed:
                trainer.share()
        if unsaved and saving is not None:
            ranks.on_first(partial(saving.after_fit, history))
        return ranks.any(interruption)  # pressed while callbacks ended


def _after_chunk(ranks: Communicator, saving: Saving | None, history: History, losses: list[float]) -> None:
    """Write a checkpoint within an epoch, where rank 0 says that one is due."""
    ranks.on_first(lambda: None if saving is None else saving.after_chunk(history, losses))


def _epoch_end(
    model: Any, callbacks: Sequence[Any], plan: Plan, history: History, saving: Saving | None
) -> tuple[dict[str, float], str | None, bool]:
    """Call the callbacks and write the checkpoint: the row of the history, why training stops, and whether a callback
    changed the model."""
    values, before = history.rows[-1], model.trainer.state
    report = Report(model, model.trainer.progress.epoch, plan.epochs, values, plan.batch_size)
    stops = [stop for stop in call(callbacks, "on_epoch_end", report) if isinstance(stop, Stop)]
    if stops:
        history.stopped = stops[0].reason
    if saving is not None:
        saving.after_epoch(history, last=history.stopped is not None or len(history) >= plan.epochs)
    return values, history.stopped, model.trainer.state is not before


def _begin(
    model: Any, callbacks: Sequence[Any], epochs: int, saving: Saving | None, begun: list[Any]
) -> tuple[list[float], Pauses]:
    """Call ``on_fit_begin`` of every callback and add it to ``begun``; then apply the checkpoint of a resumed fit.

    Returns the losses of the steps that the first epoch has behind it, and where epochs pause for a checkpoint. If a
    callback cannot restore its state, the model is left as it was before.
    """
    trainer, losses = model.trainer, list[float]()
    before = trainer.state, trainer.progress
    if saving is not None:
        saving.checkpoints.put()
    for callback in callbacks:
        call([callback], "on_fit_begin", model, epochs)
        begun.append(callback)
    try:
        if saving is not None:
            losses = saving.checkpoints.put_callbacks()
            saving.begin()
    except BaseException:
        call_every(begun, "on_fit_end", model)
        begun.clear()
        trainer.state, trainer.progress = before
        raise
    return losses, Pauses() if saving is None else saving.pauses


def _end(model: Any, begun: Sequence[Any]) -> tuple[bool, bool]:
    """Call ``on_fit_end`` of all callbacks, also after errors; whether one changed the model, and one without state."""
    changed = []

    def end(callback: Any) -> None:
        before = model.trainer.state
        call([callback], "on_fit_end", model)
        if model.trainer.state is not before:
            changed.append(callback)

    every(partial(end, callback) for callback in begun)
    return bool(changed), not all(map(has_state, changed))
