"""The noise of compiled steps: operations of the step itself, or arrays that the host draws before the steps."""

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
    """Noise as operations of the step; its inputs are the number of the step and the noise's full-batch array."""

    draws: StepNoise
    bytes_per_step = 0

    def inputs(self, rows: Dim) -> Tree:
        """The abstract arguments of a step."""
        full = self.draws.full
        return AbstractArray((1,), np.dtype("uint64")), () if full is None else AbstractArray(full.shape, full.dtype)

    def noise(self, inputs: Any, rows: Dim) -> Noise:
        """The noise of a step while it is traced."""
        number, full = inputs
        stream = TracedStream(replace(self.draws.stream, step=0), number)
        noise = self.draws.make(stream, rows, None if isinstance(full, tuple) else full)
        if not all(isinstance(leaf, TracedArray) for leaf in leaves(noise)):  # it would be the same in every step
            raise Untraceable("noise that is not made from its stream")
        return noise

    def stacks(self, steps: range) -> tuple[int, list[np.ndarray], BaseException | None]:
        """The number of steps that have noise, their arguments stacked leaf by leaf, and the error that followed."""
        numbers = np.arange(steps.start, steps.stop, dtype=np.uint64) + np.uint64(self.draws.stream.step)
        full = self.draws.full
        columns = [numbers[:, None], *([] if full is None else [np.repeat(full[None], len(steps), axis=0)])]
        return len(steps), columns, None


class HostNoise:
    """Noise that the host draws; its leaves are inputs of the step."""

    def __init__(self, draw: Draw, rows: int) -> None:
        self.draw, self.rows = draw, rows
        self.first = tree_map(np.asarray, draw(0))
        self.bytes_per_step = sum(leaf.nbytes for leaf in leaves(self.first))

    def inputs(self, rows: Dim) -> Tree:
        """The abstract arguments of a step; rows are the last axis but one of a leaf.

        With a single row, an axis of rows cannot be told from another axis of length 1: `RowsNeeded`.
        """
        if rows is N and self.rows == 1 and leaves(self.first):
            raise RowsNeeded("one row")

        def abstract(leaf: np.ndarray) -> AbstractArray:
            shape: list[Dim] = list(leaf.shape)
            if rows is N and leaf.ndim > 1 and leaf.shape[-2] == self.rows:
                shape[-2] = N
            return AbstractArray(tuple(shape), leaf.dtype)

        return tree_map(abstract, self.first)

    def noise(self, inputs: Any, rows: Dim) -> Noise:
        """The noise of a step while it is traced."""
        return inputs

    def stacks(self, steps: range) -> tuple[int, list[np.ndarray], BaseException | None]:
        """As `TracedNoise.stacks`; steps before the one whose noise raises an error are run first."""
        if not leaves(self.first):
            return len(steps), [], None
        drawn: list[list[np.ndarray]] = []
        error: BaseException | None = None
        try:
            for i in steps:
                drawn.append(leaves(self.draw(i) if i else self.first))
        except BaseException as raised:
            error = raised
        return len(drawn), [np.stack(column) for column in zip(*drawn, strict=True)], error
