"""A chunk of training steps: the function that runs it, the draws of its steps, its error, and the plain loop."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mlpcore.backends.compilation import Compilation
from mlpcore.namespace import namespace
from mlpcore.random import Stream
from mlpcore.trees import Layout, tree_map
from mlpcore.typing import Array, Batch, Noise, State, Step, Tree

Data = tuple[Array, ...]  # x, target, row weights
Draw = Callable[[int], tuple[Noise, Tree]]  # noise and full_batch of the `mlpcore.typing.Batch` of step i of a chunk
Progress = Iterator[tuple[State, Array, int]]  # yields after one or more steps: the state, their losses, their number


class Run(Protocol):
    """A training step as a function that does a chunk of steps."""

    def __call__(self, state: State, data: Data, order: NDArray[np.int64], draw: Draw, /) -> tuple[State, Array]:
        """The state after the chunk, and the losses of its steps, both on the device.

        Step i takes the rows ``order[i]`` of ``data`` (x, target, weights) and the host arrays ``draw(i)``. ``order``
        is (steps, rows of a batch), on the host. An error in a step is a `ChunkError`.
        """


@dataclass(frozen=True)
class StepNoise:
    """The draws of the steps of a chunk: the noise of each step, and ``full_batch``, the same for all.

    ``make(stream, rows)`` makes the noise of a step; ``stream.step`` is its number. A compiler may call it with a
    traced stream. `part` is the same for some rows of the batch, whose others are computed elsewhere: ``first`` is the
    place of the first of them, and ``whole`` the number of rows of the batch, 0 if all are computed here.
    """

    make: Callable[[Any, Any], Noise]
    stream: Stream  # at the first step
    rows: int  # that are computed
    full_batch: Tree
    first: int = 0
    whole: int = 0

    def part(self, first: int, rows: int) -> "StepNoise":
        """The draws of ``rows`` rows of the batch, from place ``first`` on."""
        return replace(self, first=first, rows=rows, whole=self.rows)

    def __call__(self, i: int) -> tuple[Noise, Tree]:
        """The noise of step i, and ``full_batch``."""
        noise = self.make(replace(self.stream, step=self.stream.step + i), self.whole or self.rows)
        if self.whole:
            rows = slice(self.first, self.first + self.rows)
            noise = tree_map(lambda leaf: leaf[..., rows, :] if leaf.shape[-2:-1] == (self.whole,) else leaf, noise)
        return noise, self.full_batch


def shifted(draw: Draw, start: int) -> Draw:
    """The draws of the steps from number ``start`` on."""
    if isinstance(draw, StepNoise):
        return replace(draw, stream=replace(draw.stream, step=draw.stream.step + start))
    return lambda i: draw(start + i)


def finite_weights(state: State) -> Array:
    """Whether the parameters (..., P), and their average if one is kept, are finite (...)."""
    xp = namespace(state.params)
    finite = xp.all(xp.isfinite(state.params), axis=-1)
    return finite if isinstance(state.average, tuple) else finite & xp.all(xp.isfinite(state.average), axis=-1)


class ChunkError(Exception):
    """A step of a chunk raised ``__cause__``; ``state`` is the state after the ``steps`` complete steps before it."""

    def __init__(self, state: State, steps: int) -> None:
        super().__init__(f"after {steps} complete steps of the chunk")
        self.state, self.steps = state, steps


def collect(state: State, progress: Progress, join: Callable[[list[Array]], Array]) -> tuple[State, Array]:
    """``(state, losses)`` at the end of a chunk, whose steps ``progress`` runs; ``join`` makes one array of the losses.

    Any error, also one of ``join``, becomes a ChunkError, so that the steps before it are not lost.
    """
    losses: list[Array] = []
    done = 0
    try:
        for reached, new_losses, steps in progress:
            state, done = reached, done + steps
            losses.append(new_losses)
        return state, join(losses)
    except ChunkError as error:
        raise ChunkError(error.state, done + error.steps) from error.__cause__
    except BaseException as error:
        raise ChunkError(state, done) from error


def run_eagerly(xp: Any, asarray: Callable[..., Array]) -> Callable[..., Run]:
    """`Compilers.steps` for a library that runs each operation at once: a loop over the steps.

    ``xp`` and ``asarray`` are those of the `Backend`.
    """

    def steps(step: Step, layout: Layout | None = None, compilation: Compilation | None = None) -> Run:
        (compilation or Compilation()).run_eagerly()

        def run(state: State, data: Data, order: NDArray[np.int64], draw: Draw) -> tuple[State, Array]:
            draws = (tree_map(asarray, draw(i)) for i in range(order.shape[0]))
            return run_steps(xp, step, state, data, asarray(order), draws)  # one transfer for the chunk

        return run

    return steps


def run_steps(
    xp: Any, step: Step, state: State, data: Data, order: Array, draws: Iterable[tuple[Noise, Tree]]
) -> tuple[State, Array]:
    """The steps of a chunk, one after the other: step i takes the rows ``order[i]`` of ``data`` and the i-th draws.

    An error, in a step or while its draws are made, is a `ChunkError`, so that the steps before it are not lost.
    """

    def progress(state: State) -> Progress:
        for i, drawn in enumerate(draws):
            rows = order[i, :]
            x, target, weights = (xp.take(array, rows, axis=0) for array in data)
            state, loss = step(state, Batch(x, target, weights, *drawn))
            yield state, loss, 1

    return collect(state, progress(state), xp.stack)
