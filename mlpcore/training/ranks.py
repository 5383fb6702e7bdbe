"""A training step of several processes (ranks): each computes sums over its rows, all add them up, and all update."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpcore.backends.backend import Backend
from mlpcore.backends.compilation import Compilation
from mlpcore.backends.run import ChunkError, Data, Draw, Run, StepNoise, shifted
from mlpcore.distributed.communicator import Communicator
from mlpcore.namespace import namespace
from mlpcore.training.shards import Shards
from mlpcore.training.step import BatchSums, TrainingStep, guarded
from mlpcore.trees import Layout
from mlpcore.typing import Array, Batch, State


@dataclass(frozen=True)
class GradientStep:
    """The first part of a step: the sums over the rows of a batch as one vector, which becomes the optimizer's state.

    It holds the gradient, the weighted losses and the weights: (P + 2,).
    """

    step: TrainingStep

    def __call__(self, state: State, batch: Batch) -> tuple[State, Array]:
        """The state with the sums, and the weighted losses."""
        value, weight, gradient, _ = self.step.sums(state, batch)
        xp = namespace(gradient)
        vector = xp.concat([gradient, xp.stack([value, weight])])
        return state._replace(optimizer=(vector,)), value


@dataclass(frozen=True)
class UpdateStep:
    """The second part: the update with the sums of all ranks, which are the only row of the batch."""

    step: TrainingStep

    def __call__(self, state: State, batch: Batch) -> tuple[State, Array]:
        """As `TrainingStep`."""
        vector = batch.x[0, :]
        return guarded(state, self.step.update(state, BatchSums(vector[-2], vector[-1], vector[:-2], ())))


class RankRun:
    """A `mlpcore.backends.run.Run` of one of several ranks, all of which call it with the same chunks.

    ``shards`` chooses the rows of a batch that this rank computes. Between gradient and update the ranks add up one
    vector. The first law, that sums over the parts of a batch add up to those of the whole, makes parts of any size
    right, also empty ones. Draws are those of the places of the rows in the batch, so they do not depend on the number
    of ranks.
    """

    def __init__(
        self,
        step: TrainingStep,
        layout: Layout,
        backend: Backend,
        compilation: Compilation,
        communicator: Communicator,
    ) -> None:
        self.backend, self.communicator = backend, communicator
        # Neither part has `propose`, by which JAX alone tries a chunk first: it then runs the part itself.
        self.gradient: Run = backend.compile.steps(GradientStep(step), layout, compilation)  # type: ignore[arg-type]
        self.update: Run = backend.compile.steps(UpdateStep(step), layout, compilation)  # type: ignore[arg-type]
        self.lock = getattr(self.update, "lock", None)  # of the state that the second part overwrites
        self.shards = Shards(communicator)
        self.sums: Array = None

    def __call__(self, state: State, data: Data, order: np.ndarray, draw: Draw) -> tuple[State, Array]:
        """Run a chunk of steps; ``order`` (steps, rows of a batch) are the numbers of the rows of all ranks."""
        losses, xp = list[Array](), self.backend.xp
        one = xp.ones((1,), dtype=state.params.dtype, device=self.backend.device)
        target, first_row = one[:, None], np.zeros((1, 1), np.int64)
        try:
            for i, numbers in enumerate(order):
                sums = self.communicator.allreduce_sum(self._sums(state, data, numbers, shifted(draw, i)))
                state, loss = self.update(state, (xp.reshape(sums, (1, -1)), target, one), first_row, _no_draw)
                losses.append(loss + 0)  # a copy: the next step may use its memory again
            return state, xp.concat(losses)
        except ChunkError as error:
            raise ChunkError(state, len(losses)) from error.__cause__
        except BaseException as error:
            raise ChunkError(state, len(losses)) from error

    def _sums(self, state: State, data: Data, numbers: np.ndarray, draw: Draw) -> Array:
        """The vector of the rows that this rank computes."""
        own, first = self.shards(numbers)
        if self.sums is None:
            xp = self.backend.xp
            self.sums = xp.zeros(state.params.shape[0] + 2, dtype=state.params.dtype, device=self.backend.device)
        if not own.size:
            return self.backend.xp.zeros_like(self.sums)
        if isinstance(draw, StepNoise):
            draw = draw.part(first, own.size)
        before = state._replace(optimizer=(self.sums,), average=(), statistics=())
        after, _ = self.gradient(before, data, own[None], draw)
        (self.sums,) = after.optimizer
        return self.sums


def _no_draw(_: int) -> Any:
    return (), ()
