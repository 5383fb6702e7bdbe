"""cuBLASLt called by address: products of float32 results with a bias, an activation, a derivative or sums over rows.

The library comes with cuBLAS; CuPy does not call it. It is column-major, as in `mlpcore.backends.cupy.cublas`: a
row-major result is the transpose ``out.T = b.T @ a.T``, so its columns are the rows to which a bias is added.

Source: NVIDIA, "cuBLAS library", chapter "Using the cuBLASLt API".
"""

import ctypes
import math
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlpcore.backends.cupy.cublas import batch_stride, operand
from mlpcore.compiler.cuda.device import ProductWithEpilogue
from mlpcore.typing import Array

POINTER, INTEGER, LENGTH = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
WORKSPACE = 4 << 20  # bytes, at most, of each product
# The numbers of cublasLt.h: attributes of a product, of a matrix and of the choice of an algorithm; epilogues.
TRANSPOSE, EPILOGUE, BIAS, BIAS_STRIDE, SAVED, SAVED_LEADING, SAVED_STRIDE = (3, 4), 7, 8, 10, 11, 12, 13
BATCH, BATCH_STRIDE = 5, 6
MOST_WORKSPACE, ALIGNMENTS = 1, (5, 6, 7, 8)
RELU, ADD_BIAS, RELU_SLOPE, SUMS, GELU, GELU_SLOPE, WITH_SAVED, SUMS_OF_FIRST = 2, 4, 8, 16, 32, 64, 128, 256
COMPUTE_FLOAT, COMPUTE_TF32, FLOAT, BFLOAT16 = 68, 77, 0, 14
SIGNATURES = {
    "cublasLtMatmulDescCreate": [POINTER, INTEGER, INTEGER],
    "cublasLtMatmulDescSetAttribute": [POINTER, INTEGER, POINTER, ctypes.c_size_t],
    "cublasLtMatrixLayoutCreate": [POINTER, INTEGER, ctypes.c_uint64, ctypes.c_uint64, LENGTH],
    "cublasLtMatrixLayoutSetAttribute": [POINTER, INTEGER, POINTER, ctypes.c_size_t],
    "cublasLtMatmulPreferenceSetAttribute": [POINTER, INTEGER, POINTER, ctypes.c_size_t],
    "cublasLtMatmulAlgoGetHeuristic": [*[POINTER] * 7, INTEGER, POINTER, POINTER],
    "cublasLtMatmul": [*[POINTER] * 14, ctypes.c_size_t, POINTER],
    **{f"cublasLt{name}Destroy": [POINTER] for name in ("MatmulDesc", "MatrixLayout", "MatmulPreference")},
}


class Choice(ctypes.Structure):
    """An algorithm for a product, chosen by the library: cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", ctypes.c_uint64 * 8),
        ("workspace", ctypes.c_size_t),
        ("state", INTEGER),
        ("waves", ctypes.c_float),
        ("reserved", INTEGER * 4),
    )


class Matrix(NamedTuple):
    """``number`` column-major matrices that lie ``stride`` entries apart; ``kind`` is their type."""

    array: Array
    kind: int
    rows: int
    columns: int
    leading: int
    number: int
    stride: int


class Description(NamedTuple):
    """What cuBLASLt is asked for; ``attributes`` are (number, value as ctypes) of the product."""

    matrices: list[Matrix]  # first factor, second factor, result
    compute: int
    attributes: list[tuple[int, Any]]
    alignment: int  # of the vector of a bias or of sums, in bytes


def describe(product: ProductWithEpilogue) -> Description | None:
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
    return Description(matrices, compute, attributes, 1 if vector is None else math.gcd(vector.data.ptr, 256))


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


class CublasLt:
    """Prepared products of cuBLASLt, on the device and stream of CuPy that are current when they run."""

    def __init__(self, cupy: Any, check: Callable[[int], None]) -> None:
        self.cupy, self.check = cupy, check  # raises CuPy's error for a status
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        self.library = ctypes.CDLL(f"cublasLt64_{major}.dll" if sys.platform == "win32" else f"libcublasLt.so.{major}")
        for name, arguments in SIGNATURES.items():
            getattr(self.library, name).argtypes = arguments
        self.handles: dict[int, ctypes.c_void_p] = {}  # by device; the library allows several threads to use one

    def prepare(self, product: ProductWithEpilogue) -> Callable[[], None] | None:
        """A function that computes the product; None where the library has no algorithm for it.

        The library chooses the algorithm now, by shapes, types and addresses, and never by measuring: equal steps have
        equal bits. All that the library needs is created now, too, so that the product can be captured.
        """
        description = describe(product)
        if description is None:
            return None
        operation = self._create("MatmulDesc", description.compute, FLOAT)
        for number, value in description.attributes:
            self._set("MatmulDesc", operation, number, value)
        layouts = [self._layout(matrix) for matrix in description.matrices]
        pointers = [matrix.array.data.ptr for matrix in description.matrices]
        handle, choice = self._handle(), self._choose(operation, layouts, pointers, description.alignment)
        if choice is None:
            self._destroy(operation, layouts)
            return None
        workspace = self.cupy.empty(choice.workspace, np.uint8) if choice.workspace else None
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        (a, b, c), (first, second, out) = layouts, pointers
        arguments = (
            handle, operation, ctypes.addressof(one), first, a, second, b, ctypes.addressof(zero), out, c, out, c,
            ctypes.addressof(choice), None if workspace is None else workspace.data.ptr, choice.workspace,
        )  # fmt: skip
        owners = product, workspace, one, zero, choice, description

        def run() -> None:
            _ = owners  # keeps alive what the arguments are addresses of
            self.check(self.library.cublasLtMatmul(*arguments, self.cupy.cuda.get_current_stream().ptr))

        weakref.finalize(run, self._destroy, operation, layouts)
        return run

    def _destroy(self, operation: ctypes.c_void_p, layouts: Sequence[ctypes.c_void_p]) -> None:
        self.library.cublasLtMatmulDescDestroy(operation)
        for layout in layouts:
            self.library.cublasLtMatrixLayoutDestroy(layout)

    def _handle(self) -> ctypes.c_void_p:
        device = self.cupy.cuda.runtime.getDevice()
        if device not in self.handles:
            self.handles[device] = self._create("")
        return self.handles[device]

    def _layout(self, matrix: Matrix) -> ctypes.c_void_p:
        layout = self._create("MatrixLayout", matrix.kind, matrix.rows, matrix.columns, matrix.leading)
        if matrix.number > 1:
            self._set("MatrixLayout", layout, BATCH, INTEGER(matrix.number))
            self._set("MatrixLayout", layout, BATCH_STRIDE, LENGTH(matrix.stride))
        return layout

    def _choose(
        self, operation: ctypes.c_void_p, layouts: Sequence[ctypes.c_void_p], pointers: Sequence[int], alignment: int
    ) -> Choice | None:
        """The library's first choice of an algorithm for matrices and a vector that are aligned as these are."""
        a, b, c = layouts
        preference = self._create("MatmulPreference")
        self._set("MatmulPreference", preference, MOST_WORKSPACE, ctypes.c_size_t(WORKSPACE))
        first, second, out = (math.gcd(pointer, 256) for pointer in pointers)
        for number, least in zip(ALIGNMENTS, (first, second, out, math.gcd(out, alignment)), strict=True):
            self._set("MatmulPreference", preference, number, ctypes.c_uint32(least))
        choice, found = Choice(), INTEGER()
        status = self.library.cublasLtMatmulAlgoGetHeuristic(
            self._handle(), operation, a, b, c, c, preference, 1, ctypes.byref(choice), ctypes.byref(found)
        )
        self.library.cublasLtMatmulPreferenceDestroy(preference)
        return choice if not status and found.value and not choice.state else None

    def _create(self, name: str, *words: Any) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        self.check(getattr(self.library, f"cublasLt{name}Create")(ctypes.byref(made), *words))
        return made

    def _set(self, name: str, what: ctypes.c_void_p, number: int, value: Any) -> None:
        size = ctypes.sizeof(value)
        self.check(getattr(self.library, f"cublasLt{name}SetAttribute")(what, number, ctypes.byref(value), size))
