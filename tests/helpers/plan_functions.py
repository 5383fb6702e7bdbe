"""Small functions that between them reach every decision of the compiler's scheduler."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from plan_layers import (
    batch_norm,
    both,
    gradients,
    layer_norm,
    normalised_twice,
    softmax,
    softmax_and_label,
    softmax_of_tables,
)

from mlpcore.compiler.draws import TracedStream
from mlpcore.compiler.graph import N
from mlpcore.compiler.program import Program
from mlpcore.compiler.trace import Tracer
from mlpcore.random import Stream


class Function(NamedTuple):
    """A function of arrays of these shapes; ``state`` are the numbers of those that its last results replace.

    A shape that begins with a dtype is of this dtype, others are float32.
    """

    function: Callable
    shapes: tuple[tuple, ...]
    state: tuple[int, ...] = ()

    def inputs(self) -> Iterator[tuple[tuple, str]]:
        """Shape and dtype of every array."""
        for shape in self.shapes:
            yield (shape[1:], shape[0]) if shape and isinstance(shape[0], str) else (shape, "float32")

    def traced(self, tracer: Tracer) -> tuple[list[Any], list[Any], list[tuple[Any, Any]]]:
        """The inputs, the outputs, and the pairs (new, old) of state."""
        inputs = [tracer.input(*one) for one in self.inputs()]
        results = self.function(tracer, *inputs)
        outputs = results[: len(results) - len(self.state)]
        return inputs, outputs, [(new, inputs[i]) for new, i in zip(results[len(outputs) :], self.state, strict=True)]

    def program(self) -> Program:
        """It alone as a program."""
        tracer = Tracer()
        _, outputs, pairs = self.traced(tracer)
        return Program(tracer, outputs, pairs)


def dropout(xp: Any, x: Any, w: Any, position: Any) -> list[Any]:
    stream, other = (TracedStream(Stream(3, name), position) for name in ("mask", "other"))
    first = stream.factors((N, 20), 0.7, "float32")
    return [(x * first) @ w, xp.sum(other.factors((3, N, 20), 0.7, "float32") * x)]


def embeddings(xp: Any, table: Any, ids: Any, scale: Any, columns: Any) -> list[Any]:
    rows = xp.take(table, ids[:, 0], axis=0)
    both = xp.concat([rows * scale, xp.take(xp.exp(table), ids[:, 1], axis=0)], axis=1)
    places = xp.remainder(columns, 5)
    return [
        *(both, xp.take(rows, columns, axis=1) + 1.0, xp.take(xp.tanh(scale), columns, axis=0)),
        *(xp.take(scale, places, axis=0), places),
    ]


def concatenations(xp: Any, a: Any, b: Any, x: Any, y: Any, z: Any, w: Any) -> list[Any]:
    whole = xp.concat([xp.exp(a), b, xp.exp(a), xp.reshape(xp.tanh(b), (-1,)), xp.ones(3, dtype=xp.float32)])
    part = xp.sin(x)
    columns = xp.concat([part[:, 1:], y, xp.ones_like(y), xp.tanh(y)], axis=1)
    turned = xp.concat([y, z.mT, xp.tanh(y)], axis=1)
    row = xp.concat([xp.cos(a)[None, :], xp.cos(b)[None, :]], axis=1)
    beginning = xp.concat([xp.sinh(a)[:2], xp.sinh(b)])
    return [whole * 2.0, columns, turned, row, beginning, xp.concat([xp.cos(w), xp.sin(w[::2, :])], axis=0)]


def concatenated_rows(xp: Any, a: Any, x: Any, y: Any) -> list[Any]:
    return [xp.concat([xp.tanh(a @ x.mT), y], axis=0)]


def stacked(xp: Any, x: Any, w: Any, b: Any) -> list[Any]:
    y = xp.tanh(x @ w + b)
    return [y, xp.sum(y, axis=-2), xp.mean(y, axis=0)]


def clipped(xp: Any, p: Any, g: Any, m: Any, limit: Any) -> list[Any]:
    norm = xp.sqrt(xp.sum(g * g))
    g = g * xp.minimum(limit / norm, xp.ones_like(norm))
    new = 0.9 * m + 0.1 * g
    return [norm, p - 0.1 * new, new]


def long_axes(xp: Any, x: Any, y: Any) -> list[Any]:
    a = xp.exp(x)
    return [a, y * a[:, None]]


def squares(xp: Any, x: Any) -> list[Any]:
    y = xp.exp(x)
    z = xp.log1p(x * x)  # in the loop of its only reader it would not be there for both operands
    return [y, y.mT * 2.0, y.mT + y, xp.sum(y.mT, axis=0), z.mT - z]


def fewer_axes(xp: Any, x: Any, w: Any) -> list[Any]:
    return [x[:, :, None] * w, xp.sum(x, axis=1)]


def along_either_axis(xp: Any, a: Any, x: Any, y: Any) -> list[Any]:
    v = xp.exp(a)
    return [v[:, None] * x, v * y, v[:3] + 1.0]


def along_all_rows(xp: Any, x: Any, y: Any) -> list[Any]:
    return [xp.sum(x, axis=1), xp.argmax(y, axis=0), xp.exp(y)]


def views(xp: Any, x: Any, y: Any) -> list[Any]:
    e = xp.exp(x)
    turned = xp.reshape(xp.permute_dims(xp.reshape(e, (-1, 2, 3)), (0, 2, 1)), (-1, 6))
    grid = xp.permute_dims(xp.reshape(y, (4, 3, 5)), (2, 0, 1))
    return [turned + e, e[:, ::-1] * x, xp.sum(grid, axis=(0, 2)), xp.sum(grid + 1.0, axis=1), grid * 2.0]


def factors_without_unit_stride(xp: Any, x: Any, w: Any) -> list[Any]:
    e = xp.exp(x)
    return [e[:, ::2] @ w, e[:, ::-1].mT @ x, xp.flip(w, axis=1) @ w.mT]


def single_axes(xp: Any, x: Any, w: Any, dy: Any) -> list[Any]:
    """Axes of length 1: before the rows of products, and reduced."""
    y = xp.exp(x[0, :, :1])
    reduced = [xp.sum(y, axis=1), xp.argmax(y, axis=1), xp.sum(xp.sin(x), axis=0)]
    return [*reduced, x @ w, xp.permute_dims(x, (0, 2, 1)) @ dy]


def scalars(xp: Any, x: Any, count: Any, rate: Any) -> list[Any]:
    largest = xp.max(xp.abs(x))
    good = xp.isfinite(largest)
    step = xp.where(good, count + 1.0, count)
    return [x / xp.where(largest > 0.0, largest * rate, rate), rate * 0.5 + xp.cos(count), step]


FUNCTIONS = {
    "softmax of narrow rows, and their labels": Function(softmax_and_label, ((N, 32),)),
    "softmax of wide rows, and their labels": Function(softmax_and_label, ((N, 4096),)),
    "softmax of very wide rows": Function(softmax, ((N, 4097),)),
    "softmax of a stack of narrow rows": Function(softmax, ((3, N, 10),)),
    "softmax along the last of three axes": Function(softmax, ((N, 3, 4),)),
    "softmax of 16 narrow rows": Function(softmax, ((16, 10),)),
    "softmax of 15 narrow rows": Function(softmax, ((15, 10),)),
    "softmax of tables": Function(softmax_of_tables, ((N, 20, 4),)),
    "layer normalisation": Function(layer_norm, ((N, 33), (33,), (33,))),
    "batch normalisation between products": Function(batch_norm, ((N, 20), (20, 50))),
    "a product and what is made of it": Function(both, ((N, 20), (20, 50))),
    "two normalisations": Function(normalised_twice, ((N, 20), (N, 20), (20, 50))),
    "embeddings": Function(embeddings, ((50, 8), ("int64", N, 2), (8,), ("int64", 3))),
    "concatenations": Function(concatenations, ((5,), (2,), (N, 4), (N, 1), (3, N), (4, 6))),
    "a concatenation of arrays whose last axis are rows": Function(concatenated_rows, ((2, 5), (N, 5), (3, N))),
    "a stack of dense layers": Function(stacked, ((3, N, 20), (3, 20, 50), (3, 1, 50))),
    "clipping by the norm of a long vector": Function(clipped, (*[(70_000,)] * 3, ()), (0, 2)),
    "loops over one long axis": Function(long_axes, ((70_000,), (70_000, 2))),
    "a square beside its transpose": Function(squares, ((300, 300),)),
    "sums in a loop with more axes": Function(fewer_axes, ((N, 4), (3,))),
    "sums in a long loop with more axes": Function(fewer_axes, ((20_000, 4), (3,))),
    "a vector along either axis": Function(along_either_axis, ((5,), (5, 7), (7, 5))),
    "sums along an axis of rows": Function(along_all_rows, ((20, N), (N,))),
    "views": Function(views, ((N, 6), (60,))),
    "factors without unit stride": Function(factors_without_unit_stride, ((N, 6), (3, 7))),
    "gradients of a narrow layer": Function(gradients, ((N, 100), (100, 50), (N, 50))),
    "gradients of a wide layer": Function(gradients, ((N, 256), (256, 512), (N, 512))),
    "gradients of a layer that is not quite as wide": Function(gradients, ((N, 255), (255, 514), (N, 514))),
    "gradients of a layer with few columns": Function(gradients, ((N, 600), (600, 300), (N, 300))),
    "axes of length 1": Function(single_axes, ((1, N, 300), (300, 20), (1, N, 600))),
    "single numbers": Function(scalars, ((N,), (), ()), (1,)),
}
# Of draws, which only a traced stream has.
DROPOUT = Function(dropout, ((N, 20), (20, 50), ("uint64", 2)))
