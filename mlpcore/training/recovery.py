"""What a fit does where a step is not finite: raise, skip the batch, or go back and train with half the rate."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from mlpcore.backends.calls import Calls
from mlpcore.errors import ConfigurationError, NonFiniteError
from mlpcore.namespace import namespace
from mlpcore.training.checkpoint_folder import CheckpointFolder
from mlpcore.training.history import History
from mlpcore.training.nonfinite import ChunkResult, not_helped, nothing_learned
from mlpcore.training.position import EpochResult, Position
from mlpcore.trees import tree_map
from mlpcore.typing import Dataset, State, Tree

CHOICES = ("raise", "skip", "restore")
MOST_RESTORES = 5  # of a fit; the rate is then 1/32 of the first


class Chunks(Protocol):
    """The part of `mlpcore.training.loop.Trainer` that a recovery uses."""

    state: State
    progress: Position
    dtype: str

    def advance(self, data: Dataset, chunk: np.ndarray, full_batch: Tree) -> Calls[ChunkResult]:
        """Run a chunk of steps."""


@dataclass
class Recovery:
    """The rule ``on_nonfinite`` of one fit, and what has happened so far.

    "raise" ends the fit with a NonFiniteError. "skip" leaves out a batch whose loss, gradient, statistics or updated
    weights are not finite, as if its rows weighed 0. "restore" goes back to the state at the beginning of the epoch,
    halves the rate and trains the epoch again, in the same order; at most `MOST_RESTORES` times in a fit, those before
    a resume included: they are read off the history.

    Both work on the host, with copies of the state, so that they need nothing of a backend: "skip" keeps the state
    before the present chunk, "restore" that before the present epoch, or at the step of it from which a fit resumed.
    """

    choice: str = "raise"
    batches: int = 0  # of whole epochs
    skipped: int = 0
    restores: dict[int, int] = field(default_factory=dict)  # how often, by the number of the epoch
    earlier: int = 0  # restores before a resume

    def check(self, folder: CheckpointFolder) -> None:
        """ConfigurationError for checkpoints within an epoch where a fit has to know the beginning of the epoch."""
        for name in ("every_steps", "every_minutes"):
            if self.choice == "restore" and (value := getattr(folder, name)) is not None:
                raise ConfigurationError(
                    f"fit: checkpoint has {name}={value!r}, and on_nonfinite='restore' goes back to the beginning of "
                    "an epoch, which a checkpoint within it does not hold; use every_epochs, or on_nonfinite='skip'"
                )

    def begin(self, history: History) -> None:
        """Take over what the history of a resumed fit says."""
        if self.choice == "restore":
            self.earlier = int(sum(row.get("restored", 0) for row in history.rows))

    def epoch(self, trainer: Chunks, run: Callable[[], Calls[EpochResult]]) -> Calls[EpochResult]:
        """The result of ``run()``, which trains an epoch; with "restore" again until it succeeds."""
        if self.choice != "restore":
            result = yield from run()
            if self.choice == "skip":
                self.batches += len(result.losses)
                self.skipped += result.skipped
                if result.whole and np.isnan(result.loss):
                    raise nothing_learned(trainer.progress.epoch, result.skipped)
            return result
        good, position = copied(trainer.state), replace(trainer.progress)
        while True:
            try:
                return (yield from run())
            except NonFiniteError as error:
                trainer.state, trainer.progress = good, replace(position)
                epoch, used = position.epoch + 1, self.earlier + sum(self.restores.values())
                if used >= MOST_RESTORES:
                    raise not_helped(epoch, used, error) from error
                self.restores[epoch] = self.restores.get(epoch, 0) + 1
                trainer.state = good = good._replace(scale=good.scale * 0.5)

    def columns(self, epoch: int, result: EpochResult) -> dict[str, float]:
        """The columns of the history for the epoch of this number."""
        if self.choice == "skip":
            return {"skipped": float(result.skipped)}
        return {"restored": float(self.restores.get(epoch, 0))} if self.choice == "restore" else {}

    def chunk(self, trainer: Chunks, data: Dataset, chunk: np.ndarray, full_batch: Tree) -> Calls[np.ndarray]:
        """Train the chunk (steps, batch) of row numbers; the losses of its steps, NaN for those that were skipped."""
        if self.choice == "skip":
            return (yield from _skipping(trainer, data, chunk, full_batch))
        first = trainer.progress.step
        result = yield from trainer.advance(data, chunk, full_batch)
        result.check(trainer.progress.epoch + 1, first, trainer.dtype)
        return result.losses

    def report(self, curve: str = "the column 'skipped' of the history") -> str | None:
        """What happened, for a warning after the fit; None if nothing did. ``curve`` is where skips are listed."""
        if self.skipped:
            return (
                f"{self.skipped} of {self.batches} batches were skipped, as the loss, its gradient or the updated "
                f"weights were not finite; {curve} says in which epochs"
            )
        if not self.restores:
            return None
        times, epochs = sum(self.restores.values()), ", ".join(map(str, self.restores))
        return (
            f"the loss, its gradient or the weights were not finite in epoch {epochs}: training went back to the "
            f"beginning of the epoch {times} time{'s' * (times > 1)} (of at most {MOST_RESTORES} in a fit), each time "
            "with half the learning rate. A smaller learning rate or clip_norm=1.0 would spare the lost epochs"
        )


RAISE = Recovery()  # has no state: only the other choices count


def copied(state: State) -> State:
    """The state in arrays of its own: compiled steps overwrite those of the last state."""
    own: State = tree_map(lambda leaf: namespace(leaf).asarray(leaf, copy=True), state)
    return own


def _skipping(trainer: Chunks, data: Dataset, chunk: np.ndarray, full_batch: Tree) -> Calls[np.ndarray]:
    """Train the chunk without the steps that are not finite.

    After a failed step the state is that before it, and the rest of the chunk is run. Infinite weights do not say which
    step made them: the chunk is run again from the state before it, one step at a time.
    """
    losses, done, singly = np.full(chunk.shape[0], np.nan), 0, False
    while done < chunk.shape[0]:
        first, before = trainer.progress.step, copied(trainer.state)
        steps = chunk[done : done + 1] if singly else chunk[done:]
        result = yield from trainer.advance(data, steps, full_batch)
        valid = steps.shape[0] if result.failed is None else result.failed
        if not result.finite:
            trainer.state, trainer.progress.step, valid = before, first, 0
            if not singly and steps.shape[0] > 1:
                singly = True
                continue
        losses[done : done + valid] = result.losses[:valid]
        done += valid
        if valid < steps.shape[0]:
            done, singly = done + 1, False
            trainer.progress.step = first + valid + 1
    return losses
