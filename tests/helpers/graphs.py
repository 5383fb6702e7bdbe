"""Random functions over the Array API, and whether what is compiled of many of them is what NumPy computes."""

import random
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import array_api_compat.numpy as host
import instructions as do
import numpy as np
import rearrangements as move
from compiled import bind, program_of

from mlpcore.compiler.graph import N, Node, Untraceable, same_shape
from mlpcore.compiler.tiling import DEFAULT, Tiling
from mlpcore.compiler.trace import Tracer

SHAPES = [
    [(N, 5), (N,), (N, 1), (5,), (1, 5), ()],
    [(3, N, 4), (N, 4), (3, 1, 4), (3, 4, 6), (4,), (N, 1)],
    [(N, 20), (20,), (N, 33), (20, 33), (33,)],
    [(7,), (1,), (7, 3), (3, 7)],
    [(N, 2, 6), (N, 12), (6,), (N,), (12, 12)],
]
KINDS = {
    do.one: 6, do.two: 6, do.logic: 1, do.many: 3, do.choice: 2, do.product: 1,
    move.view: 3, move.join: 2, move.take: 1, move.fill: 1,
}  # fmt: skip
LARGEST = 20_000  # entries of an array
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.0, 1e30, 1e-30)
REFUSED = (Untraceable, ValueError, IndexError)  # what stands in the way of an instruction


class Instruction(NamedTuple):
    """Make an array of two earlier ones, which are named by their shares of the number of those that there are."""

    make: do.Make
    first: float
    second: float
    seed: int

    def follow(self, xp: Any, values: Sequence[Any]) -> Any:
        """The array, or None."""
        x, y = values[int(self.first * len(values))], values[int(self.second * len(values))]
        return self.make(xp, x, y, random.Random(self.seed))


class RandomGraph(NamedTuple):
    """A function of ``arrays``. ``outputs`` and ``replaced`` (pairs of a value and the argument over which it is to be
    written) are places in the list of arguments and what the instructions make of them."""

    seed: int
    shapes: list[tuple]
    arrays: list[np.ndarray]
    todo: list[Instruction]
    outputs: list[int]
    replaced: list[tuple[int, int]]
    single: bool  # a value has single precision
    refusals: list[str]

    def run(self, xp: Any, given: Iterable[Any]) -> list[Any]:
        """The arguments and all that the instructions make."""
        values = list(given)
        for instruction in self.todo:
            values.append(instruction.follow(xp, values))
        return values


def random_graph(seed: int, rows: int) -> RandomGraph:
    """A function for arrays of so many rows; half of them are traced for any number of rows."""
    draws = random.Random(seed)
    shapes = list(draws.choice(SHAPES))
    arrays = [_array(tuple(rows if dim is N else dim for dim in shape), draws) for shape in shapes]
    if not rows or draws.random() < 0.4:
        shapes = [array.shape for array in arrays]
    tracer, values, todo, refusals = Tracer(), list(arrays), [], []
    traced: list[Any] = [tracer.input(shape, array.dtype) for shape, array in zip(shapes, arrays, strict=True)]
    for _ in range(draws.randint(3, 16)):
        (make,) = draws.choices(list(KINDS), KINDS.values())
        instruction = Instruction(make, draws.random(), draws.random(), draws.randrange(10**6))
        try:
            symbol = instruction.follow(tracer, traced)
            with np.errstate(all="ignore"):
                value = instruction.follow(host, values)
        except REFUSED as error:
            refusals.append(f"{type(error).__name__}: {error}")
            continue
        if symbol is None or value is None or value.ndim > 4 or value.size > LARGEST:
            continue
        if sum(dim is N for dim in symbol.shape) > 1:  # traced for a known number of rows only
            continue
        known = tuple(rows if dim is N else dim for dim in symbol.shape)
        assert (known, symbol.dtype) == (value.shape, value.dtype), f"seed {seed}: {symbol.node} is {value.dtype}"
        todo.append(instruction)
        traced.append(symbol)
        values.append(value)
    made = range(len(arrays), len(values))
    replaced = []
    for old, one in enumerate(traced[: len(arrays)] if draws.random() < 0.5 else []):
        new = [i for i in made if traced[i].dtype == one.dtype and same_shape(traced[i].shape, one.shape)]
        replaced += [(draws.choice(new), old)] if new else []
    # A view of what is written over is no output: it would show the new values.
    over = {traced[old].node for _, old in replaced}
    outputs = [i for i in made if draws.random() < 0.4 or (i == len(values) - 1 and not replaced)]
    outputs = [i for i in outputs if _owner(traced[i].node) not in over]
    single = any(one.dtype == np.float32 for one in values)
    return RandomGraph(seed, shapes, arrays, todo, outputs, replaced, single, refusals)


def _owner(node: Node) -> Node:
    """The node whose entries a view shows."""
    return _owner(node.inputs[0]) if node.kind == "view" else node


def _array(shape: tuple[int, ...], draws: random.Random) -> np.ndarray:
    """Normal or whole numbers; some with NaN, infinities, zeros, rows of zeros, large numbers and equal ones."""
    generator, kind = np.random.default_rng(draws.randrange(2**32)), draws.random()
    if kind > 0.75:
        dtype = np.dtype(draws.choice((*do.WHOLES, "bool")))
        return generator.integers(0 if dtype.kind in "bu" else -9, 2 if dtype.kind == "b" else 9, shape).astype(dtype)
    values = np.asarray(generator.normal(size=shape))
    if kind < 0.2:
        values = np.where(generator.random(shape) < 0.3, generator.choice(SPECIAL, shape), values)
    elif kind < 0.35:
        values = np.round(values)
    if draws.random() < 0.15 and values.ndim:
        values[generator.random(len(values)) < 0.3] = 0
    return values.astype(draws.choice(("float64", "float64", "float32")))


def compiled(
    graphs: Sequence[RandomGraph], rows: int, printer: str, tiling: Tiling = DEFAULT, threads: int = 1
) -> list[list[np.ndarray]]:
    """The outputs of every graph, then what was written over its arguments; all of them are one program."""
    tracer, outputs, pairs = Tracer(), [], []
    given: dict[Node, np.ndarray] = {}
    for graph in graphs:
        inputs = [tracer.input(shape, array.dtype) for shape, array in zip(graph.shapes, graph.arrays, strict=True)]
        given |= {one.node: np.array(array, order="C") for one, array in zip(inputs, graph.arrays, strict=True)}
        values = graph.run(tracer, inputs)
        outputs.append([values[i] for i in graph.outputs])
        pairs.append([(values[new], values[old]) for new, old in graph.replaced])
    whole = program_of(printer, tiling)(tracer, list(chain(*outputs)), list(chain(*pairs)))
    bound = bind(whole, rows, given, printer, threads)
    bound.call()
    return [
        [*(bound.output(one.node).copy() for one in made), *(given[old.node] for _, old in replaced)]
        for made, replaced in zip(outputs, pairs, strict=True)
    ]


def exported(graph: RandomGraph) -> list[np.ndarray]:
    """The same by onnxruntime. Errors: ConfigurationError for what ONNX lacks."""
    from onnx_models import call  # needs onnx

    def function(xp: Any, *given: Any) -> list[Any]:
        values = graph.run(xp, given)
        return [values[i] for i in (*graph.outputs, *(new for new, _ in graph.replaced))]

    return call(function, graph.arrays, graph.shapes)


def expected(graph: RandomGraph, xp: Any = host) -> list[np.ndarray]:
    """What NumPy makes of the graph, in the order of `compiled`."""
    with np.errstate(all="ignore"):
        values = graph.run(xp, graph.arrays)
    return [np.asarray(values[i]) for i in (*graph.outputs, *(new for new, _ in graph.replaced))]
