"""``jit`` for a device: a pure function of arrays is traced and printed once for its shapes."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mlpcore.backends.compilation import Compilation
from mlpcore.backends.compiled.functions import traced_for
from mlpcore.compiler.cuda.bound import BoundDeviceProgram
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.function import TracedFunction
from mlpcore.compiler.graph import concrete
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Tree

MAX_PROGRAMS = 4  # bound programs of a function; the oldest is dropped


def device_jit(device: Device) -> Callable[..., Callable[..., Tree]]:
    """The function ``jit(function, compilation, rows)``; ``rows`` numbers the arguments whose first axis is rows.

    A function that cannot be traced, or a call without rows, runs eagerly. Results are new arrays.
    """

    def jit(
        function: Callable[..., Tree], compilation: Compilation | None = None, rows: tuple[int, ...] = (-1,)
    ) -> Callable[..., Tree]:
        return DeviceFunction(function, compilation or Compilation(), rows, device)

    return jit


@dataclass(eq=False)
class DeviceFunction:
    """A function, with its traces by shapes of arguments, and its bound programs by trace and number of rows."""

    function: Callable[..., Tree]
    compilation: Compilation
    rows: tuple[int, ...]
    device: Device
    traced: dict[str, TracedFunction | Exception] = field(default_factory=dict)
    bound: dict[tuple[TracedFunction, int], BoundDeviceProgram] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)  # a bound program serves one call at a time

    def __call__(self, *arguments: Any) -> Tree:
        """The result of the function."""
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
            if len(self.bound) >= MAX_PROGRAMS:
                del self.bound[next(iter(self.bound))]
            moving = [*inputs, *filter(traced.program.makes, results)]
            self.bound[traced, rows] = BoundDeviceProgram(traced.program, rows, {}, self.device, moving)
        bound = self.bound[traced, rows]
        moved = {node: leaf.reshape(-1) for node, leaf in zip(inputs, leaves(arguments), strict=True)}
        outputs = {}
        for node in dict.fromkeys(results):
            shape = concrete(node.shape, rows)
            outputs[node] = self.device.empty(math.prod(shape), node.dtype).reshape(shape)
            if traced.program.makes(node):
                moved[node] = outputs[node].reshape(-1)
        bound.call(moved)
        for node, array in outputs.items():
            if not traced.program.makes(node):
                self.device.copy(bound.output(node, moved), array)
        return tree_map(lambda node: outputs[node], traced.result)
