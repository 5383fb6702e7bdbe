"""``compile`` for NumPy: a step is traced for the first batch of a kind, and a chunk of steps runs without Python."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpcore.backends.compilation import EAGER, Compilation
from mlpcore.backends.compiled.bound import aligned, bind, blas_threads
from mlpcore.backends.compiled.kept import kept, step_key
from mlpcore.backends.compiled.noise import HostNoise, TracedNoise
from mlpcore.backends.prefetch import NOISE_BYTES
from mlpcore.backends.run import ChunkError, Run, StepNoise, run_eagerly
from mlpcore.backends.streaming import pieces
from mlpcore.compiler.chunk import Steps
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import Dim, N, RowsNeeded, known
from mlpcore.errors import BackendUnavailable
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Array, Batch, Noise, State, Step, Tree

SECONDS = 0.05  # after the first step that ends later, Python may see to signals
ROW_COUNTS = 4  # for which memory is kept: the full batch, the ragged last one, and those of a second fit

Source = TracedNoise | HostNoise


@dataclass
class BoundStep:
    """A traced step that is bound to memory for batches of one number of rows."""

    traced: TracedFunction
    bound: Any
    largest_product: int  # in multiplications


def compiled_steps(xp: Any) -> Callable[[Step, Layout, Compilation], Run]:
    """``compile(step, layout, compilation)``: the ``run`` of `run_eagerly`, compiled or as NumPy calls."""

    def compile_step(step: Step, layout: Layout, compilation: Compilation) -> Run:
        eager = run_eagerly(xp, np.asarray)(step)
        steps = CompiledSteps(step, compilation)

        def decide(state: State, data: tuple, order: np.ndarray) -> None:
            compilation.decide(data[0].shape[0], order.shape[1], state.params.shape[-1])

        return traced_or_eager(steps, eager, compilation, decide)

    return compile_step


def traced_or_eager(steps: Any, eager: Run, compilation: Compilation, decide: Callable[..., None]) -> Run:
    """The ``run`` of ``steps`` where ``decide`` says so and a step can be traced, else ``eager``.

    ``steps.prepare(state, data, rows, draw)`` gives what ``steps.run`` takes first and last.
    """

    def run(state: State, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> tuple[State, Array]:
        decide(state, data, order)
        error: Exception | None = None
        if compilation.kind != EAGER:
            try:
                prepared, source = steps.prepare(state, data, order.shape[1], draw)
            except BackendUnavailable:
                raise
            except Exception as raised:  # whatever is wrong with the step shows when it is run eagerly
                compilation.check_eager(raised)
                error = raised
            else:
                return steps.run(prepared, state, data, order, source)
        result = eager(state, data, order, draw)
        if error is not None:
            compilation.set(EAGER, f"a step cannot be traced, for it needs {error}")
        return result

    return run


class CompiledSteps:
    """The programs of a step, and the arrays that hold the state from step to step."""

    def __init__(self, step: Step, compilation: Compilation) -> None:
        self.step, self.compilation = step, compilation
        self.home: State | None = None
        self.bound: dict[Any, BoundStep] = {}
        self.traced: list[TracedFunction] = []
        self.draws_traced = True  # until a layer draws otherwise

    def prepare(self, state: State, data: tuple, rows: int, draw: Callable[[int], Noise]) -> tuple[BoundStep, Source]:
        """The step for batches of so many rows, and where its noise comes from."""
        if self.home is None:
            self.home = tree_map(lambda leaf: _in_own_memory(np.asarray(leaf)), state)
        if self.draws_traced and isinstance(draw, StepNoise):
            try:
                traced = TracedNoise(draw)
                return self._prepare(data, rows, traced), traced
            except BackendUnavailable:
                raise
            except Exception:  # the host draws for a layer that needs other draws
                self.draws_traced = False
        source = HostNoise(draw, rows)
        return self._prepare(data, rows, source), source

    def _prepare(self, data: tuple, rows: int, source: Source) -> BoundStep:
        kinds = tuple((part.shape[1:], part.dtype) for part in data)
        key = (self.compilation.kind, rows, kinds, type(source), *leaves(source.inputs(rows)))
        if key not in self.bound:
            exact = self._arguments(data, rows, source)
            if len(self.bound) >= ROW_COUNTS:
                del self.bound[next(iter(self.bound))]
            self.bound[key] = self._bind(self._trace(data, exact, source), exact, rows)
        return self.bound[key]

    def _arguments(self, data: tuple, rows: Dim, source: Source) -> tuple[Tree, ...]:
        """The abstract arguments of a step: state, batch without noise, and what the noise is made of."""
        state = tree_map(lambda leaf: AbstractArray(leaf.shape, leaf.dtype), self.home)
        x, target, weights = (AbstractArray((rows, *part.shape[1:]), part.dtype) for part in data)
        return state, Batch(x, target, weights, ()), source.inputs(rows)

    def _trace(self, data: tuple, exact: tuple[Tree, ...], source: Source) -> TracedFunction:
        """The step traced for any number of rows, where it does not compute with it."""
        for traced in self.traced:
            if _fits(traced.inputs, exact, exact[1].x.shape[0]):
                return traced

        def step(state: State, batch: Batch, inputs: Tree) -> tuple[State, Array]:
            return self.step(state, batch._replace(noise=source.noise(inputs, batch.x.shape[0])))

        configuration = step_key(self.step, exact[2])

        def trace(arguments: tuple[Tree, ...]) -> TracedFunction:
            key = None if configuration is None else (configuration, str(arguments))
            return kept(key, lambda: TracedFunction(step, arguments, in_place=True))

        try:
            traced = trace(self._arguments(data, N, source))
        except RowsNeeded:
            traced = trace(exact)
        self.traced.append(traced)
        return traced

    def _bind(self, traced: TracedFunction, exact: tuple[Tree, ...], rows: int) -> BoundStep:
        places = [aligned(leaf.shape, leaf.dtype) for leaf in leaves(exact[1:])]
        given = dict(zip(leaves(traced.inputs), [*leaves(self.home), *places], strict=True))
        bound = bind(traced, rows, given, self.compilation)
        if self.compilation.compiles and traced.program.source not in self.compilation.sources:
            self.compilation.sources.append(traced.program.source)
        return BoundStep(traced, bound, traced.program.largest_product(rows))

    def run(
        self, prepared: BoundStep, state: State, data: tuple, order: np.ndarray, source: Source
    ) -> tuple[State, np.ndarray]:
        """A chunk of steps as `run_eagerly` describes it; the new state is ``home``, which later calls write over."""
        assert self.home is not None
        for place, leaf in zip(leaves(self.home), leaves(state), strict=True):
            if leaf is not place:  # somebody else has changed the state since the last chunk
                np.copyto(place, leaf)
        _, batch, noise = prepared.traced.inputs
        loss = prepared.traced.result
        losses: list[np.ndarray] = []
        done = 0
        try:
            for steps, parts, rows in _packed(data, order, source.bytes_per_step):
                count, columns, error = source.stacks(steps)
                draws = dict(zip(leaves(noise), columns, strict=True)) if count else {}
                begin = 0
                while begin < count:
                    left = {node: leaf[begin:] for node, leaf in draws.items()}
                    with blas_threads(prepared.bound, prepared.largest_product):
                        some = prepared.bound.walk(Steps(parts, batch[:3], rows[begin:count], left, loss, SECONDS))
                    losses.append(some)
                    begin += len(some)
                    done += len(some)
                if error is not None:
                    raise error
        except BaseException as error:
            raise ChunkError(self.home, done) from error
        return self.home, np.concatenate(losses)


def _packed(
    data: tuple, order: np.ndarray, noise_bytes: int
) -> Iterator[tuple[range, Sequence[np.ndarray], np.ndarray]]:
    """Some steps at a time, the packed arrays that they take rows of, and the numbers of these rows.

    So many steps that their noise, and copies of rows that do not lie packed, are small.
    """
    scattered = [not (part.flags.c_contiguous and part.flags.aligned) for part in data]
    row_bytes = sum(part.dtype.itemsize * part[:1].size for part, apart in zip(data, scattered, strict=True) if apart)
    for start, stop in pieces(order.shape[0], noise_bytes + order.shape[1] * row_bytes, NOISE_BYTES):
        parts, rows = data, order[start:stop]
        if any(scattered):
            parts = tuple(np.take(part, rows.reshape(-1), axis=0) for part in data)
            rows = np.arange(rows.size).reshape(rows.shape)
        yield range(start, stop), parts, np.ascontiguousarray(rows)


def _fits(inputs: Tree, exact: Tree, rows: int) -> bool:
    """Whether a step that was traced for ``inputs`` (nodes) takes such arguments."""
    nodes, given = leaves(inputs), leaves(exact)
    return len(nodes) == len(given) and all(
        node.dtype == leaf.dtype and known(node.shape, rows) == leaf.shape
        for node, leaf in zip(nodes, given, strict=True)
    )


def _in_own_memory(array: np.ndarray) -> np.ndarray:
    place = aligned(array.shape, array.dtype)
    place[...] = array
    return place
