"""``compile`` for NumPy: the training step is traced once for each kind of batch; compiled chunks run in C."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpcore.backends.calls import Calls, alone
from mlpcore.backends.chunks import NOISE_BYTES, even_ranges, numbered
from mlpcore.backends.compilation import EAGER, Compilation
from mlpcore.backends.compiled.bound import aligned_zeros, bind
from mlpcore.backends.compiled.chunk_calls import ChunkCall
from mlpcore.backends.compiled.noise import HostNoise, TracedNoise
from mlpcore.backends.compiled.step_cache import cached_trace, step_key
from mlpcore.backends.run import ChunkError, Data, Draw, Run, StepNoise, run_eagerly
from mlpcore.backends.state_lock import StateLock
from mlpcore.compiler.chunk import Steps
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import Dim, N, RowsNeeded, concrete
from mlpcore.errors import BackendUnavailable, ConfigurationError
from mlpcore.signals import from_a_handler
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Array, Batch, State, Step, Tree

ROW_COUNTS = 4  # bound programs that are kept, one for each batch size: full and last batches of two fits

NoiseSource = TracedNoise | HostNoise


@dataclass
class BoundStep:
    """A traced step bound to memory for batches of one size."""

    traced: TracedFunction
    bound: Any
    largest_product: int  # in multiplications


def compiled_steps(xp: Any) -> Callable[[Step, Layout, Compilation], Run]:
    """The function ``compile(step, layout, compilation)`` of NumPy; its result is called as that of `run_eagerly`."""

    def compile_step(step: Step, layout: Layout, compilation: Compilation) -> Run:
        eager = run_eagerly(xp, np.asarray)(step)
        steps = CompiledSteps(step, compilation)

        def decide(state: State, data: Data, order: np.ndarray) -> None:
            compilation.decide(data[0].shape[0], order.shape[1], state.params.shape[-1])

        return TracedRun(steps, eager, compilation, decide)

    return compile_step


class TracedRun:
    """A `Run` that runs chunks by ``steps`` where ``decide`` allows it and the step can be traced, or by ``eager``.

    ``steps.prepare(state, data, rows, draw)`` returns the first and the last argument of ``steps.calls``.
    """

    def __init__(self, steps: Any, eager: Run, compilation: Compilation, decide: Callable[..., None]) -> None:
        self.steps, self.eager, self.compilation, self.decide = steps, eager, compilation, decide
        self.lock: StateLock = steps.lock  # of the state that compiled steps overwrite

    def __call__(self, state: State, data: Data, order: np.ndarray, draw: Draw) -> tuple[State, Array]:
        """Run the chunk."""
        return alone(self.calls(state, data, order, draw))

    def calls(self, state: State, data: Data, order: np.ndarray, draw: Draw) -> Calls[tuple]:
        """The same, with the calls of compiled code handed out.

        On a device, what was read with the results of other networks follows state and losses, see
        `mlpcore.backends.compiled.device_groups.DeviceChunk`.
        """
        self.decide(state, data, order)
        error: Exception | None = None
        if self.compilation.kind != EAGER:
            try:
                prepared, source = self.steps.prepare(state, data, order.shape[1], draw)
            except (BackendUnavailable, ConfigurationError, MemoryError):
                raise
            except Exception as raised:  # an error of the step itself is raised again by the eager run
                if from_a_handler(raised):
                    raise
                self.compilation.check_eager(raised)
                error = raised
            else:
                return (yield from self.steps.calls(prepared, state, data, order, source))
        result = self.eager(state, data, order, draw)
        if error is not None:
            self.compilation.set(EAGER, f"a step cannot be traced, for it needs {error}")
        return result


class CompiledSteps:
    """The programs of a step, and the arrays of the state, which every step overwrites."""

    def __init__(self, step: Step, compilation: Compilation) -> None:
        self.step, self.compilation, self.lock = step, compilation, StateLock()
        self.state: State | None = None
        self.bound: dict[Any, BoundStep] = {}
        self.traced: list[TracedFunction] = []
        self.empty: HostNoise | None = None  # the source of the last chunk without draws
        self.draws_traced = True  # False once a layer's draws cannot be traced

    def prepare(self, state: State, data: Data, rows: int, draw: Draw) -> tuple[BoundStep, NoiseSource]:
        """The bound step for batches of ``rows`` rows, and the source of its draws."""
        if self.state is None:
            self.state = tree_map(lambda leaf: _aligned_copy(np.asarray(leaf)), state)
        if self.draws_traced and isinstance(draw, StepNoise):
            try:
                traced = TracedNoise(draw)
                return self._prepare(data, rows, traced), traced
            except (BackendUnavailable, MemoryError):
                raise
            except Exception as error:  # a layer's draws cannot be traced: the host draws
                if from_a_handler(error):
                    raise
                self.draws_traced = False
        source = self.empty if self.empty is not None and self.empty.draw is draw else HostNoise(draw, rows)
        if source.is_empty:
            self.empty = source
        return self._prepare(data, rows, source), source

    def _prepare(self, data: Data, rows: int, source: NoiseSource) -> BoundStep:
        kinds = tuple((array.shape[1:], array.dtype) for array in data)
        key = (self.compilation.kind, rows, kinds, type(source), *leaves(source.inputs(rows)))
        if key not in self.bound:
            exact = self._arguments(data, rows, source)
            if len(self.bound) >= ROW_COUNTS:
                del self.bound[next(iter(self.bound))]
            self.bound[key] = self._bind(self._trace(data, exact, source), exact, rows)
        return self.bound[key]

    def _arguments(self, data: Data, rows: Dim, source: NoiseSource) -> tuple[Tree, ...]:
        """The abstract arguments of a step: state, batch without draws, and the inputs of the draws."""
        state = tree_map(lambda leaf: AbstractArray(leaf.shape, leaf.dtype), self.state)
        x, target, weights = (AbstractArray((rows, *array.shape[1:]), array.dtype) for array in data)
        return state, Batch(x, target, weights), source.inputs(rows)

    def _trace(self, data: Data, exact: tuple[Tree, ...], source: NoiseSource) -> TracedFunction:
        """The step traced for any number of rows, or for the actual one where it computes with that number."""
        for traced in self.traced:
            if _fits(traced.inputs, exact, exact[1].x.shape[0]):
                return traced

        def step(state: State, batch: Batch, inputs: Tree) -> tuple[State, Array]:
            return self.step(state, Batch(*batch[:3], *source.drawn(inputs, batch.x.shape[0])))

        configuration = step_key(self.step, exact[2])

        def trace(arguments: tuple[Tree, ...]) -> TracedFunction:
            key = None if configuration is None else (configuration, str(arguments))
            return cached_trace(key, lambda: TracedFunction(step, arguments, in_place=True))

        try:
            traced = trace(self._arguments(data, N, source))
        except RowsNeeded:
            traced = trace(exact)
        self.traced.append(traced)
        return traced

    def _bind(self, traced: TracedFunction, exact: tuple[Tree, ...], rows: int) -> BoundStep:
        buffers = [aligned_zeros(leaf.shape, leaf.dtype) for leaf in leaves(exact[1:])]
        bound_inputs = dict(zip(leaves(traced.inputs), [*leaves(self.state), *buffers], strict=True))
        bound = bind(traced, rows, bound_inputs, self.compilation)
        if self.compilation.compiles and traced.program.source not in self.compilation.sources:
            self.compilation.sources.append(traced.program.source)
        return BoundStep(traced, bound, traced.program.largest_product(rows))

    def calls(
        self, prepared: BoundStep, state: State, data: Data, order: np.ndarray, source: NoiseSource
    ) -> Calls[tuple[State, np.ndarray]]:
        """Run a chunk of steps as in `run_eagerly`; later calls overwrite the returned state (``self.state``)."""
        assert self.state is not None
        if state is not self.state:  # the caller has changed the state since the last chunk
            with self.lock.writing():
                for own_leaf, leaf in zip(leaves(self.state), leaves(state), strict=True):
                    if leaf is not own_leaf:
                        np.copyto(own_leaf, leaf)
        _, batch, drawn = prepared.traced.inputs
        loss = prepared.traced.result
        losses, counts = list[np.ndarray](), list[np.ndarray]()
        try:
            for steps, arrays, rows in _packed(data, order, source.bytes_per_step):
                count, columns, error = source.stacks(steps)
                draws = dict(zip(leaves(drawn), columns, strict=True)) if count else {}
                first = 0
                while first < count:
                    remaining = {node: leaf[first:] for node, leaf in draws.items()}
                    found, done = np.empty(count - first, loss.dtype), np.zeros(1, np.int64)
                    counts.append(done)
                    chunk = Steps(arrays, batch[:3], rows[first:count], remaining, loss, found, done)
                    yield ChunkCall(prepared.bound, chunk, prepared.largest_product, self.lock)
                    losses.append(found[: done[0]])
                    first += int(done[0])
                if error is not None:
                    raise error
            return self.state, np.concatenate(losses)
        except BaseException as error:  # steps of a call that was interrupted are counted in its array ``done``
            raise ChunkError(self.state, int(sum(done[0] for done in counts))) from error


def _packed(
    data: Data, order: np.ndarray, noise_bytes: int
) -> Iterator[tuple[range, Sequence[np.ndarray], np.ndarray]]:
    """Yield a range of steps, contiguous arrays with their rows, and the row numbers (steps, batch) in these arrays.

    If an array of ``data`` is not contiguous or not aligned, the rows of the range are copied. Ranges are so short that
    noise and copies take `NOISE_BYTES` at most.
    """
    scattered = [not (array.flags.c_contiguous and array.flags.aligned) for array in data]
    row_bytes = sum(
        array.dtype.itemsize * array[:1].size for array, copied in zip(data, scattered, strict=True) if copied
    )
    for start, stop in even_ranges(order.shape[0], noise_bytes + order.shape[1] * row_bytes, NOISE_BYTES):
        arrays, rows = data, order[start:stop]
        if any(scattered):
            arrays, rows = tuple(np.take(array, rows.reshape(-1), axis=0) for array in data), numbered(rows)
        yield range(start, stop), arrays, np.ascontiguousarray(rows)


def _fits(inputs: Tree, exact: Tree, rows: int) -> bool:
    """Whether a step that was traced for ``inputs`` (nodes) takes the abstract arguments ``exact``."""
    nodes, arguments = leaves(inputs), leaves(exact)
    return len(nodes) == len(arguments) and all(
        node.dtype == leaf.dtype and concrete(node.shape, rows) == leaf.shape
        for node, leaf in zip(nodes, arguments, strict=True)
    )


def _aligned_copy(array: np.ndarray) -> np.ndarray:
    copy = aligned_zeros(array.shape, array.dtype)
    copy[...] = array
    return copy
