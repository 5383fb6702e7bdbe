"""A chunk of training steps: the function that runs it, the noise of its steps, its error, and the plain loop."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mlpcore.backends.compilation import Compilation
from mlpcore.random import Stream
from mlpcore.trees import Layout, tree_map
from mlpcore.typing import Array, Batch, Noise, State, Step

Data = tuple[Array, ...]  # x, target, row weights
Draw = Callable[[int], Noise]  # the noise of step i of a chunk


class Run(Protocol):
    """A training step as a function that does a chunk of steps."""

    def __call__(self, state: State, data: Data, order: NDArray[np.int64], draw: Draw, /) -> tuple[State, Array]:
        """The state after the chunk, and the losses of its steps, both on the device.

        Step i takes the rows ``order[i]`` of ``data`` (x, target, weights) and the noise ``draw(i)``, a tree of host
        arrays. ``order`` is (steps, rows of a batch), on the host. An error in a step is a `ChunkError`.
        """


@dataclass(frozen=True)
class StepNoise:
    """The noise of the steps of a chunk: ``noise(i)`` is that of step i.

    ``make(stream, rows, full)`` makes it from a ``stream`` that stands at a step, and from what is known of a full
    batch, an array or None; a compiler may call it with a stream and arrays of its own.
    """

    make: Callable[[Any, Any, Any], Noise]
    stream: Stream  # at the first step
    rows: int
    full: NDArray[Any] | None

    def __call__(self, i: int) -> Noise:
        """The noise of step i."""
        return self.make(replace(self.stream, step=self.stream.step + i), self.rows, self.full)


def shifted(draw: Draw, start: int) -> Draw:
    """The noise of the steps from number ``start`` on."""
    if isinstance(draw, StepNoise):
        return replace(draw, stream=replace(draw.stream, step=draw.stream.step + start))
    return lambda i: draw(start + i)


class ChunkError(Exception):
    """A step of a chunk raised ``__cause__``; holds the state after the ``steps`` whole ones before it."""

    def __init__(self, state: State, steps: int) -> None:
        super().__init__(f"after {steps} whole steps of the chunk")
        self.state, self.steps = state, steps


def run_eagerly(xp: Any, asarray: Callable[..., Array]) -> Callable[..., Run]:
    """`Compilers.steps` for a library that runs each operation at once: a loop over the steps.

    ``xp`` and ``asarray`` are those of the `Backend`.
    """

    def steps(step: Step, layout: Layout | None = None, compilation: Compilation | None = None) -> Run:
        (compilation or Compilation()).run_eagerly()

        def run(state: State, data: Data, order: NDArray[np.int64], draw: Draw) -> tuple[State, Array]:
            noises = (tree_map(asarray, draw(i)) for i in range(order.shape[0]))
            return run_steps(xp, step, state, data, asarray(order), noises)  # one transfer for the chunk

        return run

    return steps


def run_steps(
    xp: Any, step: Step, state: State, data: Data, order: Array, noises: Iterable[Noise]
) -> tuple[State, Array]:
    """The steps of a chunk, one after the other: step i takes the rows ``order[i]`` of ``data`` and the i-th noise.

    An error, in a step or while its noise is made, is a `ChunkError`, so that the steps before it are not lost.
    """
    losses: list[Array] = []
    try:
        for i, noise in enumerate(noises):
            rows = order[i, :]
            x, target, weights = (xp.take(part, rows, axis=0) for part in data)
            state, loss = step(state, Batch(x, target, weights, noise))
            losses.append(loss)
        return state, xp.stack(losses)
    except BaseException as error:
        raise ChunkError(state, len(losses)) from error
