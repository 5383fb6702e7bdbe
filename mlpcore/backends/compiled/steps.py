"""``compile`` for NumPy: a step is traced for the first batch of a kind, and a chunk of steps runs without Python."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpcore.backends.ahead import NOISE_BYTES
from mlpcore.backends.backend import ChunkError, Run, run_eagerly
from mlpcore.backends.compilation import EAGER, Compilation
from mlpcore.backends.compiled.bound import aligned, bind
from mlpcore.backends.streaming import pieces
from mlpcore.compiler.function import AbstractArray, TracedFunction
from mlpcore.compiler.graph import N, RowsNeeded
from mlpcore.errors import BackendUnavailable
from mlpcore.trees import Layout, leaves, tree_map
from mlpcore.typing import Array, Batch, State, Step

SECONDS = 0.05  # after the first step that ends later, Python may see to signals
ROW_COUNTS = 4  # for which memory is kept: the full batch, the ragged last one, and those of a second fit


@dataclass
class Prepared:
    """A traced step, bound to memory for batches of one number of rows."""

    traced: TracedFunction
    bound: Any


def compiled_steps(xp: Any) -> Callable[[Step, Layout, Compilation], Run]:
    """``compile(step, layout, compilation)``: the ``run`` of `run_eagerly`, compiled or as NumPy calls."""

    def compile_step(step: Step, layout: Layout, compilation: Compilation) -> Run:
        eager = run_eagerly(xp, np.asarray)(step)
        steps = CompiledSteps(step, compilation)

        def run(state: State, data: tuple, order: np.ndarray, draw: Callable[[int], Any]) -> tuple[State, Array]:
            compilation.decide(data[0].shape[0], order.shape[1], state.params.shape[-1])
            error: Exception | None = None
            if compilation.kind != EAGER:
                first = tree_map(np.asarray, draw(0))
                try:
                    prepared = steps.prepare(state, _batch(data, order.shape[1], first))
                except BackendUnavailable:
                    raise
                except Exception as raised:  # whatever is wrong with the step shows when it is run eagerly
                    error = raised
                else:
                    return steps.run(prepared, state, data, order, lambda i: draw(i) if i else first)
            result = eager(state, data, order, draw)
            if error is not None:
                compilation.set(EAGER, f"a step cannot be traced, for it needs {error}")
            return result

        return run

    return compile_step


class CompiledSteps:
    """The programs of a step, and the arrays that hold the state from step to step."""

    def __init__(self, step: Step, compilation: Compilation) -> None:
        self.step, self.compilation = step, compilation
        self.home: State | None = None
        self.traced: list[TracedFunction] = []
        self.prepared: dict[Any, Prepared] = {}

    def prepare(self, state: State, batch: Batch) -> Prepared:
        """The step for batches like this one, whose leaves are read for shape and dtype alone."""
        if self.home is None:
            self.home = tree_map(lambda leaf: _in_own_memory(np.asarray(leaf)), state)
        key = (self.compilation.kind, str(tree_map(lambda leaf: (leaf.shape, leaf.dtype), batch)))
        if key not in self.prepared:
            if len(self.prepared) >= ROW_COUNTS:
                del self.prepared[next(iter(self.prepared))]
            self.prepared[key] = self._bind(self._trace(batch), batch)
        return self.prepared[key]

    def _trace(self, batch: Batch) -> TracedFunction:
        """The step traced for any number of rows, where it does not compute with it."""
        rows = batch.x.shape[0]
        for traced in self.traced:
            if _fits(traced.inputs[1], batch, rows):
                return traced
        state = tree_map(lambda leaf: AbstractArray(leaf.shape, leaf.dtype), self.home)
        exact = tree_map(lambda leaf: AbstractArray(leaf.shape, leaf.dtype), batch)
        try:
            traced = TracedFunction(self.step, (state, _any_rows(batch, rows)), in_place=True)
        except RowsNeeded:
            traced = TracedFunction(self.step, (state, exact), in_place=True)
        self.traced.append(traced)
        self.compilation.sources.append(traced.program.source)
        return traced

    def _bind(self, traced: TracedFunction, batch: Batch) -> Prepared:
        places = tree_map(lambda leaf: aligned(leaf.shape, leaf.dtype), batch)
        given = dict(zip(leaves(traced.inputs), [*leaves(self.home), *leaves(places)], strict=True))
        return Prepared(traced, bind(traced, batch.x.shape[0], given, self.compilation))

    def run(
        self, prepared: Prepared, state: State, data: tuple, order: np.ndarray, draw: Callable[[int], Any]
    ) -> tuple[State, np.ndarray]:
        """A chunk of steps as `run_eagerly` describes it; the new state is ``home``, which later calls write over."""
        assert self.home is not None
        for place, leaf in zip(leaves(self.home), leaves(state), strict=True):
            if leaf is not place:  # somebody else has changed the state since the last chunk
                np.copyto(place, leaf)
        inputs: Batch = prepared.traced.inputs[1]
        losses: list[np.ndarray] = []
        done = 0
        try:
            for steps, rows in _packed(data, order, sum(leaf.nbytes for leaf in leaves(draw(0)))):
                nodes = leaves(inputs.noise)
                drawn = [leaves(draw(i)) for i in steps] if nodes else []
                draws = dict(zip(nodes, map(np.stack, zip(*drawn, strict=True)), strict=True))
                begin = 0
                while begin < len(steps):
                    left = {node: leaf[begin:] for node, leaf in draws.items()}
                    some = prepared.bound.walk(
                        *(rows.data, inputs[:3], rows.order[begin:], left, prepared.traced.result, SECONDS)
                    )
                    losses.append(some)
                    begin += len(some)
                    done += len(some)
        except BaseException as error:
            raise ChunkError(self.home, done) from error
        return self.home, np.concatenate(losses)


@dataclass
class Rows:
    """Packed arrays (x, target, weights), and the rows of them that each step takes."""

    data: list[np.ndarray]
    order: np.ndarray


def _packed(data: tuple, order: np.ndarray, noise_bytes: int) -> Iterator[tuple[range, Rows]]:
    """The steps some at a time, so many that their noise, and copies of rows that do not lie packed, are small."""
    scattered = [not (part.flags.c_contiguous and part.flags.aligned) for part in data]
    row_bytes = sum(part.dtype.itemsize * part[:1].size for part, apart in zip(data, scattered, strict=True) if apart)
    for start, stop in pieces(order.shape[0], noise_bytes + order.shape[1] * row_bytes, NOISE_BYTES):
        some = order[start:stop]
        if any(scattered):
            taken = some.reshape(-1)
            yield (
                range(start, stop),
                Rows([np.take(part, taken, axis=0) for part in data], np.arange(taken.size).reshape(some.shape)),
            )
        else:
            yield range(start, stop), Rows(list(data), np.ascontiguousarray(some))


def _batch(data: tuple, rows: int, noise: Any) -> Batch:
    """A batch of that many rows, to be asked for shapes and dtypes."""
    x, target, weights = (np.broadcast_to(part[:1], (rows, *part.shape[1:])) for part in data)
    return Batch(x, target, weights, tree_map(np.asarray, noise))


def _any_rows(batch: Batch, rows: int) -> Batch:
    """The batch with ``N`` for the number of rows; noise carries the rows in its last axis but one.

    With a single row it cannot be told which axes of the noise are as long as there are rows: `RowsNeeded`.
    """
    if rows == 1 and leaves(batch.noise):
        raise RowsNeeded("one row")

    def noise(leaf: np.ndarray) -> AbstractArray:
        shape: list[Any] = list(leaf.shape)
        if leaf.ndim > 1 and shape[-2] == rows:
            shape[-2] = N
        return AbstractArray(tuple(shape), leaf.dtype)

    def rows_first(leaf: np.ndarray) -> AbstractArray:
        return AbstractArray((N, *leaf.shape[1:]), leaf.dtype)

    x, target, weights = map(rows_first, batch[:3])
    return Batch(x, target, weights, tree_map(noise, batch.noise))


def _fits(inputs: Batch, batch: Batch, rows: int) -> bool:
    """Whether a step that was traced for ``inputs`` (nodes) takes such a batch."""
    nodes, given = leaves(inputs), leaves(batch)
    return len(nodes) == len(given) and all(
        node.dtype == leaf.dtype and tuple(rows if dim is N else dim for dim in node.shape) == leaf.shape
        for node, leaf in zip(nodes, given, strict=True)
    )


def _in_own_memory(array: np.ndarray) -> np.ndarray:
    place = aligned(array.shape, array.dtype)
    place[...] = array
    return place
