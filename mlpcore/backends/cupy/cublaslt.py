"""cuBLASLt called by address: products of float32 results with a bias, an activation, a derivative or sums over rows.

The library comes with cuBLAS; CuPy does not call it.

Source: NVIDIA, "cuBLAS library", chapter "Using the cuBLASLt API".
"""

import ctypes
import math
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlpcore.backends.cupy.product_description import FLOAT, INTEGER, LENGTH, POINTER, Matrix, describe
from mlpcore.compiler.cuda.device import ProductWithEpilogue

WORKSPACE = 4 << 20  # bytes, at most, of each product
# The numbers of cublasLt.h: attributes of a matrix, and of the choice of an algorithm.
BATCH, BATCH_STRIDE = 5, 6
MOST_WORKSPACE, ALIGNMENTS = 1, (5, 6, 7, 8)
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


class Algorithm(ctypes.Structure):
    """An algorithm for a product, chosen by the library: cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("numbers", ctypes.c_uint64 * 8),
        ("workspace", ctypes.c_size_t),
        ("state", INTEGER),
        ("waves", ctypes.c_float),
        ("reserved", INTEGER * 4),
    )


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
    ) -> Algorithm | None:
        """The library's first choice of an algorithm for matrices and a vector that are aligned as these are."""
        a, b, c = layouts
        preference = self._create("MatmulPreference")
        self._set("MatmulPreference", preference, MOST_WORKSPACE, ctypes.c_size_t(WORKSPACE))
        first, second, out = (math.gcd(pointer, 256) for pointer in pointers)
        for number, least in zip(ALIGNMENTS, (first, second, out, math.gcd(out, alignment)), strict=True):
            self._set("MatmulPreference", preference, number, ctypes.c_uint32(least))
        choice, found = Algorithm(), INTEGER()
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
