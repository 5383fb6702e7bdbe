"""``compile`` for a device: the training step is traced and printed once for each kind of batch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.backends.compilation import CUDA, EAGER, Compilation
from mlpcore.backends.compiled.noise import HostNoise, TracedNoise
from mlpcore.backends.compiled.step_cache import cached_trace, step_key
from mlpcore.backends.compiled.steps import ROW_COUNTS, traced_or_eager
from mlpcore.backends.run import Data, Draw, Progress, Run, StepNoise, collect
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.program import BoundDeviceProgram, DeviceProgram
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import Dim, N, RowsNeeded, Untraceable
from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Array, Batch, State, Step, Tree


def device_steps(eager: Callable[..., Run], device: Device) -> Callable[..., Run]:
    """The function ``compile(step, layout, compilation)`` of a device. Its result is called as that of `run_eagerly`;
    a step that cannot be traced runs by ``eager``."""

    def compile_step(step: Step, layout: Layout, compilation: Compilation) -> Run:
        if compilation.asked is False and compilation.precision != "highest":
            raise ConfigurationError(
                f"compile=False: precision is {compilation.precision!r}, which is for compiled steps; leave out compile"
            )

        def decide(*_: Any) -> None:
            if compilation.kind not in (CUDA, EAGER):
                allowed = compilation.asked is not False
                compilation.set(
                    CUDA if allowed else EAGER, "kernels printed from the step" if allowed else "compile=False"
                )

        steps = DeviceSteps(step, compilation, device)
        return traced_or_eager(steps, eager(step, layout, Compilation()), compilation, decide)

    return compile_step


class DeviceSteps:
    """The programs of a step, and the arrays of the state, which every step overwrites."""

    def __init__(self, step: Step, compilation: Compilation, device: Device) -> None:
        self.step, self.compilation, self.device = step, compilation, device
        self.state: State | None = None
        self.traced: dict[Any, TracedFunction] = {}
        self.bound: dict[tuple[TracedFunction, int], BoundDeviceProgram] = {}

    def prepare(
        self, state: State, data: Data, rows: int, draw: Draw
    ) -> tuple[TracedFunction, TracedNoise | HostNoise]:
        """The traced step for batches of ``rows`` rows, and the source of its draws; `Untraceable` if there is none."""
        if self.state is None:
            self.state = tree_map(lambda leaf: namespace(leaf).asarray(leaf, copy=True), state)
        source = _source(draw, rows)
        kinds = tuple((array.shape[1:], array.dtype) for array in data)
        key = (rows, kinds, type(source), *leaves(source.inputs(rows)))
        if key not in self.traced:
            self.traced[key] = self._trace(data, rows, source)
        return self.traced[key], source

    def _arguments(self, data: Data, rows: Dim, source: TracedNoise | HostNoise) -> tuple[Tree, ...]:
        """The abstract arguments: state, all data, row numbers, and the inputs of the draws.

        The number of rows of all data does not matter to the step; 2 stands for it.
        """
        state = tree_map(lambda leaf: AbstractArray(leaf.shape, leaf.dtype), self.state)
        parts = tuple(AbstractArray((2, *array.shape[1:]), array.dtype) for array in data)
        return state, parts, AbstractArray((rows,), np.dtype("int64")), source.inputs(rows)

    def _trace(self, data: Data, rows: int, source: TracedNoise | HostNoise) -> TracedFunction:
        def step(state: State, data: Data, numbers: Any, inputs: Tree) -> tuple[State, Array]:
            x, target, weights = (namespace(numbers).take(array, numbers, axis=0) for array in data)
            return self.step(state, Batch(x, target, weights, *source.drawn(inputs, numbers.shape[0])))

        configuration = step_key(self.step, source.inputs(rows))

        def trace(arguments: tuple[Tree, ...]) -> TracedFunction:
            precision = self.compilation.precision
            key = None if configuration is None else (CUDA, precision, configuration, str(arguments))
            return cached_trace(key, lambda: TracedFunction(step, arguments, True, DeviceProgram, precision))

        try:
            return trace(self._arguments(data, N, source))
        except RowsNeeded:
            return trace(self._arguments(data, rows, source))

    def _bound(self, traced: TracedFunction, rows: int) -> BoundDeviceProgram:
        if (traced, rows) not in self.bound:
            if len(self.bound) >= ROW_COUNTS:
                del self.bound[next(iter(self.bound))]
            self.bound[traced, rows] = self._bind(traced, rows)
        return self.bound[traced, rows]

    def _bind(self, traced: TracedFunction, rows: int) -> BoundDeviceProgram:
        state, data, numbers, drawn = traced.inputs
        inputs = {node: leaf.reshape(-1) for node, leaf in zip(leaves(state), leaves(self.state), strict=True)}
        moving = [*leaves(data), numbers, *leaves(drawn), *filter(traced.program.makes, [traced.result])]
        if traced.program.source not in self.compilation.sources:
            self.compilation.sources.append(traced.program.source)
        return BoundDeviceProgram(traced.program, rows, inputs, self.device, moving)

    def run(
        self, traced: TracedFunction, state: State, data: Data, order: np.ndarray, source: TracedNoise | HostNoise
    ) -> tuple[State, Array]:
        """Run a chunk of steps as in `run_eagerly`; later calls overwrite the returned state (``self.state``)."""
        assert self.state is not None
        for own_leaf, leaf in zip(leaves(self.state), leaves(state), strict=True):
            if leaf is not own_leaf:  # the caller has changed the state since the last chunk
                self.device.copy(leaf, own_leaf)
        bound = self._bound(traced, order.shape[1])
        _, nodes, numbers, drawn = traced.inputs
        result: Any = traced.result
        steps, rows = order.shape
        put = self.device.put
        moved = {node: array.reshape(-1) for node, array in zip(nodes, data, strict=True)}
        row_numbers = put(np.ascontiguousarray(order, np.int64).reshape(-1))
        _, columns, _ = source.stacks(range(steps))
        draws = [(node, put(column.reshape(-1)), column[0].size)
                 for node, column in zip(leaves(drawn), columns, strict=True)]  # fmt: skip
        count = max(1, int(np.prod(result.shape, dtype=int)))
        losses, written_in_place = self.device.empty(steps * count, result.dtype), traced.program.makes(result)

        def progress(state: State) -> Progress:
            for i in range(steps):
                moved[numbers] = row_numbers[i * rows : (i + 1) * rows]
                for node, column, length in draws:
                    moved[node] = column[i * length : (i + 1) * length]
                loss = losses[i * count : (i + 1) * count]
                if written_in_place:
                    moved[result] = loss
                bound.call(moved)
                if not written_in_place:
                    self.device.copy(bound.output(result).reshape(-1), loss)
                yield state, loss, 1

        return collect(self.state, progress(self.state), lambda _: losses.reshape((steps, *result.shape)))


def _source(draw: Draw, rows: int) -> TracedNoise | HostNoise:
    """The source of the draws of steps; `Untraceable` if the host would have to make them."""
    if isinstance(draw, StepNoise):
        return TracedNoise(draw)
    source = HostNoise(draw, rows)
    if leaves(source.first):
        raise Untraceable("noise that the host draws")
    return source
