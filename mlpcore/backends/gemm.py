"""Products of bfloat16 matrices into float32 through cuBLAS, whose matrices lie column by column.

CuPy's own product of two bfloat16 matrices rounds its result to bfloat16; the routine beneath takes a result of
another type. The numbers it is called with are made here, by functions that need no device.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

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


def multiplied(a: Array, b: Array, out: Array, gemm: Callable[..., Any]) -> Array:
    """``out = a @ b`` for row-major ``out`` (m, n), as ``out.T = b.T @ a.T`` column by column.

    ``gemm(transpose first, transpose second, rows, columns, inner, first, its leading dimension, second, its leading
    dimension, result, its leading dimension)``.
    """
    found = []
    for matrix in (b, a):
        seen = operand(matrix.shape, matrix.strides, matrix.itemsize)
        if seen is None:
            matrix = matrix.copy(order="C")
            seen = Operand(0, matrix.shape[1])
        found.append((matrix, seen))
    (first, one), (second, two) = found
    m, n = out.shape
    gemm(one.transpose, two.transpose, n, m, a.shape[1], first, one.leading, second, two.leading, out, n)
    return out
