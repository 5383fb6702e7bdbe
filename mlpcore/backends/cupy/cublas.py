"""Products through cuBLAS, whose matrices lie column by column: prepared once, done in every step.

CuPy's own product copies transposes in stacks, computes stacks in float32 whatever is asked for, and rounds a product
of bfloat16 to bfloat16. The numbers that cuBLAS is called with are made here, by functions that need no device.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlpcore.namespace import namespace
from mlpcore.typing import Array


class Operand(NamedTuple):
    """A row-major or column-major matrix as cuBLAS sees its memory: whether to transpose, and the leading dimension."""

    transpose: int
    leading: int


def operand(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Operand | None:
    """How a column-major routine reads the *transpose* of the matrix; None where it must be copied first.

    Memory that holds a matrix row by row holds its transpose column by column, and is taken as it is.
    """
    (rows, columns), (down, right) = shape, strides
    if (columns == 1 or right == itemsize) and (rows == 1 or (down >= columns * itemsize and down % itemsize == 0)):
        return Operand(0, columns if rows == 1 else down // itemsize)
    if (rows == 1 or down == itemsize) and (columns == 1 or (right >= rows * itemsize and right % itemsize == 0)):
        return Operand(1, rows if columns == 1 else right // itemsize)
    return None


class Gemm(NamedTuple):
    """The arguments of a strided batched product of column-major matrices; strides between matrices in entries."""

    transposes: tuple[int, int]
    sizes: tuple[int, ...]  # rows and columns of the result, and the length of the sums
    leading: tuple[int, int, int]
    matrices: tuple[Array, ...]  # first factor, second factor, result
    strides: tuple[int, ...]
    number: int


def prepared(a: Array, b: Array, out: Array, gemm: Callable[[Gemm], Callable[[], None]]) -> Callable[[], None]:
    """What writes ``a @ b`` to the row-major ``out`` (..., m, n), as ``out.T = b.T @ a.T`` column by column.

    ``gemm`` prepares a call of cuBLAS. Leading axes broadcast. A factor that is neither row-major nor column-major is
    copied at each call.
    """
    xp, outer = namespace(out), out.shape[:-2]
    copies: list[tuple[Array, Array]] = []

    def readable(x: Array) -> tuple[Array, Operand]:
        found = operand(x.shape[-2:], x.strides[-2:], x.itemsize)
        if found is None:
            copies.append((x, xp.empty_like(x)))
            x, found = copies[-1][1], Operand(0, x.shape[-1])
        return xp.broadcast_to(x, (*outer, *x.shape[-2:])), found

    (first, one), (second, two) = readable(b), readable(a)
    words = (one.transpose, two.transpose), (*out.shape[:-3:-1], a.shape[-1]), (one.leading, two.leading, out.shape[-1])
    calls = [gemm(Gemm(*words, *batch)) for batch in batches(first, second, out)]

    def run() -> None:
        for x, packed in copies:
            packed[...] = x
        for call in calls:
            call()

    return run if copies or len(calls) > 1 else calls[0]


def batches(*stacks: Array) -> Iterator[tuple[tuple[Array, ...], tuple[int, ...], int]]:
    """Stacks of equally many matrices as batches: the first matrices, the entries from one to the next, the number."""
    strides = tuple(stride for x in stacks if (stride := batch_stride(x)) is not None)
    if len(strides) == len(stacks):
        outer = stacks[0].shape[:-2]
        yield tuple(x[(0,) * len(outer)] for x in stacks), strides, math.prod(outer)
        return
    for parts in zip(*stacks, strict=True):
        yield from batches(*parts)


def batch_stride(x: Array) -> int | None:
    """How many entries lie between one matrix of a stack and the next; None where that differs."""
    stride, count = 0, 1
    for length, step in reversed(list(zip(x.shape[:-2], x.strides[:-2], strict=True))):
        if length == 1:
            continue
        if count > 1 and step != stride * count:
            return None
        stride, count = (step if count == 1 else stride), count * length
    return stride // x.itemsize
