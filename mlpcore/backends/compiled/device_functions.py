"""``jit`` for a device: a pure function of arrays is traced and printed once for its shapes, and then launched."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mlpcore.backends.compilation import Compilation
from mlpcore.backends.compiled.functions import traced_for
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.program import BoundProgram, DeviceProgram
from mlpcore.compiler.function import TracedFunction
from mlpcore.compiler.graph import known
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Tree

KEPT = 4  # programs whose memory is kept


def device_jit(device: Device) -> Callable[..., Callable[..., Tree]]:
    """``jit(function, compilation, rows)``: the arguments numbered ``rows`` have a row each in their first axis.

    What cannot be traced, or has no rows, is called as it is. Results are arrays of their own.
    """

    def jit(
        function: Callable[..., Tree], compilation: Compilation | None = None, rows: tuple[int, ...] = (-1,)
    ) -> Callable[..., Tree]:
        return DeviceFunction(function, compilation or Compilation(), rows, device)

    return jit


@dataclass(eq=False)
class DeviceFunction:
    """A function with the programs that were printed for it."""

    function: Callable[..., Tree]
    compilation: Compilation
    rows: tuple[int, ...]
    device: Device
    traced: dict[str, TracedFunction | Exception] = field(default_factory=dict)
    bound: dict[tuple[TracedFunction, int], BoundProgram] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)  # a program works in memory of its own

    def __call__(self, *arguments: Any) -> Tree:
        """The function's result."""
        count = leaves(arguments[self.rows[0]])[0].shape[:1]
        if self.compilation.asked is False or count in ((), (0,)):
            return self.function(*arguments)
        with self.lock:
            words = {"program": DeviceProgram, "precision": self.compilation.precision}
            traced = traced_for(arguments, self.rows, self.traced, self.function, **words)
            if isinstance(traced, TracedFunction):
                return self._run(traced, arguments, count[0])
            self.compilation.check_eager(traced)
            return self.function(*arguments)

    def _run(self, traced: TracedFunction, arguments: tuple, rows: int) -> Tree:
        inputs, results = leaves(traced.inputs), leaves(traced.result)
        if (traced, rows) not in self.bound:
            if len(self.bound) >= KEPT:
                del self.bound[next(iter(self.bound))]
            moving = [*inputs, *filter(traced.program.makes, results)]
            self.bound[traced, rows] = BoundProgram(traced.program, rows, {}, self.device, moving)
        bound = self.bound[traced, rows]
        moved = {node: leaf.reshape(-1) for node, leaf in zip(inputs, leaves(arguments), strict=True)}
        made = {}
        for node in dict.fromkeys(results):
            shape = known(node.shape, rows)
            made[node] = self.device.empty(math.prod(shape), node.dtype).reshape(shape)
            if traced.program.makes(node):
                moved[node] = made[node].reshape(-1)
        bound.call(moved)
        for node, array in made.items():
            if not traced.program.makes(node):
                self.device.copy(bound.output(node, moved), array)
        return tree_map(lambda node: made[node], traced.result)
