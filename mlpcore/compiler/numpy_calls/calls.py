"""Runs a traced function as NumPy calls, for machines without a C compiler."""

import math
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
        try:
            exec(compile(self.source, "<NumPy calls>", "exec"), printer.scope)
        except SystemError as error:  # with which Python's compiler ends where it gets no memory
            raise MemoryError("Python's compiler has found no memory") from error
        self._step = printer.scope["step"]
        self._state = [inputs[old] for _, old in program.replaced]  # overwritten by a step

    def call(self) -> None:
        """Compute the outputs from the input arrays."""
        with np.errstate(all="ignore"):
            self._step()

    def run_steps(self, steps: Steps, until: float = math.inf) -> None:
        """Run the steps; after the first that ends later than ``until`` (`time.monotonic`), no other begins."""
        before = [array.copy() for array in self._state]
        try:
            self._run(steps, until)
        except BaseException:  # a step may have written a part of its state
            self._repeat(steps, before)
            raise

    def _repeat(self, steps: Steps, before: list[np.ndarray]) -> None:
        """Compute the completed steps again from the state before the chunk; if that fails too, restore that state."""
        completed = steps.order[: steps.done[0]]
        try:
            self._restore(before)
            self._run(steps._replace(order=completed), math.inf)
        except BaseException:
            self._restore(before)
            steps.done[0] = 0

    def _restore(self, before: list[np.ndarray]) -> None:
        for array, old in zip(self._state, before, strict=True):
            np.copyto(array, old)

    def _run(self, steps: Steps, until: float) -> None:
        loss, arrays = self.output(steps.loss), self._memory.arrays
        batches = [(array, arrays[node]) for array, node in zip(steps.data, steps.inputs, strict=True)]
        drawn = [(draw, arrays[node]) for node, draw in steps.draws.items()]
        with np.errstate(all="ignore"):
            for i, rows in enumerate(steps.order):
                for array, target in batches:
                    np.take(array, rows, 0, target, "clip")
                for draw, target in drawn:
                    np.copyto(target, draw[i])
                self._step()
                steps.losses[i] = loss
                steps.done[0] = i + 1
                if monotonic() > until:
                    return

    def output(self, node: Node) -> np.ndarray:
        """A view of an output."""
        return self._memory.view(self._memory.places[node], node.shape)
