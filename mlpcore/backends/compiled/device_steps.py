"""``compile`` for a device: a step is traced and printed for the first batch of a kind, and then launched."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mlpcore.backends.compilation import CUDA, EAGER, Compilation
from mlpcore.backends.compiled.kept import kept, step_key
from mlpcore.backends.compiled.noise import HostNoise, TracedNoise
from mlpcore.backends.compiled.steps import ROW_COUNTS, traced_or_eager
from mlpcore.backends.run import ChunkError, Run, StepNoise
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.program import BoundProgram, DeviceProgram
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import Dim, N, RowsNeeded, Untraceable
from mlpcore.errors import ConfigurationError
from mlpcore.namespace import namespace
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Array, Batch, State, Step, Tree


def device_steps(eager: Callable[..., Run], device: Device) -> Callable[..., Run]:
    """``compile(step, layout, compilation)``: the ``run`` of `run_eagerly`, as kernels and products where the step can
    be traced, else ``eager``."""

    def compile_step(step: Step, layout: Layout, compilation: Compilation) -> Run:
        if compilation.asked is False and compilation.precision != "highest":
            raise ConfigurationError(
                f"compile=False: precision is {compilation.precision!r}, which is for compiled steps; leave out compile"
            )

        def decide(*_: Any) -> None:
            if compilation.kind not in (CUDA, EAGER):
                asked = compilation.asked is not False
                compilation.set(CUDA if asked else EAGER, "kernels printed from the step" if asked else "compile=False")

        steps = DeviceSteps(step, compilation, device)
        return traced_or_eager(steps, eager(step, layout, Compilation()), compilation, decide)

    return compile_step


class DeviceSteps:
    """The programs of a step, and the arrays that hold the state from step to step."""

    def __init__(self, step: Step, compilation: Compilation, device: Device) -> None:
        self.step, self.compilation, self.device = step, compilation, device
        self.home: State | None = None
        self.traced: dict[Any, TracedFunction] = {}
        self.bound: dict[tuple[TracedFunction, int], BoundProgram] = {}

    def prepare(
        self, state: State, data: tuple, rows: int, draw: Callable[[int], Any]
    ) -> tuple[TracedFunction, TracedNoise | HostNoise]:
        """The step for batches of so many rows, and where its noise comes from; `Untraceable` where there is none."""
        if self.home is None:
            self.home = tree_map(lambda leaf: namespace(leaf).asarray(leaf, copy=True), state)
        source = _source(draw, rows)
        kinds = tuple((part.shape[1:], part.dtype) for part in data)
        key = (rows, kinds, type(source), *leaves(source.inputs(rows)))
        if key not in self.traced:
            self.traced[key] = self._trace(data, rows, source)
        return self.traced[key], source

    def _arguments(self, data: tuple, rows: Dim, source: TracedNoise | HostNoise) -> tuple[Tree, ...]:
        """The abstract arguments: state, the whole data, of which the distance of rows alone counts, numbers of rows,
        and what the noise is made of."""
        state = tree_map(lambda leaf: AbstractArray(leaf.shape, leaf.dtype), self.home)
        parts = tuple(AbstractArray((2, *part.shape[1:]), part.dtype) for part in data)
        return state, parts, AbstractArray((rows,), np.dtype("int64")), source.inputs(rows)

    def _trace(self, data: tuple, rows: int, source: TracedNoise | HostNoise) -> TracedFunction:
        def step(state: State, data: tuple, numbers: Any, inputs: Tree) -> tuple[State, Array]:
            x, target, weights = (namespace(numbers).take(part, numbers, axis=0) for part in data)
            return self.step(state, Batch(x, target, weights, source.noise(inputs, numbers.shape[0])))

        configuration = step_key(self.step, source.inputs(rows))

        def trace(arguments: tuple[Tree, ...]) -> TracedFunction:
            precision = self.compilation.precision
            key = None if configuration is None else (CUDA, precision, configuration, str(arguments))
            return kept(key, lambda: TracedFunction(step, arguments, True, DeviceProgram, precision))

        try:
            return trace(self._arguments(data, N, source))
        except RowsNeeded:
            return trace(self._arguments(data, rows, source))

    def _bound(self, traced: TracedFunction, rows: int) -> BoundProgram:
        if (traced, rows) not in self.bound:
            if len(self.bound) >= ROW_COUNTS:
                del self.bound[next(iter(self.bound))]
            self.bound[traced, rows] = self._bind(traced, rows)
        return self.bound[traced, rows]

    def _bind(self, traced: TracedFunction, rows: int) -> BoundProgram:
        state, data, numbers, noise = traced.inputs
        given = {node: leaf.reshape(-1) for node, leaf in zip(leaves(state), leaves(self.home), strict=True)}
        moving = [*leaves(data), numbers, *leaves(noise), *filter(traced.program.makes, [traced.result])]
        if traced.program.source not in self.compilation.sources:
            self.compilation.sources.append(traced.program.source)
        return BoundProgram(traced.program, rows, given, self.device, moving)

    def run(
        self, traced: TracedFunction, state: State, data: tuple, order: np.ndarray, source: TracedNoise | HostNoise
    ) -> tuple[State, Array]:
        """A chunk of steps as `run_eagerly` describes it; the new state is ``home``, which later calls write over."""
        assert self.home is not None
        for place, leaf in zip(leaves(self.home), leaves(state), strict=True):
            if leaf is not place:  # somebody else has changed the state since the last chunk
                self.device.copy(leaf, place)
        bound = self._bound(traced, order.shape[1])
        _, nodes, numbers, noise = traced.inputs
        result: Any = traced.result
        steps, rows = order.shape
        put = self.device.put
        moved = {node: part.reshape(-1) for node, part in zip(nodes, data, strict=True)}
        every = put(np.ascontiguousarray(order, np.int64).reshape(-1))
        _, columns, _ = source.stacks(range(steps))
        draws = [(node, put(column.reshape(-1)), column[0].size)
                 for node, column in zip(leaves(noise), columns, strict=True)]  # fmt: skip
        count = max(1, int(np.prod(result.shape, dtype=int)))
        losses, moves = self.device.empty(steps * count, result.dtype), traced.program.makes(result)
        done = 0
        try:
            for i in range(steps):
                moved[numbers] = every[i * rows : (i + 1) * rows]
                for node, column, length in draws:
                    moved[node] = column[i * length : (i + 1) * length]
                loss = losses[i * count : (i + 1) * count]
                if moves:
                    moved[result] = loss
                bound.call(moved)
                if not moves:
                    self.device.copy(bound.output(result).reshape(-1), loss)
                done += 1
        except BaseException as error:
            raise ChunkError(self.home, done) from error
        return self.home, losses.reshape((steps, *result.shape))


def _source(draw: Callable[[int], Any], rows: int) -> TracedNoise | HostNoise:
    """Where the noise of steps comes from; `Untraceable` where the host would have to draw it."""
    if isinstance(draw, StepNoise):
        return TracedNoise(draw)
    source = HostNoise(draw, rows)
    if leaves(source.first):
        raise Untraceable("noise that the host draws")
    return source
