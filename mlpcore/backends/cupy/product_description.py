"""What cuBLASLt is asked for to compute a product with an epilogue: numbers only, without the library.

It is column-major, as in `mlpcore.backends.cupy.cublas`: a row-major result is the transpose ``out.T = b.T @ a.T``, so
its columns are the rows to which a bias is added.
"""

import ctypes
import math
from typing import Any, NamedTuple

from mlpcore.backends.cupy.cublas import batch_stride, operand
from mlpcore.compiler.cuda.device import ProductWithEpilogue
from mlpcore.typing import Array

POINTER, INTEGER, LENGTH = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
# The numbers of cublasLt.h: attributes of a product; epilogues; types.
TRANSPOSE, EPILOGUE, BIAS, BIAS_STRIDE, SAVED, SAVED_LEADING, SAVED_STRIDE = (3, 4), 7, 8, 10, 11, 12, 13
RELU, ADD_BIAS, RELU_SLOPE, SUMS, GELU, GELU_SLOPE, WITH_SAVED, SUMS_OF_FIRST = 2, 4, 8, 16, 32, 64, 128, 256
COMPUTE_FLOAT, COMPUTE_TF32, FLOAT, BFLOAT16 = 68, 77, 0, 14


class Matrix(NamedTuple):
    """``number`` column-major matrices that lie ``stride`` entries apart; ``kind`` is their type."""

    array: Array
    kind: int
    rows: int
    columns: int
    leading: int
    number: int
    stride: int


class ProductDescription(NamedTuple):
    """What cuBLASLt is asked for; ``attributes`` are (number, value as ctypes) of the product."""

    matrices: list[Matrix]  # first factor, second factor, result
    compute: int
    attributes: list[tuple[int, Any]]
    alignment: int  # of the vector of a bias or of sums, in bytes


def describe(product: ProductWithEpilogue) -> ProductDescription | None:
    """The description of a product of row-major arrays; None for arrays that would have to be copied first."""
    first, second, out = product.b, product.a, product.out
    attributes: list[tuple[int, Any]] = [(EPILOGUE, INTEGER(epilogue(product)))]
    kind, matrices = BFLOAT16 if product.precision == "bfloat16" else FLOAT, []
    for x, type_, number in ((first, kind, TRANSPOSE[0]), (second, kind, TRANSPOSE[1]), (out, FLOAT, None)):
        layout, stride = operand(x.shape[-2:], x.strides[-2:], x.itemsize), batch_stride(x)
        if layout is None or stride is None or (layout.transpose and number is None):
            return None
        if number is not None:
            attributes.append((number, INTEGER(layout.transpose)))
        rows, columns = x.shape[-2:] if layout.transpose else x.shape[:-3:-1]
        matrices.append(Matrix(x, type_, rows, columns, layout.leading, math.prod(x.shape[:-2]), stride))
    vector = product.bias if product.bias is not None else product.sums
    if vector is not None:
        attributes += [(BIAS, POINTER(vector.data.ptr)), (BIAS_STRIDE, LENGTH(_apart(vector)))]
    if product.saved is not None:
        bits = 8 if product.activation == "relu" else 1  # its lengths count bits
        leading = product.saved.strides[-2] // product.saved.itemsize
        attributes += [
            (SAVED, POINTER(product.saved.data.ptr)),
            (SAVED_LEADING, LENGTH(bits * leading)),
            (SAVED_STRIDE, LENGTH(bits * _apart(product.saved))),
        ]
    compute = COMPUTE_TF32 if product.precision == "tf32" else COMPUTE_FLOAT
    return ProductDescription(matrices, compute, attributes, 1 if vector is None else math.gcd(vector.data.ptr, 256))


def epilogue(product: ProductWithEpilogue) -> int:
    """The number of an epilogue: the sum of its parts."""
    if not product.activation:
        return ADD_BIAS if product.sums is None else SUMS_OF_FIRST
    names = (RELU_SLOPE, GELU_SLOPE) if product.gradient else (RELU, GELU)
    parts = [names[product.activation == "gelu"], ADD_BIAS * (product.bias is not None)]
    return sum(parts) + WITH_SAVED + SUMS * (product.sums is not None)


def _apart(array: Array) -> int:
    """The distance in entries from a member's matrix to that of the next."""
    return 0 if array.ndim == 2 or array.shape[0] == 1 else array.strides[0] // array.itemsize
