"""A traced function as NumPy calls, for machines without a C compiler."""

from time import monotonic

import numpy as np

from mlpcore.compiler.chunk import Steps
from mlpcore.compiler.graph import Node
from mlpcore.compiler.numpy_calls.memory import ArrayMemory
from mlpcore.compiler.numpy_calls.order import groups
from mlpcore.compiler.numpy_calls.printer import NumpyPrinter
from mlpcore.compiler.program import Program


class NumpyCalls:
    """A program with memory for batches of ``rows`` rows, as `Bound` is; ``given`` are the packed arrays of its inputs.

    ``source`` is the text of its function.
    """

    def __init__(self, program: Program, rows: int, given: dict[Node, np.ndarray]) -> None:
        self._memory = ArrayMemory(program, groups(program.schedule), rows, given)
        printer = NumpyPrinter(self._memory)
        self.source = printer.text()
        exec(compile(self.source, "<NumPy calls>", "exec"), printer.scope)
        self._step = printer.scope["step"]

    def call(self) -> None:
        """Compute the outputs from the inputs as they stand in their arrays."""
        with np.errstate(all="ignore"):
            self._step()

    def walk(self, steps: Steps) -> np.ndarray:
        """The losses of the steps, fewer than asked for where the time was up before."""
        losses = np.empty(len(steps.order), steps.loss.dtype)
        begin, loss, arrays = monotonic(), self.output(steps.loss), self._memory.arrays
        parts = [(part, arrays[node]) for part, node in zip(steps.data, steps.inputs, strict=True)]
        drawn = [(draw, arrays[node]) for node, draw in steps.draws.items()]
        with np.errstate(all="ignore"):
            for i, rows in enumerate(steps.order):
                for part, place in parts:
                    np.take(part, rows, 0, place, "clip")
                for draw, place in drawn:
                    np.copyto(place, draw[i])
                self._step()
                losses[i] = loss
                if monotonic() - begin > steps.seconds:
                    return losses[: i + 1]
        return losses

    def output(self, node: Node) -> np.ndarray:
        """The array of an output, as it lies."""
        return self._memory.view(self._memory.places[node], node.shape)
