"""Matrix products of row-major arrays by cuBLAS, which is column-major. A call is prepared once and run every step.

CuPy's own product copies transposed matrices of a stack, computes stacks in float32 whatever precision is set, and
rounds a product of bfloat16 factors to bfloat16. This module computes the arguments for cuBLAS, without a device.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlpcore.namespace import namespace
from mlpcore.typing import Array


class Operand(NamedTuple):
    """How cuBLAS reads a matrix."""

    transpose: int  # 1 to transpose it, else 0
    leading: int  # the leading dimension, in entries


def operand(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Operand | None:
    """How a column-major routine reads the *transpose* of the matrix; None if the matrix must be copied first.

    A row-major matrix is its transpose in column-major order, so it is read without transposing.
    """
    (rows, columns), (down, right) = shape, strides
    if (columns == 1 or right == itemsize) and (rows == 1 or (down >= columns * itemsize and down % itemsize == 0)):
        return Operand(0, columns if rows == 1 else down // itemsize)
    if (rows == 1 or down == itemsize) and (columns == 1 or (right >= rows * itemsize and right % itemsize == 0)):
        return Operand(1, rows if columns == 1 else right // itemsize)
    return None


class Gemm(NamedTuple):
    """The arguments of a strided batched product of column-major matrices; strides are in entries."""

    transposes: tuple[int, int]
    sizes: tuple[int, ...]  # rows and columns of the result, and the length of the sums
    leading: tuple[int, int, int]
    matrices: tuple[Array, ...]  # first factor, second factor, result: the first matrix of each stack
    strides: tuple[int, ...]  # from a matrix to the next in its stack
    number: int  # of matrices in a stack


def prepared(a: Array, b: Array, out: Array, gemm: Callable[[Gemm], Callable[[], None]]) -> Callable[[], None]:
    """A function that writes ``a @ b`` to the row-major ``out``, as ``out.T = b.T @ a.T`` in column-major order.

    a is (..., m, k), b (..., k, n), out (..., m, n); leading axes broadcast. ``gemm`` prepares a call of cuBLAS. A
    factor that is neither row-major nor column-major is copied at each call.
    """
    xp, outer = namespace(out), out.shape[:-2]
    copies: list[tuple[Array, Array]] = []

    def readable(x: Array) -> tuple[Array, Operand]:
        layout = operand(x.shape[-2:], x.strides[-2:], x.itemsize)
        if layout is None:
            copies.append((x, xp.empty(x.shape, dtype=x.dtype)))
            x, layout = copies[-1][1], Operand(0, x.shape[-1])
        return xp.broadcast_to(x, (*outer, *x.shape[-2:])), layout

    (first, first_layout), (second, second_layout) = readable(b), readable(a)
    transposes = first_layout.transpose, second_layout.transpose
    sizes = (*out.shape[:-3:-1], a.shape[-1])
    leading = first_layout.leading, second_layout.leading, out.shape[-1]
    calls = [gemm(Gemm(transposes, sizes, leading, *batch)) for batch in batches(first, second, out)]

    def run() -> None:
        for x, packed in copies:
            packed[...] = x
        for call in calls:
            call()

    return run if copies or len(calls) > 1 else calls[0]


def batches(*stacks: Array) -> Iterator[tuple[tuple[Array, ...], tuple[int, ...], int]]:
    """Yield ``(matrices, strides, number)`` of strided batches that make up the stacks, which have equal leading axes.

    There is one batch if the matrices of every stack lie at equal distances, else the stacks are split along their
    shortest axis.
    """
    strides = tuple(stride for x in stacks if (stride := batch_stride(x)) is not None)
    if len(strides) == len(stacks):
        outer = stacks[0].shape[:-2]
        yield tuple(x[(0,) * len(outer)] for x in stacks), strides, math.prod(outer)
        return
    lengths = [length if length > 1 else math.inf for length in stacks[0].shape[:-2]]
    shortest = lengths.index(min(lengths))
    for i in range(stacks[0].shape[shortest]):
        yield from batches(*(x[(slice(None),) * shortest + (i,)] for x in stacks))


def batch_stride(x: Array) -> int | None:
    """The distance in entries from a matrix of a stack to the next; None if distances differ."""
    stride, count = 0, 1
    for length, step in reversed(list(zip(x.shape[:-2], x.strides[:-2], strict=True))):
        if length == 1:
            continue
        if count > 1 and step != stride * count:
            return None
        stride, count = (step if count == 1 else stride), count * length
    return stride // x.itemsize
