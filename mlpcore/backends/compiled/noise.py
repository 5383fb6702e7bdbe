"""The draws of compiled steps: operations of the step itself, or arrays that the host draws before the steps."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlpcore.backends.run import Draw, StepNoise
from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.draws import TracedStream
from mlpcore.compiler.function import AbstractArray
from mlpcore.compiler.graph import Dim, N, RowsNeeded, Untraceable
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Noise, Tree


@dataclass(frozen=True)
class TracedNoise:
    """Noise made by operations of the step itself; its inputs are the position of its rows and ``full_batch``."""

    draw: StepNoise
    bytes_per_step = 0

    def inputs(self, rows: Dim) -> Tree:
        """The abstract arguments of a step."""
        full_batch = tree_map(lambda leaf: AbstractArray(leaf.shape, leaf.dtype), self.draw.full_batch)
        return AbstractArray((2,), np.dtype("uint64")), full_batch

    def drawn(self, inputs: Any, rows: Dim) -> tuple[Noise, Tree]:
        """The noise of a step while it is traced, and ``full_batch``."""
        position, full_batch = inputs
        noise = self.draw.make(TracedStream(replace(self.draw.stream, step=0), position), rows)
        # Other arrays would be constants of the trace: the same noise in every step.
        if not all(isinstance(leaf, TracedArray) for leaf in leaves(noise)):
            raise Untraceable("noise that is not made from its stream")
        return noise, full_batch

    def stacks(self, steps: range) -> tuple[int, list[np.ndarray], BaseException | None]:
        """``(count, inputs, error)``: the inputs of the first ``count`` steps, stacked leaf by leaf.

        ``error`` is what the draws of the step after these have raised, or None.
        """
        positions = np.full((len(steps), 2), self.draw.first, np.uint64)
        positions[:, 0] = np.arange(steps.start, steps.stop, dtype=np.uint64) + np.uint64(self.draw.stream.step)
        full_batch = [np.repeat(leaf[None], len(steps), axis=0) for leaf in leaves(self.draw.full_batch)]
        return len(steps), [positions, *full_batch], None


class HostNoise:
    """Noise drawn on the host; its leaves are inputs of the step."""

    def __init__(self, draw: Draw, rows: int) -> None:
        self.draw, self.rows = draw, rows
        self.first = tree_map(np.asarray, draw(0))
        self.is_empty = not leaves(self.first)
        self.bytes_per_step = sum(leaf.nbytes for leaf in leaves(self.first))

    def inputs(self, rows: Dim) -> Tree:
        """The abstract arguments of a step; rows are the second last axis of a leaf.

        With a single row, an axis of rows cannot be told from another axis of length 1: `RowsNeeded`.
        """
        if self.is_empty:
            return self.first
        if rows is N and self.rows == 1:
            raise RowsNeeded("one row")

        def abstract(leaf: np.ndarray) -> AbstractArray:
            shape: list[Dim] = list(leaf.shape)
            if rows is N and leaf.ndim > 1 and leaf.shape[-2] == self.rows:
                shape[-2] = N
            return AbstractArray(tuple(shape), leaf.dtype)

        return tree_map(abstract, self.first)

    def drawn(self, inputs: Any, rows: Dim) -> tuple:
        """The draws of a step while it is traced."""
        return inputs

    def stacks(self, steps: range) -> tuple[int, list[np.ndarray], BaseException | None]:
        """As `TracedNoise.stacks`; draws may raise an error, which is returned, so that the steps before it can run."""
        if self.is_empty:
            return len(steps), [], None
        drawn: list[list[np.ndarray]] = []
        error: BaseException | None = None
        try:
            for i in steps:
                drawn.append(leaves(self.draw(i) if i else self.first))
        except BaseException as raised:
            error = raised
        return len(drawn), [np.stack(column) for column in zip(*drawn, strict=True)], error
