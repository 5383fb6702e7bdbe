"""``compile`` for a device: the training step is traced and printed once for each kind of batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from mlpcore.backends.calls import Calls
from mlpcore.backends.compilation import CUDA, EAGER, ONE_KERNEL, Compilation
from mlpcore.backends.compiled.device_groups import DeviceChunk, DeviceGroup
from mlpcore.backends.compiled.noise import HostNoise, TracedNoise
from mlpcore.backends.compiled.step_cache import cached_trace, step_key
from mlpcore.backends.compiled.steps import TracedRun
from mlpcore.backends.run import ChunkError, Data, Draw, Run, StepNoise
from mlpcore.backends.state_lock import StateLock
from mlpcore.compiler.cuda.device import Device
from mlpcore.compiler.cuda.program import DeviceProgram
from mlpcore.compiler.cuda.tile_memory import NotInTiles
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
                how = (
                    "one kernel for all work by rows, printed" if compilation.asked == ONE_KERNEL else "kernels printed"
                )
                compilation.set(CUDA if allowed else EAGER, f"{how} from the step" if allowed else "compile=False")

        steps = DeviceSteps(step, compilation, device)
        return TracedRun(steps, eager(step, layout, Compilation()), compilation, decide)

    return compile_step


class DeviceSteps:
    """The traced steps of a network; ``group`` is the memory in which it trains alone."""

    def __init__(self, step: Step, compilation: Compilation, device: Device) -> None:
        self.step, self.compilation, self.device, self.lock = step, compilation, device, StateLock()
        self.group: DeviceGroup | None = None
        self.traced: dict[Any, TracedFunction] = {}
        self.source: TracedNoise | HostNoise | None = None  # of the last chunk

    def prepare(
        self, state: State, data: Data, rows: int, draw: Draw
    ) -> tuple[TracedFunction, TracedNoise | HostNoise]:
        """The traced step for batches of ``rows`` rows, and the source of its draws; `Untraceable` if there is none."""
        if self.source is None or self.source.draw is not draw:
            self.source = _source(draw, rows)
        source = self.source
        kinds = tuple((array.shape[1:], array.dtype) for array in data)
        key = (rows, kinds, type(source), *leaves(source.inputs(rows)))
        if key not in self.traced:
            self.traced[key] = self._trace(state, data, rows, source)
        return self.traced[key], source

    def _arguments(self, state: State, data: Data, rows: Dim, source: TracedNoise | HostNoise) -> tuple[Tree, ...]:
        """The abstract arguments: state, all data, row numbers, and the inputs of the draws.

        The number of rows of all data does not matter to the step; 2 stands for it.
        """
        old = tree_map(lambda leaf: AbstractArray(leaf.shape, leaf.dtype), state)
        parts = tuple(AbstractArray((2, *array.shape[1:]), array.dtype) for array in data)
        return old, parts, AbstractArray((rows,), np.dtype("int64")), source.inputs(rows)

    def _trace(self, state: State, data: Data, rows: int, source: TracedNoise | HostNoise) -> TracedFunction:
        def step(state: State, data: Data, numbers: Any, inputs: Tree) -> tuple[State, Array]:
            x, target, weights = (namespace(numbers).take(array, numbers, axis=0) for array in data)
            return self.step(state, Batch(x, target, weights, *source.drawn(inputs, numbers.shape[0])))

        configuration = step_key(self.step, source.inputs(rows))

        def trace(arguments: tuple[Tree, ...]) -> TracedFunction:
            precision, one_kernel = self.compilation.precision, self.compilation.asked == ONE_KERNEL
            # Asked for by compile=True, as captured steps are, until a device has shown that they pay.
            epilogues = self.device.fused_product is not None and self.compilation.asked is True
            program = partial(DeviceProgram, epilogues=epilogues, one_kernel=one_kernel)
            how = None if configuration is None else (CUDA, epilogues, one_kernel, precision, configuration)
            key = None if how is None else (*how, str(arguments))
            return cached_trace(key, lambda: TracedFunction(step, arguments, True, program, precision))

        try:
            try:
                return trace(self._arguments(state, data, N, source))
            except RowsNeeded:
                return trace(self._arguments(state, data, rows, source))
        except NotInTiles as error:
            raise self.compilation.not_one_kernel(error) from error

    def calls(
        self, traced: TracedFunction, state: State, data: Data, order: np.ndarray, source: TracedNoise | HostNoise
    ) -> Calls[tuple]:
        """Run a chunk of steps as in `run_eagerly`; later calls overwrite the returned state.

        What was read with the results of other networks follows in the result: see `DeviceChunk.read`.
        """
        if traced.program.source not in self.compilation.sources:
            self.compilation.sources.append(traced.program.source)
        chunk = DeviceChunk(self, traced, state, data, order, source)
        try:
            yield chunk
        except BaseException as error:
            raise ChunkError(chunk.state, chunk.done) from error
        return chunk.state, chunk.losses, *chunk.read


def _source(draw: Draw, rows: int) -> TracedNoise | HostNoise:
    """The source of the draws of steps; `Untraceable` if the host would have to make them."""
    if isinstance(draw, StepNoise):
        return TracedNoise(draw)
    source = HostNoise(draw, rows)
    if leaves(source.first):
        raise Untraceable("noise that the host draws")
    return source
