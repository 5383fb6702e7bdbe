"""Runs a traced function as NumPy calls, for machines without a C compiler."""

from time import monotonic

import numpy as np

from mlpcore.compiler.chunk import Steps
from mlpcore.compiler.graph import Node
from mlpcore.compiler.numpy_calls.groups import groups
from mlpcore.compiler.numpy_calls.memory import ArrayMemory
from mlpcore.compiler.numpy_calls.printer import NumpyPrinter
from mlpcore.compiler.program import Program


class NumpyCalls:
    """A program as NumPy calls, with memory for batches of ``rows`` rows and the interface of `BoundProgram`.

    ``inputs`` are the packed arrays of its inputs. ``source`` is the text of its function.
    """

    def __init__(self, program: Program, rows: int, inputs: dict[Node, np.ndarray]) -> None:
        self._memory = ArrayMemory(program, groups(program.schedule), rows, inputs)
        printer = NumpyPrinter(self._memory)
        self.source = printer.text()
        exec(compile(self.source, "<NumPy calls>", "exec"), printer.scope)
        self._step = printer.scope["step"]

    def call(self) -> None:
        """Compute the outputs from the input arrays."""
        with np.errstate(all="ignore"):
            self._step()

    def run_steps(self, steps: Steps) -> np.ndarray:
        """Run the steps; returns their losses, fewer than there are steps if the time was up before."""
        losses = np.empty(len(steps.order), steps.loss.dtype)
        start, loss, arrays = monotonic(), self.output(steps.loss), self._memory.arrays
        batches = [(array, arrays[node]) for array, node in zip(steps.data, steps.inputs, strict=True)]
        drawn = [(draw, arrays[node]) for node, draw in steps.draws.items()]
        with np.errstate(all="ignore"):
            for i, rows in enumerate(steps.order):
                for array, place in batches:
                    np.take(array, rows, 0, place, "clip")
                for draw, place in drawn:
                    np.copyto(place, draw[i])
                self._step()
                losses[i] = loss
                if monotonic() - start > steps.seconds:
                    return losses[: i + 1]
        return losses

    def output(self, node: Node) -> np.ndarray:
        """A view of an output."""
        return self._memory.view(self._memory.places[node], node.shape)
